"""What a trait's vectors are made from, gathered from the artifacts of earlier stages.

Directions are made from the rows that probes are fitted on (splits fit and select) and checked on rows of templates
that nothing has seen (split test).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab import files, tensors
from trimtab.activations.reader import Cache
from trimtab.errors import TrimtabError
from trimtab.vectors.makers import Direction, LinearProbe, Material

DEVELOPMENT, TEST = ("fit", "select"), ("test",)


def gather(
    trait: str,
    probe: Mapping[str, Any],
    weights: Path,
    contrast: Path,
    cache: Path,
    saes: Path,
    kind: str,
    seed: int,
) -> Material:
    """Everything a maker may use, at the layer that the trait's probe chose.

    Args:
        probe: content of probes/<trait>.json.
        weights: probes/<trait>.safetensors.
        contrast: prompts/contrast/<trait>.jsonl.
        cache: activations/contrast/<trait>.h5.
        saes: folder of the SAEs, one subfolder a layer.
        kind: which kind of contrast prompts (`probes.contrast`).
    """
    layer = int(probe["layer"])
    fitted, _ = tensors.read(weights)
    dictionary, _ = tensors.read(saes / str(layer) / "sae_weights.safetensors")
    high, low = poles(contrast, cache, layer, kind, DEVELOPMENT)
    return Material(
        trait=trait,
        layer=layer,
        high=high,
        low=low,
        latent_probe=LinearProbe(fitted["weight"], fitted["mean"], fitted["scale"]),
        residual_probe=LinearProbe(fitted["raw.weight"], fitted["raw.mean"], fitted["raw.scale"]),
        decoder=dictionary["W_dec"],
        seed=seed,
    )


def poles(
    contrast: Path, cache: Path, layer: int, kind: str, splits: tuple[str, ...]
) -> tuple[Float[Tensor, "pair d_model"], Float[Tensor, "pair d_model"]]:
    """Rows of the high and of the low pole, in the order of their pairs.

    Raises:
        TrimtabError: no pair of this kind in these splits.
    """
    wanted = {
        (row["pair"], row["pole"]): row["id"]
        for row in files.read_jsonl(contrast)
        if row["kind"] == kind and row["split"] in splits
    }
    if not wanted:
        raise TrimtabError(f"{contrast}: no {kind} pairs in split {', '.join(splits)}")
    with Cache.open(cache) as opened:
        place = {prompt: at for at, prompt in enumerate(opened.prompt_ids)}
        rows = opened.rows(layer)
    pairs = sorted({pair for pair, _ in wanted})
    sides = [[place[wanted[pair, pole]] for pair in pairs] for pole in ("high", "low")]
    return rows[torch.tensor(sides[0])], rows[torch.tensor(sides[1])]


def held_out_gap(direction: Direction, contrast: Path, cache: Path, layer: int, kind: str) -> float:
    """Standardised mean gap between the poles of held-out templates along a direction (positive: the right way)."""
    high, low = poles(contrast, cache, layer, kind, TEST)
    gaps = (high - low).double() @ direction.unit.double()
    spread = float(gaps.std())
    return float(gaps.mean()) / spread if spread > 0 else 0.0
