"""A model's shape without its weights: the architecture is built on no device and its parameters are counted.

For the plan of a run (`trimtab.plan.cost`), which is wanted before anything is downloaded or loaded.
"""

import re
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from trimtab.artifacts.border import readable
from trimtab.errors import TrimtabError
from trimtab.forward.memory import key_value
from trimtab.model.checkpoint import library_class
from trimtab.model.folder import gguf_file
from trimtab.model.names import GGUF
from trimtab.model.source import DTYPES
from trimtab.model.tokenizer import CODE
from trimtab.plan.cost import Shape

HUB_ID = re.compile(r"\w[\w.-]*(/[\w.-]+)?")


def shape(source: str, revision: str | None, dtype: str) -> Shape:
    """Shape of the model that `model.source` names."""
    return shape_of(config_of(source, revision), dtype)


def config_of(source: str, revision: str | None) -> Any:
    """The model's own config; of a hub id, this alone is fetched.

    Raises:
        TrimtabError: there is none that can be read.
    """
    gguf = gguf_file(source) if GGUF.fullmatch(source) else None
    if not gguf and not Path(source).is_dir() and not HUB_ID.fullmatch(source):
        raise TrimtabError(
            f"config.yaml, model.source: there is no folder {source}, seen from {Path.cwd()}; expected a model's "
            "folder, a GGUF file, or a hub id"
        )
    with readable(f"config.yaml, model.source: {source} has no config that can be read", *CODE):
        if gguf:
            return AutoConfig.from_pretrained(gguf.parent, gguf_file=gguf.name)
        return AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False)


def shape_of(config: Any, dtype: str) -> Shape:
    """
    Raises:
        TrimtabError: it is the config of no decoder-only model.
    """
    kind = config.model_type
    what = f"config.yaml, model.source: a {kind!r} model can't be built as a decoder-only model"
    with readable(what, *CODE), torch.device("meta"):
        model = library_class(kind).from_config(config)
    text = config.get_text_config(decoder=True)
    embedding = model.get_input_embeddings().weight.numel()
    named = dict(model.named_parameters())
    experts = sum(value.numel() for name, value in named.items() if ".experts." in name)
    used = getattr(text, "num_experts_per_tok", 0) / max(1, getattr(text, "num_local_experts", 0) or _experts(text))
    total = sum(value.numel() for value in named.values())
    return Shape(
        parameters=total,
        active=int(total - embedding - experts * (1 - used)),
        layers=text.num_hidden_layers,
        d_model=text.hidden_size,
        key_value=key_value(text),
        bytes=torch.finfo(DTYPES[dtype]).bits // 8,
    )


def _experts(text: Any) -> int:
    return int(getattr(text, "num_experts", 0) or 0)
