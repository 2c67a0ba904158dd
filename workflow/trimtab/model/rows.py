"""Who reads the rows of a manifest's model, by the engine that the config names."""

from importlib import import_module
from pathlib import Path
from typing import cast

from transformers import PreTrainedTokenizerBase

from trimtab.activations.reading import ModelRows, RowReader
from trimtab.artifacts.manifest import Manifest
from trimtab.model.source import from_manifest
from trimtab.settings.engine import EngineSettings

SERVED = "trimtab.rollouts.served.rows"
"""Of vLLM. Imported by name and where it is asked for alone, or the code of rollouts would make all caches anew; the
rules carry its digest where a cache is vLLM's."""
Read = tuple[Manifest, RowReader, PreTrainedTokenizerBase]


def reader_of(manifest: Path, engine: EngineSettings) -> Read:
    """The manifest's content, who reads rows of the model that it describes, and the model's tokenizer.

    Raises:
        TrimtabError: the model's folder changed since the manifest was made, or can't be loaded.
    """
    if engine.is_served:
        return cast(Read, import_module(SERVED).served(manifest, engine))
    described, model, tokenizer = from_manifest(manifest)
    return described, ModelRows(model), tokenizer
