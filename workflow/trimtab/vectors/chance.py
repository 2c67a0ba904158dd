"""Random directions by the hundred, read in decisions at the same KL as every vector: what a push without an aim does.

A random direction knows no trait, so those of a layer serve all traits whose probes sit there, at the points where
these are measured. None is kept as a vector: name and seed make it again. Two kinds are drawn, as the methods of the
same names draw them: from the sphere, and with the covariance of the corpus' rows. Directions of a kind need about the
same length for a KL, so each search sets out from what the earlier ones came to, and mostly ends at its second
measurement at the latest.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from trimtab import seeds
from trimtab.forward.sites import STREAM, Sites
from trimtab.steering.edits import added
from trimtab.vectors.applications import Application
from trimtab.vectors.calibrate import CalibrationPrompts, solve
from trimtab.vectors.decisions import DecisionReader, Situation, as_table
from trimtab.vectors.drawn import CORPUS_RANDOM, KINDS

LOG = logging.getLogger(__name__)

TOGETHER = 12
"""Directions that are measured side by side."""


class Drawn(NamedTuple):
    name: str
    unit: Float[Tensor, "d_model"]


def draw(kind: str, name: str, layer: int, corpus: Float[Tensor, "row d_model"], seed: int) -> Drawn:
    """One direction of unit length."""
    generator = torch.Generator().manual_seed(seeds.derive(seed, "chance", name, layer))
    rows, width = corpus.shape
    if kind == CORPUS_RANDOM:
        weights = torch.randn(rows, generator=generator, dtype=torch.float64)
        drawn = weights @ (corpus - corpus.mean(0))
    else:
        drawn = torch.randn(width, generator=generator, dtype=torch.float64)
    return Drawn(name, (drawn / drawn.norm()).float())


def lengths(
    prompts: CalibrationPrompts, layer: int, drawn: Sequence[Drawn], kl: float, guess: float, sites: Sites = STREAM
) -> dict[str, float]:
    """The length that has the KL of each direction that has one, by name.

    Args:
        guess: a length to set out from.
        sites: where directions are added.
    """
    units = {each.name: each.unit for each in drawn}

    def measure(pushes: Sequence[tuple[str, float]]) -> list[float]:
        return prompts.kl([added(sites.at(layer), units[name], reach) for name, reach in pushes])

    begun = dict(zip(units, measure([(name, guess) for name in units]), strict=True))
    # one that overflows sets out again from a shorter push
    scanned = {name: {guess: found} for name, found in begun.items() if math.isfinite(found)}
    solved = solve(measure, scanned, kl, guess, Application(layer, "add", "all"))
    found = {name: each.length for name, each in solved.items() if each.length is not None}
    for name in units.keys() - found.keys():
        LOG.warning("%s, layer %d: no length with a KL of %g nats was found; left out", name, layer, kl)
    return found


def chance_decisions(
    prompts: CalibrationPrompts,
    reader: DecisionReader,
    layer: int,
    corpus: Float[Tensor, "row d_model"],
    names: Sequence[str],
    kl: float,
    guess: float,
    seed: int,
    sites: Sites = STREAM,
) -> Iterator[tuple[str, float, Float[Tensor, "situation action"]]]:
    """Name, length and chances of every direction of one layer.

    Args:
        names: of both kinds.
        guess: a length to set out from, for the first directions of a kind.
        sites: where directions are added.
    """
    for kind in KINDS:
        own = [name for name in names if name.startswith(f"{kind}_")]
        known: list[float] = []
        for at in range(0, len(own), TOGETHER):
            some = [draw(kind, name, layer, corpus, seed) for name in own[at : at + TOGETHER]]
            start = math.exp(sum(map(math.log, known)) / len(known)) if known else guess
            found = lengths(prompts, layer, some, kl, start, sites)
            known += found.values()
            kept = [each for each in some if each.name in found]
            if not kept:
                continue
            edits = [added(sites.at(layer), each.unit, found[each.name]) for each in kept]
            for each, chances in zip(kept, reader.chances(edits), strict=True):
                yield each.name, found[each.name], chances


def table(
    found: Iterator[tuple[str, float, Float[Tensor, "situation action"]]],
    layer: int,
    read: Sequence[Situation],
    tools: Sequence[str],
) -> pd.DataFrame:
    """One row a direction and situation, as of vectors, with the layer and the length and without a trait."""
    parts = [
        as_table({name: chances}, "", read, tools).drop(columns="trait").assign(layer=layer, length=length)
        for name, length, chances in found
    ]
    return pd.concat(parts, ignore_index=True)
