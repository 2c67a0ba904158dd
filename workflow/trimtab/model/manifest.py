"""The manifest: what the model is, by hash and by measurement, for every later artifact to cite.

Residual norms are measured where doses are spent: on the agent's calibration prompts, after the few-shot header. Rows
far longer than the layer's median are attention sinks; they are left out and their share is stated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from trimtab.artifacts import fingerprint
from trimtab.errors import TrimtabError
from trimtab.forward.capture import Prompt, batches, kept_rows
from trimtab.forward.hooks import decoder_layers
from trimtab.model.folder import KEYS

SINK_FACTOR = 8.0
"""A row this many times longer than the layer's median row is an attention sink."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class ResidualNorm:
    """L2 norms of a layer's rows, sinks left out."""

    mean: float
    centred_mean: float
    """Mean distance from the layer's mean row: what a dose of 1 comes to."""
    quantiles: dict[str, float]
    """Of the plain norm."""
    sink_share: float
    top_dimension_share: float
    """Share of the variance that the most variable dimension holds; near 1 means a constant dominates the layer."""
    rows: int


def residual_norm(rows: Float[Tensor, "token d_model"]) -> ResidualNorm:
    """Norms of one layer's rows.

    Raises:
        TrimtabError: a row isn't finite.
    """
    rows = rows.double()
    norms = rows.norm(dim=1)
    if not bool(torch.isfinite(norms).all()):
        raise TrimtabError("the residual stream of the calibration prompts holds values that are not finite")
    kept = norms <= SINK_FACTOR * norms.median()
    inside, plain = rows[kept], norms[kept]
    variance = inside.var(dim=0)
    return ResidualNorm(
        mean=float(plain.mean()),
        centred_mean=float((inside - inside.mean(0)).norm(dim=1).mean()),
        quantiles={f"{q:g}": float(plain.quantile(q)) for q in QUANTILES},
        sink_share=float(1 - kept.double().mean()),
        top_dimension_share=float(variance.max() / variance.sum()),
        rows=int(kept.sum()),
    )


def residual_norms(model: PreTrainedModel, prompts: Sequence[Prompt], layers: Sequence[int]) -> dict[int, ResidualNorm]:
    """Norms of every layer's rows on `prompts`, their context left out."""
    parts: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    for batch in batches(prompts, token_budget=4096):
        for layer, rows in kept_rows(model, batch, layers, "all").items():
            parts[layer].append(rows.cpu().float())
    return {layer: residual_norm(torch.cat(rows)) for layer, rows in parts.items()}


def check_layers(layers: Sequence[int], described: Mapping[str, Any]) -> None:
    """Pass the layers that an experiment asks for, if the manifest's model has them.

    Raises:
        TrimtabError: it hasn't.
    """
    last = int(described["layers"]) - 1
    if too_deep := [layer for layer in layers if layer > last]:
        raise TrimtabError(f"config.yaml, layers: {too_deep} of a model that has 0 to {last}")


def manifest(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    source: str,
    revision: str | None,
    folder: Path,
    dtype: str,
    norms: dict[int, ResidualNorm],
) -> dict[str, Any]:
    """The manifest's content; `layers` counts the decoder layers."""
    config = model.config.get_text_config(decoder=True)
    # the loaded model's linear layers may be laid out, so that their weights are no parameters
    with torch.device("meta"):
        parameters = type(model)(model.config).num_parameters()
    return {
        "model": source,
        "revision": revision,
        "path": str(folder),
        **{key: fingerprint.contents(folder, patterns) for key, patterns in KEYS.items()},
        "architecture": type(model).__name__,
        "parameters": parameters,
        "layers": len(decoder_layers(model)),
        "d_model": int(config.hidden_size),
        "vocabulary": int(config.vocab_size),
        # recurrent models read sequences of any length
        "context_length": getattr(config, "max_position_embeddings", None),
        "dtype": dtype,
        "chat_template": tokenizer.chat_template is not None,
        "residual_norm": {str(layer): asdict(norm) for layer, norm in norms.items()},
    }
