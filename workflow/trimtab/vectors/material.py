"""What a trait's vectors are made from, gathered from the artifacts of earlier stages.

Directions are made from the rows that probes are fitted on (splits fit and select) and checked on rows of templates
that nothing has seen (split test).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from trimtab.activations.reader import Cache
from trimtab.artifacts import files, tensors
from trimtab.artifacts.manifest import Manifest
from trimtab.errors import TrimtabError
from trimtab.forward.sites import Sites
from trimtab.probes.dictionaries import dictionary
from trimtab.prompts.contrast import DEVELOPMENT, POLES, TEST
from trimtab.saes.files import WEIGHTS
from trimtab.vectors import foreign
from trimtab.vectors.asked import Readings
from trimtab.vectors.contract import HIGH_POLE, Direction, Elsewhere, LinearProbe, Material, Rows
from trimtab.vectors.record import NO_AIM, RIGHT, WRONG


@dataclass(frozen=True)
class Pairs:
    """The pairs of some splits, in the order of their names."""

    high: Float[Tensor, "pair d_model"]
    low: Float[Tensor, "pair d_model"]
    splits: list[str]
    messages: list[list[list[dict[str, str]]]]
    """Conversations of the high poles, and of the low ones."""


def read_pairs(contrast: Path, cache: Path, layer: int, kind: str, splits: tuple[str, ...]) -> Pairs:
    """Rows of both poles.

    Args:
        contrast: prompts/contrast/<trait>.jsonl.
        cache: activations/contrast/<trait>.h5.
        kind: which kind of contrast prompts (`probes.contrast`).

    Raises:
        TrimtabError: no pair of this kind in these splits, a pair without one of its poles, or rows that aren't finite.
    """
    wanted = {
        (row["pair"], row["pole"]): row
        for row in files.read_jsonl(contrast)
        if row["kind"] == kind and row["split"] in splits
    }
    if not wanted:
        raise TrimtabError(f"{contrast}: no {kind} pairs in split {', '.join(splits)}")
    pairs = sorted({pair for pair, _ in wanted})
    for pair in pairs:
        for pole in POLES:
            if (pair, pole) not in wanted:
                raise TrimtabError(f"{contrast}: pair {pair} has no {pole} pole; expected both")
    high, low = ([wanted[pair, pole] for pair in pairs] for pole in POLES)
    with Cache.open(cache) as opened:
        rows = opened.prompt_rows(layer, [row["id"] for row in (*high, *low)])
    return Pairs(
        high=rows[: len(pairs)],
        low=rows[len(pairs) :],
        splits=[row["split"] for row in high],
        messages=[[row.get("messages", []) for row in side] for side in (high, low)],
    )


@dataclass(frozen=True)
class CachedRows:
    """Rows of the pairs of some splits, of any layer of a cache."""

    contrast: Path
    cache: Path
    kind: str
    splits: tuple[str, ...]

    @property
    def layers(self) -> list[int]:
        with Cache.open(self.cache) as opened:
            return opened.layers

    def __call__(self, layer: int) -> tuple[Float[Tensor, "pair d_model"], Float[Tensor, "pair d_model"]]:
        pairs = read_pairs(self.contrast, self.cache, layer, self.kind, self.splits)
        return pairs.high, pairs.low


@dataclass(frozen=True)
class TraitFiles:
    """What earlier stages made for one trait."""

    contrast: Path
    """prompts/contrast/<trait>.jsonl."""
    cache: Path
    """activations/contrast/<trait>.h5."""
    probe: Path
    """probes/<trait>.json."""
    weights: Path
    """probes/<trait>.safetensors."""
    saes: Path
    """Folder of all layers' SAEs."""
    kind: str
    """Which kind of contrast prompts (`probes.contrast`)."""
    imported: Sequence[Path] = ()
    """A file of another tool's vectors, or none."""

    @cached_property
    def fit(self) -> Mapping[str, Any]:
        """What the probe's fit chose."""
        found: Mapping[str, Any] = files.read_json(self.probe)
        return found

    @property
    def layer(self) -> int:
        return int(self.fit["layer"])

    @property
    def sae(self) -> Path:
        """Folder of the layer's SAE."""
        return self.saes / str(self.layer)

    @property
    def read(self) -> list[Path]:
        """Every file that vectors depend on."""
        return [self.contrast, self.cache, self.probe, self.weights, self.sae / WEIGHTS, *self.imported]

    @cached_property
    def pairs(self) -> Pairs:
        """Those that directions are made from, at the layer."""
        return read_pairs(self.contrast, self.cache, self.layer, self.kind, DEVELOPMENT)

    @property
    def held_out(self) -> Pairs:
        """Those that directions are checked on."""
        return read_pairs(self.contrast, self.cache, self.layer, self.kind, TEST)

    @property
    def rows(self) -> Rows:
        """Rows of `pairs`, at any layer."""
        return CachedRows(self.contrast, self.cache, self.kind, DEVELOPMENT)


def gather(
    trait: str,
    made: TraitFiles,
    described: Manifest,
    readings: Readings,
    elsewhere: Elsewhere,
    seed: int,
) -> Material:
    """Everything a method may use, at the layer that the trait's probe chose.

    Args:
        described: the model's manifest, which the SAE and an imported vector must fit.

    Raises:
        TrimtabError: the SAE is of another site, layer or model, or an imported vector doesn't fit.
    """
    layer, sites = made.layer, Sites.of(described)
    fitted, _ = tensors.read(made.weights)

    imported = [foreign.read(path, layer, described.layers, described.d_model) for path in made.imported]
    return Material(
        trait=trait,
        layer=layer,
        high=made.pairs.high,
        low=made.pairs.low,
        selecting=[split == "select" for split in made.pairs.splits],
        latent_probe=LinearProbe.of(fitted, ""),
        residual_probe=LinearProbe.of(fitted, "raw."),
        logistic_probe=LinearProbe.of(fitted, "raw_logistic."),
        penalty=float(made.fit["penalty"]),
        raw_penalties=(float(made.fit["penalties"]["raw"]), float(made.fit["penalties"]["raw_logistic"])),
        association=fitted["association"],
        sae=dictionary(made.sae, layer, described.model, sites),
        dictionary=lambda other: dictionary(made.saes / str(other), other, described.model, sites),
        readings=readings,
        rows=made.rows,
        elsewhere=elsewhere,
        seed=seed,
        imported=imported[0] if imported else None,
        sites=sites,
    )


def held_out_gap(direction: Direction, held_out: Pairs) -> float:
    """Standardised mean gap between the poles of held-out templates along a direction (positive: the right way)."""
    gaps = (held_out.high - held_out.low).double() @ direction.unit.double()
    spread = float(gaps.std())
    return float(gaps.mean()) / spread if spread > 0 else 0.0


def sign_check(direction: Direction, gap: float) -> str:
    """Whether a vector that aims at the high pole has it on its positive side, on held-out templates."""
    if direction.towards != HIGH_POLE:
        return NO_AIM
    return RIGHT if gap > 0 else WRONG
