"""A vector that another tool made, read from a file (`trimtab.vectors.foreign`) at the layer that the probe chose."""

from trimtab.errors import TrimtabError
from trimtab.vectors.contract import Direction, Material, normalised

LABEL = "Imported vector"
SENTENCE = "The vector was made by another tool and is read from its file, at the layer that the trait's probe chose."
SOURCE = ""


def make(material: Material) -> Direction:
    if material.imported is None:
        raise TrimtabError(f"imported vector of {material.trait}: config.yaml, vectors.imported names no file")
    return normalised(material.imported, f"imported vector of {material.trait}")
