"""Edits: all that a condition does to a running model, each at one site.

An edit says where (`trimtab.forward.sites`), what (`trimtab.steering.changes`), how strongly, at which tokens
(`trimtab.steering.places`) and behind which gate (`trimtab.steering.gates`). A condition's edits are a tuple: none for
an unsteered one, several for a map of many layers or two vectors at once. Which rows of a batch have which edits, and
in what order, is the business of `trimtab.steering.steering`.
"""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from trimtab.forward.sites import Site, as_site
from trimtab.steering.changes import Add, Change
from trimtab.steering.gates import Gate


@dataclass(frozen=True)
class Edit:
    """One change at one site."""

    site: Site
    change: Change
    strength: float
    """What the change counts it in: for most a signed length along a unit vector, for maps a share."""
    timing: str = "all"
    """One of `trimtab.steering.places.TIMINGS`."""
    gate: Gate | None = None
    """How far the edit is open at each of these tokens; None is wholly."""

    @property
    def reads(self) -> tuple[Site, ...]:
        """Sites besides its own whose rows it needs."""
        inputs = (self.site.inputs,) if self.change.takes_inputs else ()
        return (*inputs, *(() if self.gate is None else self.gate.sites))


Edits = tuple[Edit, ...]
"""What is done to a row; of edits at one site, the first comes first."""


def added(place: Site | int, direction: Float[Tensor, "d_model"], length: float, timing: str = "all") -> Edits:
    """The plainest edit: `length * direction` is added to what is at a place.

    Args:
        place: a site; a layer's number is the stream after it.
        direction: unit length.
        length: signed, in the units of the residual stream.
    """
    return (Edit(as_site(place), Add(direction), length, timing),)


def scaled(edits: Edits, share: float) -> Edits:
    """The edits at a share of their strength."""
    return tuple(replace(edit, strength=share * edit.strength) for edit in edits)


def after(edits: Edits) -> int:
    """The deepest layer whose output the edits neither change nor need to read anew (`Site.after`).

    Raises:
        ValueError: there are no edits.
    """
    return min(site.after for edit in edits for site in (edit.site, *edit.reads))
