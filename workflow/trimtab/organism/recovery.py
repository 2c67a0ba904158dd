"""What the method recovers of a known truth: one tidy table of questions and answers, with intervals.

Each answer is a mean, ratio or correlation over prompts or random directions; its interval is a percentile bootstrap
over those, or exact (Clopper-Pearson) for a share. Models, vectors and doses are the experiment's own; nothing is
fitted here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.stats import beta, ttest_1samp
from torch import Tensor
from transformers import PreTrainedModel

from trimtab import seeds
from trimtab.organism.decisions import TIMINGS, Prompts, Reader, Ruler
from trimtab.organism.language import Language
from trimtab.organism.law import State
from trimtab.organism.questions import (
    ALPHA,
    AS_LARGE,
    AXES,
    COLUMNS,
    DIRECTIONS,
    KL,
    LEAK,
    MOVED,
    NEGLIGIBLE,
    READ,
    REPORTED,
    SHARE,
    SIGNIFICANT,
    SIZEABLE,
)
from trimtab.statistics.plan import BASELINE
from trimtab.vectors.artifact import Vector

DRAWS = 2000
LEVEL = 0.95
PERSONAS = 400
"""Random personas at which a direction is read out."""

Rows = list[dict[str, Any]]


class Recovery:
    """Answers about one trained organism and its vectors."""

    def __init__(
        self,
        model: PreTrainedModel,
        language: Language,
        tasks: Sequence[str],
        norms: Mapping[int, float],
        seed: int,
    ) -> None:
        """
        Args:
            tasks: of the scenarios, which no vector was made from.
            norms: by layer, the residual norm that a dose of 1 comes to.
        """
        self._language, self._tasks, self._norms, self._seed = language, tasks, norms, seed
        self._law = language.law
        self._width = int(model.config.hidden_size)
        self._streams: dict[int, tuple[list[dict[str, int]], Tensor]] = {}
        self._shifts: dict[tuple[str, str, float, str], Float[ndarray, "task axis"]] = {}
        self._at_random: dict[tuple[int, float], Float[ndarray, "direction task axis"]] = {}
        self._reader, self._ruler = Reader(model, language), Ruler(self._law)
        self._plain = Prompts.of(language, [""] * len(tasks), tasks)
        self._clean = self._reader.decisions(self._plain)
        self._persona = {trait: self._said(trait, 1) - self._said(trait, -1) for trait in self._law.traits}
        """By trait, task by task: levels of every axis between the trait's high persona and its low one."""

    def table(self, vectors: Sequence[Vector], doses: Sequence[float], dose: float, main: str) -> pd.DataFrame:
        """All answers.

        Args:
            vectors: of all methods and traits.
            doses: in shares of the residual norm, at which vectors are compared with personas.
            dose: the one at which timings and random directions are compared.
            main: the method whose timings are compared.
        """
        rows = [*self._fidelity(), *self._personas()]
        for vector in vectors:
            rows += self._readout(vector)
            for each in doses:
                rows += self._steered(vector, each)
        mains = [vector for vector in vectors if vector.method == main]
        for vector in mains:
            rows += self._timings(vector, dose)
            rows += self._random(vector, dose)
        for method in sorted({vector.method for vector in vectors}):
            rows += self._axes(method, [vector for vector in vectors if vector.method == method], dose)
        return pd.DataFrame(rows, columns=COLUMNS)

    # --- the organism itself ---

    def _fidelity(self) -> Rows:
        """How far the model's decisions are from the law, and how far a constant would be."""
        personas, levels = self._drawn("fidelity")
        tasks = self._many_tasks(len(personas), "fidelity")
        found = self._reader.decisions(Prompts.of(self._language, personas, tasks))
        law = np.stack([self._law.probabilities(own, t, State()) for own, t in zip(levels, tasks, strict=True)])
        marginal = law.mean(0)
        rows = []
        for method, log in (("model", found), ("one distribution for all", np.log(marginal)[None])):
            kl = (law * (np.log(law) - log)).sum(1)
            rows.append(_answer(KL, kl, self._mean(kl), truth=0.0, method=method))
        return rows

    def _personas(self) -> Rows:
        rows = []
        for trait in self._law.traits:
            levels = self._persona[trait]
            for at, target in enumerate(self._ruler.names()):
                axis, sign = self._ruler.place[trait]
                truth = 4.0 * sign if axis == at else 0.0
                found = levels[:, at]
                rows.append(
                    _answer(MOVED, found, self._mean(found), method="persona", trait=trait, target=target, truth=truth)
                )
        matrix = np.stack([self._persona[trait] for trait in self._law.traits])
        rows.append(self._participation("persona", self._law.traits, matrix))
        return rows

    def _said(self, trait: str, sign: int) -> Float[ndarray, "task axis"]:
        """Levels that a persona at the pole moves decisions by, each task with another pair of the trait's words."""
        pairs = list(self._law.poles[trait].values())
        words = [pairs[at % len(pairs)][0 if sign > 0 else 1] for at in range(len(self._tasks))]
        prompts = Prompts.of(self._language, [f"Be very {word}." for word in words], self._tasks)
        return self._ruler.levels(self._reader.decisions(prompts) - self._clean)

    # --- the vectors ---

    def _readout(self, vector: Vector) -> Rows:
        """Correlation of a direction's reading with each trait's true level, over random personas."""
        levels, streams = self._read(vector.layer)
        reading = (streams @ vector.unit).double().numpy()
        rows = []
        for trait in self._law.traits:
            true = np.array([own.get(trait, 0) for own in levels], dtype=float)
            pairs = np.stack([reading, true], axis=1)
            rows.append(
                _answer(
                    READ,
                    pairs,
                    self._interval(pairs, _correlation),
                    method=vector.method,
                    trait=vector.trait,
                    target=trait,
                )
            )
        return rows

    def _read(self, layer: int) -> tuple[list[dict[str, int]], Float[Tensor, "persona d_model"]]:
        """Levels that random personas state, and the stream after `layer` where the action is due."""
        if layer not in self._streams:
            personas, levels = self._drawn("readout")
            prompts = Prompts.of(self._language, personas, self._many_tasks(len(personas), "readout"))
            self._streams[layer] = levels, self._reader.rows(prompts, layer)
        return self._streams[layer]

    def _moved(self, vector: Vector, dose: float, timing: str) -> Float[ndarray, "task axis"]:
        """Levels between the push and its opposite."""
        key = (vector.method, vector.trait, dose, timing)
        if key not in self._shifts:
            delta = dose * self._norms[vector.layer] * vector.unit
            there, back = (
                self._reader.decisions(self._plain, (vector.layer, sign * delta), timing) for sign in (1, -1)
            )
            self._shifts[key] = self._ruler.levels(there - back)
        return self._shifts[key]

    def _steered(self, vector: Vector, dose: float, timing: str = "all") -> Rows:
        moved = self._moved(vector, dose, timing)
        names = {"method": vector.method, "trait": vector.trait, "timing": timing, "dose": dose}
        rows = []
        for at, target in enumerate(self._ruler.names()):
            found = moved[:, at]
            rows.append(_answer(MOVED, found, self._mean(found), **names, target=target))
        own = self._ruler.own(vector.trait, moved)
        said = self._ruler.own(vector.trait, self._persona[vector.trait])
        both = np.stack([own, said], axis=1)
        rows.append(_answer(SHARE, both, self._interval(both, _ratio), **names))
        others = [at for at in range(moved.shape[1]) if at != self._ruler.place[vector.trait][0]]
        if others:
            leak = np.column_stack([own, moved[:, others]])
            rows.append(_answer(LEAK, leak, self._interval(leak, _leak), **names))
        return rows

    def _timings(self, vector: Vector, dose: float) -> Rows:
        return [row for timing in TIMINGS if timing != "all" for row in self._steered(vector, dose, timing)]

    def _axes(self, method: str, vectors: Sequence[Vector], dose: float) -> Rows:
        """Whether a method's vectors move one axis or several."""
        moved = [self._moved(vector, dose, "all") for vector in vectors]
        return [self._participation(method, [vector.trait for vector in vectors], np.stack(moved), dose)]

    def _participation(
        self, method: str, traits: Sequence[str], moved: Float[ndarray, "trait task axis"], dose: float | None = None
    ) -> dict[str, Any]:
        """Participation ratio of traits by actions, from levels turned back into scores; of gains, the truth's."""
        scores = (moved @ self._ruler.axes).swapaxes(0, 1)
        gains = self._law.gains[[self._law.traits.index(trait) for trait in traits]]
        return _answer(
            AXES,
            scores,
            self._interval(scores, lambda drawn: _participation_ratio(drawn.mean(-3))),
            method=method,
            dose=dose,
            timing="all" if dose is not None else None,
            truth=float(_participation_ratio(gains - gains.mean(1, keepdims=True))),
        )

    def _random(self, vector: Vector, dose: float) -> Rows:
        """How often a random direction of the vector's length would be called a finding for the vector's trait."""
        length = dose * self._norms[vector.layer]
        effects = self._ruler.own(vector.trait, self._random_levels(vector.layer, length))
        steered = self._reader.decisions(self._plain, (vector.layer, length * vector.unit))
        ours = self._ruler.own(vector.trait, self._ruler.levels(steered - self._clean))
        said = self._ruler.own(vector.trait, self._persona[vector.trait]).mean() / 2
        names = {"method": "random", "trait": vector.trait, "timing": "all", "dose": dose}
        size = np.abs(effects.mean(1))
        p = ttest_1samp(effects, 0, axis=1).pvalue
        return [
            _share(SIGNIFICANT, p < ALPHA, **names),
            _share(SIZEABLE, size >= NEGLIGIBLE * abs(said), **names),
            _share(AS_LARGE, size >= abs(ours.mean()), **names),
        ]

    def _random_levels(self, layer: int, length: float) -> Float[ndarray, "direction task axis"]:
        """Levels that random directions move decisions by; vectors of a layer are compared with the same ones."""
        if (layer, length) not in self._at_random:
            generator = torch.Generator().manual_seed(seeds.derive(self._seed, "organism", "random", layer))
            units = torch.nn.functional.normalize(torch.randn(DIRECTIONS, self._width, generator=generator), dim=1)
            pushed = [self._reader.decisions(self._plain, (layer, length * unit)) for unit in units]
            self._at_random[layer, length] = self._ruler.levels(np.stack(pushed) - self._clean)
        return self._at_random[layer, length]

    # --- draws and intervals ---

    def _drawn(self, name: str) -> tuple[list[str], list[dict[str, int]]]:
        random = np.random.default_rng(seeds.derive(self._seed, "organism", "personas", name))
        drawn = [self._language.persona(random) for _ in range(PERSONAS)]
        return [persona for persona, _ in drawn], [levels for _, levels in drawn]

    def _many_tasks(self, count: int, name: str) -> list[str]:
        random = np.random.default_rng(seeds.derive(self._seed, "organism", "tasks", name))
        return [str(task) for task in random.choice(self._language.tasks(), count)]

    def _mean(self, values: Float[ndarray, "n"]) -> tuple[float, float, float]:
        return self._interval(values, lambda drawn: drawn.mean(-1))

    def _interval(
        self, values: Float[ndarray, "n *more"], statistic: Callable[[ndarray], ndarray]
    ) -> tuple[float, float, float]:
        """The statistic, and its percentile bootstrap interval over the first axis."""
        random = np.random.default_rng(seeds.derive(self._seed, "organism", "bootstrap", len(values)))
        drawn = statistic(values[random.integers(len(values), size=(DRAWS, len(values)))])
        lower, upper = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(statistic(values)), float(lower), float(upper)


def reported(effects: pd.DataFrame, conditions: pd.DataFrame, primary: Mapping[str, str]) -> Rows:
    """How often the rollouts' own tests call a condition an effect on its trait's primary outcome, by method."""
    means = effects[(effects["estimand"] == "mean_difference") & (effects["baseline_id"] == BASELINE)]
    joined = means.drop(columns="method").merge(conditions, on="condition_id")
    pushed = joined[(joined["timing"] == "all") & (joined["dose"] > 0)]
    own = pushed[pushed["outcome"] == pushed["trait"].map(primary)].dropna(subset=["p_corrected"])
    return [
        _share(REPORTED, group["p_corrected"].to_numpy() < ALPHA, method=method, timing="all", dose=dose)
        for (method, dose), group in own.groupby(["method", "dose"])
    ]


def _answer(question: str, values: ndarray, found: tuple[float, float, float], **names: Any) -> dict[str, Any]:
    estimate, lower, upper = found
    empty = dict.fromkeys(COLUMNS)
    return {
        **empty,
        "question": question,
        "estimate": estimate,
        "lower": lower,
        "upper": upper,
        "n": len(values),
        **names,
    }


def _share(question: str, hits: ndarray, **names: Any) -> dict[str, Any]:
    return _answer(question, hits, clopper_pearson(int(hits.sum()), len(hits)), **names)


def clopper_pearson(hits: int, trials: int) -> tuple[float, float, float]:
    """A share and its exact interval."""
    tail = (1 - LEVEL) / 2
    lower = 0.0 if hits == 0 else float(beta.ppf(tail, hits, trials - hits + 1))
    upper = 1.0 if hits == trials else float(beta.ppf(1 - tail, hits + 1, trials - hits))
    return hits / trials, lower, upper


def _ratio(drawn: Float[ndarray, "*draw n 2"]) -> Float[ndarray, "*draw"]:
    means = drawn.mean(-2)
    return np.asarray(means[..., 0] / means[..., 1])


def _leak(drawn: Float[ndarray, "*draw n axis"]) -> Float[ndarray, "*draw"]:
    means = np.abs(drawn.mean(-2))
    return np.asarray(means[..., 1:].max(-1) / means[..., 0])


def _correlation(drawn: Float[ndarray, "*draw n 2"]) -> Float[ndarray, "*draw"]:
    centred = drawn - drawn.mean(-2, keepdims=True)
    product = (centred[..., 0] * centred[..., 1]).sum(-1)
    return np.asarray(product / np.sqrt((centred**2).sum(-2).prod(-1)))


def _participation_ratio(matrix: Float[ndarray, "*draw trait action"]) -> Float[ndarray, "*draw"]:
    squares = np.linalg.svd(matrix, compute_uv=False) ** 2
    return np.asarray(squares.sum(-1) ** 2 / (squares**2).sum(-1))
