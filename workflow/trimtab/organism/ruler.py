"""Decisions in the truth's own unit: how many levels of each trait would shift the actions like this."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from trimtab.organism.law import Law


class Ruler:
    """Turns shifts of decisions into levels of traits."""

    def __init__(self, law: Law) -> None:
        gains = law.gains - law.gains.mean(1, keepdims=True)
        axes: list[Float[ndarray, " action"]] = []
        self.place: dict[str, tuple[int, int]] = {}
        """Trait -> the axis that it moves, and in which direction."""
        for trait, gain in zip(law.traits, gains, strict=True):
            known = [(at, sign) for at, axis in enumerate(axes) for sign in (1, -1) if np.allclose(gain, sign * axis)]
            if not known:
                axes.append(gain)
                known = [(len(axes) - 1, 1)]
            self.place[trait] = known[0]
        self.axes = np.stack(axes)
        self._solve = np.linalg.pinv(self.axes)

    def levels(self, shift: Float[ndarray, "*rows action"]) -> Float[ndarray, "*rows axis"]:
        """Levels along each axis that explain a shift of log-probabilities best, by least squares."""
        return np.asarray((shift - shift.mean(-1, keepdims=True)) @ self._solve)

    def own(self, trait: str, levels: Float[ndarray, "*rows axis"]) -> Float[ndarray, "*rows"]:
        """The part that is the trait's own, in the trait's direction."""
        at, sign = self.place[trait]
        return np.asarray(sign * levels[..., at])

    def names(self) -> list[str]:
        """What to call the axes: a trait's name where no other trait moves the same axis."""
        owners: Mapping[int, list[str]] = {
            at: [t for t, (axis, _) in self.place.items() if axis == at] for at in range(len(self.axes))
        }
        return [traits[0] if len(traits) == 1 else "act or ask" for traits in owners.values()]
