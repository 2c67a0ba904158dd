"""What the method recovers of a known truth: one tidy table of questions and answers, with intervals.

Model, vectors and doses are the experiment's own; nothing is fitted here. How decisions are read and turned into levels
of traits is in `trimtab.organism.decisions`, how an answer gets its interval in `trimtab.organism.answers`, what the
rollouts say in `trimtab.organism.reported`.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.stats import ttest_1samp
from torch import Tensor
from transformers import PreTrainedModel

from trimtab import seeds
from trimtab.forward.sites import STREAM, Sites
from trimtab.organism import answers
from trimtab.organism.answers import Bootstrap, Row, share
from trimtab.organism.decisions import TIMINGS, Reader, prompts_of
from trimtab.organism.language import Language
from trimtab.organism.law import ACTIONS, State
from trimtab.organism.questions import (
    ALPHA,
    AS_LARGE,
    AXES,
    CHANCE,
    COLUMNS,
    DIRECTIONS,
    KL,
    LEAK,
    MOVED,
    NEGLIGIBLE,
    READ,
    SHARE,
    SIGNIFICANT,
    SIZEABLE,
)
from trimtab.organism.ruler import Ruler
from trimtab.steering.edits import added
from trimtab.vectors.artifact import Vector

PERSONAS = 400
"""Random personas at which a direction is read out."""

POLE = 2
"""Level of a trait that a persona of this module states."""


class Poles(NamedTuple):
    """Decisions on the high and on the low side of a trait, task by task."""

    high: Float[ndarray, "task action"]
    low: Float[ndarray, "task action"]

    @property
    def shift(self) -> Float[ndarray, "task action"]:
        """High minus low, in log-probabilities."""
        return np.asarray(self.high - self.low)

    def chance(self, action: int) -> Float[ndarray, "task"]:
        """How much likelier the action is on the high side."""
        return np.asarray(np.exp(self.high[:, action]) - np.exp(self.low[:, action]))


class Recovery:
    """Answers about one trained organism and its vectors."""

    def __init__(
        self,
        model: PreTrainedModel,
        language: Language,
        tasks: Sequence[str],
        norms: Mapping[int, float],
        seed: int,
        sites: Sites = STREAM,
    ) -> None:
        """
        Args:
            tasks: of the scenarios, which no vector was made from.
            norms: by layer, the residual norm that a dose of 1 comes to.
            sites: where vectors are of, and pushed along.
        """
        self._language, self._tasks, self._norms, self._seed = language, tasks, norms, seed
        self._sites = sites
        self._law, self._rows = language.law, Bootstrap(seed)
        self._width = int(model.config.hidden_size)
        self._streams: dict[int, tuple[list[dict[str, int]], Tensor]] = {}
        self._pushes: dict[tuple[str, str, float, str], Poles] = {}
        self._at_random: dict[tuple[int, float], Float[ndarray, "direction task axis"]] = {}
        self._model, self._ruler = model, Ruler(self._law)
        self._plain: dict[int, Reader] = {}
        self._persona = {trait: Poles(self._said(trait, 1), self._said(trait, -1)) for trait in self._law.traits}
        self._truth = {trait: Poles(self._meant(trait, 1), self._meant(trait, -1)) for trait in self._law.traits}
        """What the law says of the same personas and tasks."""

    def table(self, vectors: Sequence[Vector], doses: Sequence[float], dose: float, main: str) -> pd.DataFrame:
        """All answers.

        Args:
            vectors: of all methods and traits.
            doses: in shares of the residual norm, at which vectors of `main` are compared with personas.
            dose: the one at which methods, timings and random directions are compared.
            main: the method whose doses, timings and readings of other traits are compared.
        """
        rows = [*self._fidelity(), *self._personas()]
        for vector in vectors:
            rows += self._readout(vector, self._law.traits if vector.method == main else [vector.trait])
            for each in doses if vector.method == main else [dose]:
                rows += self._steered(vector, each)
                rows.append(self._likelier(vector, each))
        for vector in vectors:
            if vector.method == main:
                rows += [row for timing in TIMINGS if timing != "all" for row in self._steered(vector, dose, timing)]
                rows += self._random(vector, dose)
        for method in sorted({vector.method for vector in vectors}):
            rows.append(self._axes(method, [vector for vector in vectors if vector.method == method], dose))
        return pd.DataFrame(rows, columns=COLUMNS)

    # --- the organism itself ---

    def _fidelity(self) -> list[Row]:
        """How far the model's decisions are from the law, and how far a constant would be."""
        personas, levels = self._drawn("fidelity")
        tasks = self._many_tasks(len(personas), "fidelity")
        found = self._unsteered(personas, tasks)
        law = np.stack([self._law.probabilities(own, t, State()) for own, t in zip(levels, tasks, strict=True)])
        said = {"model": found, "one distribution for all": np.log(law.mean(0))[None]}
        return [
            self._rows.row(KL, (law * (np.log(law) - log)).sum(1), answers.mean, truth=0.0, method=method)
            for method, log in said.items()
        ]

    def _personas(self) -> list[Row]:
        rows = []
        for trait, poles in self._persona.items():
            levels = self._ruler.levels(poles.shift)
            axis, sign = self._ruler.place[trait]
            names = {"method": "persona", "trait": trait}
            for at, target in enumerate(self._ruler.names()):
                truth = 2.0 * POLE * sign if axis == at else 0.0
                rows.append(self._rows.row(MOVED, levels[:, at], answers.mean, **names, target=target, truth=truth))
            rows.append(self._chance(poles, **names))
        shifts = np.stack([poles.shift for poles in self._persona.values()], axis=1)
        truth = self._true_axes(self._law.traits)
        rows.append(self._rows.row(AXES, _centred(shifts), answers.participation, method="persona", truth=truth))
        return rows

    def _true_axes(self, traits: Sequence[str]) -> float:
        """Participation ratio of what the law's traits do."""
        gains = self._law.gains[[self._law.traits.index(trait) for trait in traits]]
        return float(answers.participation((gains - gains.mean(1, keepdims=True))[None]))

    def _said(self, trait: str, sign: int) -> Float[ndarray, "task action"]:
        """Decisions after a persona at the pole, each task with another pair of the trait's words."""
        pairs = list(self._law.poles[trait].values())
        words = [pairs[at % len(pairs)][0 if sign > 0 else 1] for at in range(len(self._tasks))]
        personas = [f"Be very {word}." for word in words]
        return self._unsteered(personas, self._tasks)

    def _meant(self, trait: str, sign: int) -> Float[ndarray, "task action"]:
        levels = {trait: sign * POLE}
        return np.asarray(np.log([self._law.probabilities(levels, task, State()) for task in self._tasks]))

    def _chance(self, poles: Poles, trait: str, **names: object) -> Row:
        action = self._law.own_action(trait)
        names |= {"trait": trait, "target": ACTIONS[action], "truth": float(self._truth[trait].chance(action).mean())}
        return self._rows.row(CHANCE, poles.chance(action), answers.mean, **names)

    # --- the vectors ---

    def _readout(self, vector: Vector, targets: Sequence[str]) -> list[Row]:
        """Correlation of a direction's reading with the true level of some traits, over random personas."""
        levels, streams = self._read(vector.layer)
        reading = (streams @ vector.unit).double().numpy()
        rows = []
        for trait in targets:
            true = np.array([own.get(trait, 0) for own in levels], dtype=float)
            names = {"method": vector.method, "trait": vector.trait, "target": trait}
            rows.append(self._rows.row(READ, np.stack([reading, true], axis=1), answers.correlation, **names))
        return rows

    def _read(self, layer: int) -> tuple[list[dict[str, int]], Float[Tensor, "persona d_model"]]:
        """Levels that random personas state, and the rows of `layer` where the action is due."""
        if layer not in self._streams:
            personas, levels = self._drawn("readout")
            tasks = self._many_tasks(len(personas), "readout")
            self._streams[layer] = levels, self._reader(personas, tasks, layer).rows
        return self._streams[layer]

    def _pushed(self, vector: Vector, dose: float, timing: str) -> Poles:
        """Decisions under the push and under its opposite."""
        key = (vector.method, vector.trait, dose, timing)
        if key not in self._pushes:
            length, when = dose * self._norms[vector.layer], TIMINGS[timing]
            both = [added(self._sites.at(vector.layer), vector.unit, sign * length, when) for sign in (1, -1)]
            self._pushes[key] = Poles(*self._without_persona(vector.layer).decisions(both))
        return self._pushes[key]

    def _steered(self, vector: Vector, dose: float, timing: str = "all") -> list[Row]:
        moved = self._ruler.levels(self._pushed(vector, dose, timing).shift)
        names = {"method": vector.method, "trait": vector.trait, "timing": timing, "dose": dose}
        rows = [
            self._rows.row(MOVED, moved[:, at], answers.mean, **names, target=target)
            for at, target in enumerate(self._ruler.names())
        ]
        own = self._ruler.own(vector.trait, moved)
        said = self._ruler.own(vector.trait, self._ruler.levels(self._persona[vector.trait].shift))
        rows.append(self._rows.row(SHARE, np.stack([own, said], axis=1), answers.ratio, **names))
        others = [at for at in range(moved.shape[1]) if at != self._ruler.place[vector.trait][0]]
        if others:
            rows.append(self._rows.row(LEAK, np.column_stack([own, moved[:, others]]), answers.leak, **names))
        return rows

    def _likelier(self, vector: Vector, dose: float) -> Row:
        names = {"method": vector.method, "timing": "all", "dose": dose}
        return self._chance(self._pushed(vector, dose, "all"), vector.trait, **names)

    def _axes(self, method: str, vectors: Sequence[Vector], dose: float) -> Row:
        """Whether a method's vectors move one axis of the actions or several."""
        shifts = np.stack([self._pushed(vector, dose, "all").shift for vector in vectors], axis=1)
        truth = self._true_axes([vector.trait for vector in vectors])
        names = {"method": method, "dose": dose, "timing": "all"}
        return self._rows.row(AXES, _centred(shifts), answers.participation, **names, truth=truth)

    def _random(self, vector: Vector, dose: float) -> list[Row]:
        """How often a random direction of the vector's length would be called a finding for the vector's trait."""
        length = dose * self._norms[vector.layer]
        effects = self._ruler.own(vector.trait, self._random_levels(vector.layer, length))
        push = added(self._sites.at(vector.layer), vector.unit, length)
        clean, steered = self._without_persona(vector.layer).decisions([(), push])
        ours = self._ruler.own(vector.trait, self._ruler.levels(steered - clean))
        said = self._ruler.own(vector.trait, self._ruler.levels(self._persona[vector.trait].shift)).mean() / 2
        names = {"method": "random", "trait": vector.trait, "timing": "all", "dose": dose}
        size = np.abs(effects.mean(1))
        p = ttest_1samp(effects, 0, axis=1).pvalue
        return [
            share(SIGNIFICANT, p < ALPHA, **names),
            share(SIZEABLE, size >= NEGLIGIBLE * abs(said), **names),
            share(AS_LARGE, size >= abs(ours.mean()), **names),
        ]

    def _random_levels(self, layer: int, length: float) -> Float[ndarray, "direction task axis"]:
        """Levels that random directions move decisions by; vectors of a layer are compared with the same ones."""
        if (layer, length) not in self._at_random:
            generator = torch.Generator().manual_seed(seeds.derive(self._seed, "organism", "random", layer))
            units = torch.nn.functional.normalize(torch.randn(DIRECTIONS, self._width, generator=generator), dim=1)
            clean, *pushed = self._without_persona(layer).decisions(
                [(), *(added(self._sites.at(layer), unit, length) for unit in units)]
            )
            self._at_random[layer, length] = self._ruler.levels(np.stack(pushed) - clean)
        return self._at_random[layer, length]

    # --- readings ---

    def _reader(self, personas: Sequence[str], tasks: Sequence[str], layer: int) -> Reader:
        prompts = prompts_of(self._language, personas, tasks)
        return Reader(self._model, self._language, prompts, self._sites.at(layer))

    def _unsteered(self, personas: Sequence[str], tasks: Sequence[str]) -> Float[ndarray, "prompt action"]:
        return np.asarray(self._reader(personas, tasks, 0).decisions([()])[0])

    def _without_persona(self, layer: int) -> Reader:
        """At the tasks alone, ready for pushes at the site of `layer`."""
        if layer not in self._plain:
            self._plain[layer] = self._reader([""] * len(self._tasks), self._tasks, layer)
        return self._plain[layer]

    # --- draws ---

    def _drawn(self, name: str) -> tuple[list[str], list[dict[str, int]]]:
        random = np.random.default_rng(seeds.derive(self._seed, "organism", "personas", name))
        drawn = [self._language.persona(random) for _ in range(PERSONAS)]
        return [persona for persona, _ in drawn], [levels for _, levels in drawn]

    def _many_tasks(self, count: int, name: str) -> list[str]:
        random = np.random.default_rng(seeds.derive(self._seed, "organism", "tasks", name))
        return [str(task) for task in random.choice(self._language.tasks(), count)]


def _centred(shifts: Float[ndarray, "task trait action"]) -> Float[ndarray, "task trait action"]:
    """Log-probabilities are scores but for a constant, which says nothing."""
    return np.asarray(shifts - shifts.mean(-1, keepdims=True))
