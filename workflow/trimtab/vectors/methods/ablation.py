"""Directional ablation (Arditi et al. 2024): one direction is projected out of the stream after every hooked layer.

The direction is the mean difference at the probe's layer. The paper writes to every layer of the model and to what
attention and MLP add; here it is the hooked layers (config.yaml, `layers`), so that a cached row can be set beside it.
"""

from trimtab.steering.changes import ProjectOut
from trimtab.steering.edits import Edit, Edits
from trimtab.vectors.contract import Material
from trimtab.vectors.methods import mean_difference

LABEL = "Directional ablation"
SENTENCE = "The mean difference of the poles at the probe's layer is projected out after every hooked layer."
SOURCE = "Arditi et al. 2024"
MAKES = "edits"
REMOVES = "mean_difference"


def make(material: Material) -> Edits:
    unit = mean_difference.make(material).unit
    return tuple(Edit(material.sites.at(layer), ProjectOut(unit), 1.0) for layer in material.rows.layers)
