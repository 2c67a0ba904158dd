"""Best of n by probe: reading without writing.

Nothing is steered. Of several unsteered episodes of a scenario the one is taken of which the trait's probe says most,
and its outcome stands for the scenario. If the probe reads the trait, outcomes move as under its vector, at the cost of
n episodes; if they don't, while the vector moves them, then writing along a direction does more than the direction
reads. One set of n episodes says what the best of every k up to n would be: an episode is the best of k, drawn from the
n without replacement, as often as the others of these k lie below it.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import comb
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from trimtab.agent.played import Played
from trimtab.artifacts import files, tensors
from trimtab.forward.sites import Sites
from trimtab.numeric import middle, resamples
from trimtab.rollouts.ready import ReadyAgent
from trimtab.vectors.asked import OwnEpisode
from trimtab.vectors.contract import LinearProbe
from trimtab.vectors.own_episodes import read_rows

SCORE = "score"
"""Outcome of what the probe itself says, in nats: how far the choice has anything to choose among."""

BESIDE = ("success", "calls", "breakage")
"""Outcomes of every trait, besides its declared one."""


class Row(NamedTuple):
    """One trait, outcome and k; the columns of rollouts/best_of.csv."""

    trait: str
    outcome: str
    """A column of rollouts/outcomes.parquet, or SCORE."""
    n: int
    """Of how many episodes the best is taken."""
    n_scenarios: int
    baseline_mean: float
    """Of all episodes."""
    estimate: float
    """Mean over scenarios of the chosen episode's outcome less that of all its episodes."""
    lower: float
    upper: float


def scores(agent: ReadyAgent, probe: Path, played: Sequence[Played]) -> Float[ndarray, "episode"]:
    """What a trait's probe says of each of some episodes.

    Args:
        probe: probes/<trait>.json.
    """
    layer, (fitted, _) = int(files.read_json(probe)["layer"]), tensors.read(probe.with_suffix(".safetensors"))
    own = LinearProbe.of(fitted, "raw_logistic.")
    read = read_rows(agent.model, agent.protocol, played, Sites.of(agent.described).at(layer))
    return np.array([score(each, own) for each in read])


def score(episode: OwnEpisode, probe: LinearProbe) -> float:
    """Log-odds of the trait's high pole, mean over the tokens after which the agent names a tool, where the probe was
    fitted; over all that the agent wrote in an episode without any."""
    weight, intercept = probe.on_raw_scale()
    at = episode.places.calls if bool(episode.places.calls.any()) else episode.places.written
    return float((episode.rows[at].double() @ weight).mean()) + intercept


def chosen(scores: Float[ndarray, "episode"], k: int) -> Float[ndarray, "episode"]:
    """The chance of each of a scenario's episodes to be the best of `k` that are drawn without replacement.

    Of equal scores the later episode is the better one, which is as good as chance since noise is drawn anew.
    """
    n = len(scores)
    rank = np.argsort(np.argsort(scores, kind="stable"), kind="stable")
    return np.array([comb(int(below), k - 1) / comb(n, k) for below in rank])


def table(
    scores: Mapping[str, Float[ndarray, "scenario episode"]],
    outcomes: Mapping[str, Sequence[str]],
    measured: pd.DataFrame,
    draws: int,
    level: float,
    seed: int,
) -> pd.DataFrame:
    """One row a trait, outcome and number of episodes; intervals are of a bootstrap over scenarios.

    Args:
        scores: by trait, scenarios in the order of their ids, episodes in that of their seeds.
        outcomes: by trait, columns of `measured`.
        measured: as rollouts/outcomes.parquet, one row an episode.
    """
    ordered = measured.sort_values(["scenario_id", "seed"])
    rows: list[Row] = []
    for trait, own in scores.items():
        weights = resamples(len(own), draws, seed) / len(own)
        values = {SCORE: own, **{name: ordered[name].to_numpy(float).reshape(own.shape) for name in outcomes[trait]}}
        rows += _rows(trait, own, values, weights, level)
    return pd.DataFrame(rows, columns=Row._fields)


def _rows(
    trait: str,
    scores: Float[ndarray, "scenario episode"],
    values: Mapping[str, Float[ndarray, "scenario episode"]],
    weights: Float[ndarray, "draw scenario"],
    level: float,
) -> Iterator[Row]:
    for k in range(1, scores.shape[1] + 1):
        chances = np.stack([chosen(own, k) for own in scores])
        for name, each in values.items():
            gain = (chances * each).sum(axis=1) - each.mean(axis=1)
            ends = middle(weights @ gain, level)
            yield Row(trait, name, k, len(gain), float(each.mean()), float(gain.mean()), *ends)
