"""Gates that open in episodes whose task goes with one text among several: retrieval, while the task is read.

Of TF-IDF vectors the cosine orders texts as plain sums over a task's tokens do, `sum_t idf_t r_t`, with `r` a text's
own vector of unit length, since the task's length is the same for all texts. So what a gate remembers of a row is a sum
a text over the user's tokens, until the agent first goes on; there it opens for good, or never. Weights are whole
numbers, whose sums are the same in any order, so that no cut of a row into passes opens another gate. Gates that say
one number of each token are in `trimtab.steering.gates`.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trimtab.forward.sites import Site
from trimtab.steering.places import USER, Places

MOST = "most"
"""What such a gate remembers: the sums, and whether they are all."""

FINEST = 4096
"""The largest weight: sums over thousands of tokens stay exact in float32."""


@dataclass(frozen=True)
class Retrieved:
    """Open where the user's first text goes with text `own` more than with all others, or as much as with later ones;
    closed where it goes with none."""

    ids: Int[Tensor, "id"]
    """Tokens that count, ascending."""
    weights: Float[Tensor, "id text"]
    """What each counts for each text: whole numbers from 0 to `FINEST`."""
    own: int
    remembers: str = MOST
    sites: ClassVar[tuple[Site, ...]] = ()

    def __call__(
        self, ids: Int[Tensor, "token"], rows: Float[Tensor, "token width"] | None = None
    ) -> Float[Tensor, "token text"]:
        known, weights = self.ids.to(ids.device), self.weights.to(ids.device)
        at = torch.searchsorted(known, ids).clamp_max(len(known) - 1)
        return torch.where((known[at] == ids)[:, None], weights[at], 0.0)

    def at_first(self, rows: int, device: torch.device) -> Float[Tensor, "row kept"]:
        """The memory of rows of which nothing was read: a sum a text, and 1 once they are all."""
        return torch.zeros(rows, self.weights.shape[1] + 1, device=device)

    def scanned(
        self,
        said: Float[Tensor, "token text"],
        row: Int[Tensor, "token"],
        places: Places,
        memory: Float[Tensor, "row kept"],
    ) -> tuple[Float[Tensor, "token"], Float[Tensor, "row kept"]]:
        """How far each token is open, and what is remembered after the last one.

        Args:
            row: of each token; tokens of a row stand in their order.
            places: of the same.
        """
        number = torch.arange(len(row), device=row.device)
        deciding = places.last & ~places.written
        first = torch.full((len(memory),), len(row), device=row.device)
        first = first.scatter_reduce(0, row[deciding], number[deciding], "amin")
        first[memory[:, -1] > 0] = -1
        counts = (places.role == USER) & ~places.written & (number <= first[row])
        after = memory.clone()
        after[:, :-1].index_add_(0, row[counts], said[counts])
        after[first < len(row), -1] = 1.0
        sums = after[:, :-1]
        opens = (sums.argmax(dim=1) == self.own) & (sums[:, self.own] > 0)
        return (opens[row] & (number >= first[row])).float(), after


def opened(gate: Retrieved, ids: Int[Tensor, "token"], places: Places) -> Bool[Tensor, ""]:
    """Whether it is open at the end of one row."""
    row = torch.zeros_like(ids)
    found, _ = gate.scanned(gate(ids), row, places, gate.at_first(1, ids.device))
    return found[-1] > 0
