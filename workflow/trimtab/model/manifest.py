"""Makes the manifest (`trimtab.artifacts.manifest`) of a model that is loaded.

Residual norms (`trimtab.model.norms`) are measured where doses are spent: on the agent's calibration prompts, after the
few-shot header.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from trimtab.artifacts import fingerprint
from trimtab.artifacts.manifest import Manifest, ReadAt, ResidualNorm
from trimtab.errors import TrimtabError
from trimtab.forward.capture import Prompt, batches, kept_rows
from trimtab.forward.context import context_length
from trimtab.forward.contributions import contributions
from trimtab.forward.hooks import decoder_layers
from trimtab.forward.sites import RESIDUAL, STREAM, Sites
from trimtab.model.folder import KEYS
from trimtab.model.norms import residual_norm
from trimtab.settings.activations import MeasuringSettings


def read_at(model: PreTrainedModel, kind: str) -> ReadAt | None:
    """Where this kind of site is in a model, and what else its layers add; None for the stream, which needs no module.

    Raises:
        TrimtabError: the model has no such sites.
    """
    if kind == RESIDUAL:
        return None
    return ReadAt(kind, {name: sites.modules for name, sites in contributions(model).items()})


def residual_norms(
    model: PreTrainedModel, prompts: Sequence[Prompt], layers: Sequence[int], sites: Sites = STREAM
) -> dict[int, ResidualNorm]:
    """Norms of every layer's rows on `prompts`, their context left out."""
    parts: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    for batch in batches(prompts, token_budget=4096):
        for layer, rows in kept_rows(model, batch, sites.of_layers(layers), "all").items():
            parts[layer].append(rows.cpu().float())
    return {layer: residual_norm(torch.cat(rows)) for layer, rows in parts.items()}


def check_layers(layers: Sequence[int], described: Manifest) -> None:
    """Pass the layers that an experiment asks for, if the manifest's model has them.

    Raises:
        TrimtabError: it hasn't.
    """
    last = described.layers - 1
    if too_deep := [layer for layer in layers if layer > last]:
        raise TrimtabError(f"config.yaml, layers: {too_deep} of a model that has 0 to {last}")


def manifest(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    settings: MeasuringSettings,
    folder: Path,
    norms: Mapping[int, ResidualNorm],
    site: ReadAt | None,
    protocol: str,
    provenance: Mapping[str, Any],
) -> Manifest:
    """Of a model that was loaded from a folder by these settings."""
    config = model.config.get_text_config(decoder=True)
    # the loaded model's linear layers may be laid out, so that their weights are no parameters
    with torch.device("meta"):
        parameters = type(model)(model.config).num_parameters()
    return Manifest(
        model=settings.source,
        revision=settings.revision,
        path=str(folder),
        **{key: fingerprint.contents(folder, patterns) for key, patterns in KEYS.items()},
        architecture=type(model).__name__,
        parameters=parameters,
        layers=len(decoder_layers(model)),
        d_model=int(config.hidden_size),
        vocabulary=int(config.vocab_size),
        context_length=context_length(model.config),
        dtype=settings.dtype,
        device=settings.device,
        chat_template=tokenizer.chat_template is not None,
        protocol=protocol,
        residual_norm=norms,
        provenance=provenance,
        site=site,
    )
