"""Labelled rows of contrast prompts, as the probes take them: SAE latents and raw residuals, layer by layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab import seeds
from trimtab.activations.reader import Cache
from trimtab.errors import TrimtabError
from trimtab.saes.baselines import random_directions
from trimtab.saes.sae import SAE

Layers = Mapping[int, Float[Tensor, "row _"]]
"""Rows of each layer; the layers' dictionaries may be of different sizes."""


@dataclass(frozen=True)
class Contrast:
    """One trait's (or the null pairs') prompts of one kind, a row each."""

    labels: Float[Tensor, "row"]
    """1 for the high pole, 0 for the low."""

    pairs: list[str]
    templates: list[str]
    splits: list[str]
    domains: list[str]
    sub_behaviours: list[str]
    texts: list[str]
    """What a prompt says, all its messages joined."""

    raw: Layers
    latents: Layers
    untrained: Layers
    """Latents of a random dictionary of the same size."""

    def where(self, *splits: str) -> "Contrast":
        """The rows of these splits."""
        kept = [i for i, split in enumerate(self.splits) if split in splits]

        def named(names: list[str]) -> list[str]:
            return [names[i] for i in kept]

        def cached(layers: Layers) -> dict[int, Float[Tensor, "kept _"]]:
            return {layer: rows[kept] for layer, rows in layers.items()}

        return Contrast(
            labels=self.labels[kept],
            pairs=named(self.pairs),
            templates=named(self.templates),
            splits=named(self.splits),
            domains=named(self.domains),
            sub_behaviours=named(self.sub_behaviours),
            texts=named(self.texts),
            raw=cached(self.raw),
            latents=cached(self.latents),
            untrained=cached(self.untrained),
        )


def read(path: Path, prompts: Sequence[Mapping[str, Any]], kind: str, saes: Mapping[int, SAE], seed: int) -> Contrast:
    """The rows of `path` whose prompt is of `kind`, in float64; `seed` draws the random dictionaries.

    Raises:
        TrimtabError: no such row, only one pole, rows that aren't finite, or a dictionary of another width.
    """
    by_id = {prompt["id"]: prompt for prompt in prompts if prompt["kind"] == kind}
    raw, latents, untrained = {}, {}, {}
    with Cache.open(path) as cache:
        found = [by_id[prompt] for prompt in cache.prompt_ids if prompt in by_id]
        poles = sorted({prompt["pole"] for prompt in found})
        if poles != ["high", "low"]:
            raise TrimtabError(f"{path}: poles {poles} in {len(found)} prompts of kind {kind}; expected high and low")
        for layer, sae in saes.items():
            rows = cache.prompt_rows(layer, [prompt["id"] for prompt in found])
            if rows.shape[1] != len(sae.b_dec):
                raise TrimtabError(f"{path}: layer {layer}: width {rows.shape[1]}; its SAE takes {len(sae.b_dec)}")
            raw[layer], latents[layer] = rows.double(), sae.latents(rows).double()
            active = max(1, round(float((latents[layer] > 0).sum(1).double().mean())))
            drawn = random_directions(sae.b_dec, len(sae.b_enc), active, seeds.derive(seed, "untrained", layer))
            untrained[layer] = drawn.latents(rows).double()
    return Contrast(
        labels=torch.tensor([float(prompt["pole"] == "high") for prompt in found], dtype=torch.float64),
        pairs=[prompt["pair"] for prompt in found],
        templates=[prompt["template"] for prompt in found],
        splits=[prompt["split"] for prompt in found],
        domains=[prompt["domain"] for prompt in found],
        sub_behaviours=[prompt["sub_behaviour"] for prompt in found],
        texts=[" ".join(message["content"] for message in prompt["messages"]) for prompt in found],
        raw=raw,
        latents=latents,
        untrained=untrained,
    )
