"""Pairs of contrast prompts as trainings read them: some at a time, up to the first layer that may change, and on from
there under edits that gradients pass through.

What is before the edits is read once for all steps, so a part keeps its prompts' rows after one layer. Prompts share
the header's tokens, which stand in a pass once; an edit of the timing `all` is in force there too, while one that has
another value for each prompt (`AddEach`) leaves the header alone. What is learned of parts, and how, is up to
`trimtab.vectors.training`; the model's own parts are in `trimtab.vectors.read_parts`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float, Int
from torch import Tensor

from trimtab.forward.sites import Site
from trimtab.steering.changes import OfRows, Rows, Strength
from trimtab.steering.edits import Edits


class Part(Protocol):
    """Some pairs, read together; `pole` counts those that were asked for, the high one first.

    Everything unsteered is read when it is first asked for, without a gradient, and kept.
    """

    @property
    def pairs(self) -> int:
        """How many."""

    @property
    def numbers(self) -> Sequence[int]:
        """Which, as in `Material.high` and `low`."""

    def log_probabilities(self, edits: Sequence[Edits]) -> Float[Tensor, "edits pole pair"]:
        """Of what the agent wrote in each prompt, summed over its tokens, in nats, under each condition's edits."""

    def logits(self, edits: Sequence[Edits]) -> Float[Tensor, "edits pole pair vocabulary"]:
        """After each prompt's last token, where an action is due, under each condition's edits."""

    def said(self, edits: Edits) -> tuple[Float[Tensor, "pole pair"], Float[Tensor, "pole pair vocabulary"]]:
        """`log_probabilities` and `logits` under one condition's edits, of one reading."""

    def means(self, sites: Sequence[Site], edits: Edits) -> Float[Tensor, "site pole pair width"]:
        """Mean rows at sites of what the agent wrote in each prompt, as edits leave them there."""

    @property
    def lengths(self) -> Int[Tensor, "pole pair"]:
        """How many tokens `log_probabilities` sums over."""

    @property
    def unsteered(self) -> Float[Tensor, "pole pair"]:
        """What `log_probabilities` is without edits."""

    @property
    def unsteered_logits(self) -> Float[Tensor, "pole pair vocabulary"]:
        """What `logits` are without edits."""

    @property
    def ends(self) -> Float[Tensor, "pole pair d_model"]:
        """Unsteered rows of the prompts' last tokens at the material's site."""

    @property
    def rows(self) -> Float[Tensor, "row d_model"]:
        """Unsteered rows there of every token of a pass, as an edit at the site meets them."""

    @property
    def owners(self) -> Int[Tensor, "row"]:
        """The prompt of each of `rows`, counted pole after pole; -1 for the header."""


@dataclass(frozen=True)
class AddEach(OfRows):
    """`h + a s u` with another `s` for each row of a pass, for trainings whose prompts share one."""

    unit: Float[Tensor, "width"]
    shift: Float[Tensor, "row"]

    def __call__(self, h: Rows, strength: Strength) -> Rows:
        moved: Tensor = h + strength * self.shift.to(h)[:, None] * self.unit.to(h)
        return moved
