"""Once a vector, on calibration prompts: what its doses come to in nats, and which length has a wanted KL.

All vectors of a layer are measured side by side. A scan of fixed doses comes first. A wanted KL is then searched for in
the first gap of the scan that holds it, by the straight line between its ends on log scales, since KL grows with the
square of a small length; outside the scan the line through the nearest two points goes on, and from a single point the
square alone. What one search has measured serves the next of the same vector. A scan that isn't monotone, and a KL that
isn't reached, are recorded and not repaired.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.artifacts.kept import NOTHING, Kept
from trimtab.errors import TrimtabError
from trimtab.forward.sites import Site
from trimtab.steering.edits import Edits, added
from trimtab.steering.laid import Prompt
from trimtab.steering.replay import Replay, passes
from trimtab.vectors.applications import Application
from trimtab.vectors.record import Derivatives, Opened, Solved

TOLERANCE = 0.02
"""A KL this close to the wanted one, in parts of it, is the wanted one."""

STEPS = 12
FARTHEST = 4.0
"""How many times the scan's longest push is tried before a KL counts as out of reach."""

TOKENS = 8
"""Whose distributions are compared at a time: what is computed on the way stays in a processor's cache."""

STEEPEST = 4.0
"""Power of the length that KL is trusted to go on with."""

SMALL = 0.05
"""Length, as a share of the residual norm, of the pushes whose difference quotients stand for derivatives."""


class CalibrationPrompts:
    """Prompts of one header, whose next-token distributions say how far a push moves the model."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Prompt], layer: int, kept: Kept = NOTHING) -> None:
        """`layer`: as of a replay."""
        self._replay, self._kept, self._about = Replay(model, prompts, layer), kept, ("doses", prompts, layer)
        self._clean = torch.log_softmax(self._replay.logits([()], self._replay.tail)[0], dim=-1)
        if not self._clean.isfinite().all():
            raise TrimtabError(
                f"the unsteered model's logits on calibration prompts are NaN or infinite; expected a model.dtype that "
                f"holds its numbers (now {model.dtype})"
            )
        self._chance = self._clean.exp()

    def mean(self, site: Site) -> Float[Tensor, "d_model"]:
        """The mean unsteered row at a site, at the prompts' last tokens."""
        return self._replay.at(site, self._replay.ends).mean(0).cpu()

    @cached_property
    def _still(self) -> Float[Tensor, "prompt vocabulary"]:
        """Unsteered logits of the last tokens, about their mean."""
        return _about_their_mean(self._replay.logits([()], self._replay.ends)[0])

    def kl(self, edits: Sequence[Edits]) -> list[float]:
        """Mean KL(unsteered ‖ steered) of the next token behind the header under each condition's edits, in nats.

        Infinite where the edits make logits overflow: beyond any KL.
        """
        found = [math.inf] * len(edits)
        for numbers in passes(edits):
            some = [edits[number] for number in numbers]
            kept = self._kept.found((self._about, "kl", some), partial(self._kl, some))
            for number, kl in zip(numbers, kept["kl"].tolist(), strict=True):
                found[number] = kl if math.isfinite(kl) else math.inf
        return found

    def _kl(self, edits: Sequence[Edits]) -> dict[str, Float[Tensor, "edits"]]:
        found = torch.empty(len(edits), dtype=torch.float64)
        for number, logits in self._replay.each_logits(edits, self._replay.tail):
            parts = [slice(at, at + TOKENS) for at in range(0, len(logits), TOKENS)]
            each = [_kl(logits[part], self._clean[part], self._chance[part]) for part in parts]
            found[number] = torch.cat(each).double().mean()
        return {"kl": found}

    def openings(self, edits: Edits) -> tuple[Opened, ...]:
        """How the gates of a condition's edits stood at the prompts: nothing where it has none."""
        if not any(edit.gate for edit in edits):
            return ()
        by_prompt = self._replay.openings(edits)
        return tuple(
            Opened(
                gate=number,
                prompts=len(stood),
                prompts_open=sum(each.open > 0 for each in stood),
                open_share=sum(each.open for each in stood) / max(sum(each.tokens for each in stood), 1),
            )
            for number, stood in enumerate(zip(*by_prompt, strict=True))
        )

    def derivatives(self, site: Site, unit: Float[Tensor, "d_model"], step: float) -> Derivatives:
        """Slope and curvature of the last token's logits along a direction at a site, in norm (`trimtab.vectors.dose`).

        The slope is the median over prompts and the curvature the 95th percentile, as ASC has it. Logits are taken
        about their mean, since a shift of all of them moves no distribution.
        """
        edits = [added(site, unit, step), added(site, unit, -step)]
        kept = self._kept.found((self._about, "derivatives", edits), partial(self._derivatives, edits, step))
        return Derivatives(slope=float(kept["slope"]), curvature=float(kept["curvature"]))

    def _derivatives(self, edits: Sequence[Edits], step: float) -> dict[str, Float[Tensor, ""]]:
        still = self._still
        forth, back = map(_about_their_mean, self._replay.logits(edits, self._replay.ends))
        first = ((forth - back) / (2 * step)).norm(dim=-1).double()
        second = ((forth - 2 * still + back) / step**2).norm(dim=-1).double()
        return {"slope": first.median(), "curvature": second.quantile(0.95)}


def _kl(
    logits: Float[Tensor, "token vocabulary"],
    clean: Float[Tensor, "token vocabulary"],
    chance: Float[Tensor, "token vocabulary"],
) -> Float[Tensor, "token"]:
    """KL of the distributions that logits give from `chance`, whose logarithm is `clean`."""
    return ((clean - torch.log_softmax(logits.float(), dim=-1)) * chance).sum(-1)


def _about_their_mean(logits: Float[Tensor, "prompt vocabulary"]) -> Float[Tensor, "prompt vocabulary"]:
    return logits - logits.mean(-1, keepdim=True)


@dataclass
class Search:
    """Lengths of one vector in one direction (all positive, the sign apart), and the KL that each has."""

    target: float
    seen: dict[float, float] = field(default_factory=dict)
    """Length -> KL."""

    longest: float = 0.0
    """Of the scan."""

    def next(self) -> float | None:
        """The length to measure next; None when the search is over."""
        if self.found() is not None:
            return None
        below, above = self.gap()
        if above is None:
            if below >= FARTHEST * self.longest:
                return None
            return min(below * min(self._stretch(below), 2.0), FARTHEST * self.longest)
        if below == 0:
            return above * self._stretch(above)
        rise = math.log(self.seen[above] / self.seen[below])
        if rise <= 0 or rise == math.inf:
            return math.sqrt(below * above)
        share = math.log(self.target / self.seen[below]) / rise
        # never so close to an end that the gap stays as it was
        return float(below * (above / below) ** min(max(share, 0.05), 0.95))

    def _stretch(self, at: float) -> float:
        """By how much to stretch a length for the target, if KL goes on as between here and the nearest other point, or
        with the square of the length where there is none."""
        kl = self.seen[at]
        if kl == math.inf:
            return 0.5
        if kl == 0:
            return 2.0
        square = math.sqrt(self.target / kl)
        others = [each for each, known in self.seen.items() if each != at and 0 < known < math.inf]
        if not others:
            return square
        near = min(others, key=lambda each: abs(math.log(each / at)))
        power = math.log(kl / self.seen[near]) / math.log(at / near)
        if power >= 1:
            return float((self.target / kl) ** (1 / min(power, STEEPEST)))
        # where KL hardly rises the line has no end, and the square may lead no farther
        return max(1.2, square) if kl < self.target else square

    def gap(self) -> tuple[float, float | None]:
        """The first neighbours, from 0 on, between which the KL passes the target."""
        below = 0.0
        for at in sorted(self.seen):
            if self.seen[at] > self.target:
                return below, at
            below = at
        return below, None

    def found(self) -> float | None:
        """The shortest length whose KL is the target, within tolerance, with nothing above the target before it."""
        for at in sorted(self.seen):
            if abs(self.seen[at] - self.target) <= TOLERANCE * self.target:
                return at
            if self.seen[at] > self.target:
                return None
        return None

    @property
    def monotone(self) -> bool:
        values = [self.seen[at] for at in sorted(self.seen)]
        return values == sorted(values)


Measure = Callable[[Sequence[tuple[str, float]]], list[float]]
"""KL of pushes, each a vector's name and a signed length."""

Known = Mapping[str, Mapping[float, float]]
"""KL of vectors, by name, at signed lengths."""


def scan(
    measure: Measure, signs: Mapping[str, Sequence[int]], lengths: Sequence[float], known: Known = MappingProxyType({})
) -> dict[str, dict[float, float]]:
    """KL of every vector (name -> its signs) at every length, beside what is known already.

    Raises:
        TrimtabError: a length makes logits overflow, so that it has no KL.
    """
    table = {name: dict(known.get(name, {})) for name in signs}
    asked = [(name, sign * each) for name, own in signs.items() for each in lengths for sign in own]
    asked = [(name, each) for name, each in asked if each not in table[name]]
    measured = measure(asked)
    for (name, each), kl in zip(asked, measured, strict=True):
        if kl == math.inf:
            raise TrimtabError(
                f"vector {name}: added at length {each:.4g}, it makes the model's logits NaN or infinite; expected "
                "smaller vectors.calibration_doses, or a model.dtype of wider range"
            )
        table[name][each] = kl
    return table


def solve(
    measure: Measure, scanned: dict[str, dict[float, float]], target: float, reach: float, application: Application
) -> dict[str, Solved]:
    """For each vector (by name) the length whose KL is |target|, in the direction of the target's sign.

    Args:
        scanned: KL at signed lengths, by name; what is measured on the way is put there too.
        reach: the longest push of the scan.
        application: how `measure` applies the vectors.
    """
    sign = math.copysign(1.0, target)
    searches = {}
    for name, points in scanned.items():
        seen = {abs(at): kl for at, kl in points.items() if at * sign > 0}
        searches[name] = Search(abs(target), seen, reach)
    for _ in range(STEPS):
        wanted = {name: at for name, search in searches.items() if (at := search.next()) is not None}
        if not wanted:
            break
        measured = measure([(name, sign * at) for name, at in wanted.items()])
        for (name, at), kl in zip(wanted.items(), measured, strict=True):
            searches[name].seen[at] = scanned[name][sign * at] = kl
    solved = {}
    for name, search in searches.items():
        at = search.found()
        solved[name] = Solved(
            kl=max(kl for kl in search.seen.values() if kl < math.inf) if at is None else search.seen[at],
            length=None if at is None else sign * at,
            monotone=search.monotone,
            target=target,
            layer=application.layer,
            rule=application.rule,
            timing=application.timing,
            gate=application.gate,
        )
    return solved
