"""The length at which the agent does what its trait's outcome counts as often as is wanted, for any way of applying.

Endogenous Resistance (2602.06941) asks at which strength a judge's score of the reply is a half. Here the score is
behaviour that needs no judge: the chance of the first actions that the trait's declared outcome counts, mean over
contrast prompts of pairs kept for choosing, and a dose is the chance that is wanted. A chance above the unsteered one
is looked for along the vector, one below it against the vector. A scan over growing lengths, at all of these prompts,
brackets the chance; within the bracket, trials at a few prompts drawn anew each time go on
(`trimtab.vectors.bisection`). All that is asked for of a trait is tried side by side. Where no length has the chance,
that is recorded and said by whoever asks for the length (`trimtab.vectors.dose`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from trimtab.errors import TrimtabError
from trimtab.steering.edits import Edits
from trimtab.vectors.applications import Application, Asked
from trimtab.vectors.apply import edits
from trimtab.vectors.artifact import OwnEdits, Vector
from trimtab.vectors.bisection import Bisection
from trimtab.vectors.contract import Material
from trimtab.vectors.dose import UNSCALED
from trimtab.vectors.gates import GateOf
from trimtab.vectors.record import Threshold
from trimtab.vectors.solving import SHARES

TRIALS = 20
"""As in the paper."""
PAIRS = 5
"""A trial, both poles of each."""
BEYOND = (2.0, 4.0)
"""How many times the longest calibration dose is tried when that doesn't do."""


@dataclass
class _Search:
    """Of one length: what was tried and what is known."""

    asked: Asked
    application: Application
    applied: Callable[[float], Edits]
    """From a signed length to what is applied."""
    lengths: Sequence[float]
    """Of the scan, ascending."""
    unsteered: float
    seen: list[float] = field(default_factory=list)
    """Chances at lengths of the scan."""
    forwards: int = 0
    bisection: Bisection = field(init=False)

    def __post_init__(self) -> None:
        self.bisection = Bisection(self._rising(self.asked.target))

    @property
    def sign(self) -> int:
        return 1 if self.asked.target > self.unsteered else -1

    def _rising(self, chance: float) -> float:
        """As a score that rises with the length."""
        return chance if self.sign > 0 else 1 - chance

    @property
    def bracketed(self) -> bool:
        return bool(self.seen) and self._rising(self.seen[-1]) >= self._rising(self.asked.target)

    def length(self, place: float) -> float:
        """Signed, of a place in the bracket."""
        below, above = (0.0, *self.lengths)[len(self.seen) - 1], self.lengths[len(self.seen) - 1]
        return self.sign * (below + place * (above - below))

    def scanned(self, chance: float, prompts: int) -> None:
        self.seen.append(chance)
        self.forwards += prompts
        if self.bracketed:
            for place, known in enumerate((self.unsteered, *self.seen)[-2:]):
                self.bisection.see(place, self._rising(known), prompts)

    def tried(self, chance: float, prompts: int) -> None:
        self.bisection.see(self.bisection.median, self._rising(chance), prompts)
        self.forwards += prompts

    def found(self) -> Threshold:
        length: float | None = None
        lower: float | None = None
        upper: float | None = None
        if self.bracketed:
            length = self.length(self.bisection.median)
            lower, upper = sorted(map(self.length, self.bisection.interval))
        return Threshold(
            target=self.asked.target,
            length=length,
            lower=lower,
            upper=upper,
            unsteered=self.unsteered,
            nearest=min(self.seen, key=lambda chance: abs(chance - self.asked.target)),
            forwards=self.forwards,
            layer=self.application.layer,
            rule=self.application.rule,
            timing=self.application.timing,
            gate=self.application.gate,
        )


def thresholds(
    asked: Sequence[Asked],
    vectors: Mapping[str, Vector | OwnEdits],
    material: Material,
    reach: Callable[[int], Sequence[float]],
    gate_of: GateOf,
) -> dict[str, list[Threshold]]:
    """What was found for each vector, in the order asked.

    Args:
        vectors: what was made, by name.
        reach: lengths of a layer's scan, in any order; further ones follow (`BEYOND`).

    Raises:
        TrimtabError: no pair is kept for choosing, or a trait that no first action shows.
    """
    found: dict[str, list[Threshold]] = {name: [] for name in vectors}
    if not asked:
        return found
    kept = [pair for pair, chosen in enumerate(material.selecting) if chosen]
    if not kept:
        raise TrimtabError(
            f"config.yaml, rollouts.unit: chance, and {material.trait} has no contrast pair in split select, where "
            "chances are read; expected some"
        )

    def often(conditions: Sequence[Edits], pairs: Sequence[int]) -> list[float]:
        odds = material.readings.tried(conditions, pairs).log_odds
        return [float(each) for each in odds.sigmoid().flatten(1).mean(1)]

    (unsteered,) = often([()], kept)
    searches = [_search(each, vectors[each.vector], material, reach, gate_of, unsteered) for each in asked]
    for at in range(max(len(search.lengths) for search in searches)):
        some = [search for search in searches if not search.bracketed and at < len(search.lengths)]
        if some:
            chances = often([search.applied(search.sign * search.lengths[at]) for search in some], kept)
            for search, chance in zip(some, chances, strict=True):
                search.scanned(chance, 2 * len(kept))
    some = [search for search in searches if search.bracketed]
    drawn = material.generator()
    for _ in range(TRIALS if some else 0):
        pairs = [kept[at] for at in torch.randperm(len(kept), generator=drawn)[:PAIRS].tolist()]
        chances = often([search.applied(search.length(search.bisection.median)) for search in some], pairs)
        for search, chance in zip(some, chances, strict=True):
            search.tried(chance, 2 * len(pairs))
    for search in searches:
        found[search.asked.vector].append(search.found())
    return found


def _search(
    asked: Asked,
    made: Vector | OwnEdits,
    material: Material,
    reach: Callable[[int], Sequence[float]],
    gate_of: GateOf,
    unsteered: float,
) -> _Search:
    how = asked.application(made.layer)
    # made once and not at each trial: a gate may be read from a dictionary
    gate = gate_of(how, made)

    def applied(length: float) -> Edits:
        return edits(made, how, length, "absolute", UNSCALED, material.sae, gate, material.sites)

    scan = sorted(SHARES if isinstance(made, OwnEdits) else reach(how.layer))
    return _Search(asked, how, applied, [*scan, *(times * scan[-1] for times in BEYOND)], unsteered)
