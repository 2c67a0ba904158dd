"""Gates at work in a batch: which rows are behind each, what it remembers of them, and how often it was open.

`trimtab.steering.steering` says when a gate has read all it needs; what it says of a token is in
`trimtab.steering.gates`, and how readings become openings, in `trimtab.steering.memory`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trimtab.steering.gates import Gate
from trimtab.steering.memory import at_first, scanned
from trimtab.steering.places import Places
from trimtab.steering.retrieval import Retrieved

PARTS = 1000
"""A gate's openings are counted in thousandths: sums of whole numbers are the same in any order."""


class Opening(NamedTuple):
    """How a gate stood at the tokens of a row that its edits' timing touches."""

    open: float
    """Sum over these tokens of how far it was open; of a gate that is open or closed, how many it opened."""
    tokens: int
    """How many there were."""


@dataclass
class Gated:
    """A gate, the rows behind it, what it remembers of them, and how often it was open."""

    gate: Gate
    own: Bool[Tensor, "row"]
    memory: Float[Tensor, "row *kept"]
    counted: Int[Tensor, "row 2"]
    """So far, at tokens that the edits' timing touches: parts of openings, and tokens."""
    timings: dict[str, Bool[Tensor, "row"]] = field(default_factory=dict)
    """Rows behind it, by the timing of their edits."""
    open: Float[Tensor, "batch token"] | None = None
    """Of the announced pass, once its sites were reached."""

    @classmethod
    def at_first(cls, gate: Gate, own: Bool[Tensor, "row"]) -> "Gated":
        """Of rows of which nothing was read."""
        if isinstance(gate, Retrieved):
            memory = gate.at_first(len(own), own.device)
        else:
            memory = at_first(gate.remembers, len(own), own.device)
        return cls(gate, own, memory, torch.zeros(len(own), 2, dtype=torch.long, device=own.device))

    def of_rows(self, index: Int[Tensor, "chosen"]) -> "Gated":
        """The same for a batch made of some of the rows, of which nothing was read yet."""
        chosen = Gated.at_first(self.gate, self.own[index])
        chosen.timings = {timing: own[index] for timing, own in self.timings.items()}
        return chosen

    def go_on(self, other: "Gated", index: Int[Tensor, "chosen"]) -> None:
        """Go on with what was seen of some rows of another batch: each of these rows is one of those."""
        self.memory, self.counted = other.memory[index], other.counted[index]

    def see(
        self,
        ids: Int[Tensor, "batch token"],
        row: Int[Tensor, "batch token"],
        places: Places,
        own: Bool[Tensor, "batch token"],
        read: Float[Tensor, "own width"] | None,
    ) -> None:
        """How far the gate is open at each token of a pass.

        Args:
            own: real tokens of rows behind the gate.
            read: at the gate's sites, of these.
        """
        # rows whose numbers overflow open nothing, and those beside them must not see that they did
        said = self.gate(ids[own], read).nan_to_num(0.0)
        at = Places(*(each[own] for each in places))
        if isinstance(self.gate, Retrieved):
            opened, self.memory = self.gate.scanned(said, row[own], at, self.memory)
        else:
            opened, self.memory = scanned(self.gate.remembers, said, row[own], at.written, at.last, self.memory)
        self.open = torch.zeros(own.shape, device=self.memory.device)
        self.open[own] = opened

    def count(self, row: Int[Tensor, "batch token"], touched: Bool[Tensor, "batch token"]) -> None:
        """Count the pass that was seen last, at the tokens that the edits' timing touches."""
        if self.open is None:
            raise RuntimeError("a gate's openings were counted before it had seen the pass")
        parts = (PARTS * self.open[touched].detach()).round().long()
        self.counted = self.counted.index_add(0, row[touched], torch.stack([parts, torch.ones_like(parts)], dim=1))


def openings(gates: Sequence[Gated], index: Int[Tensor, "chosen"]) -> list[list[Opening]]:
    """Of each of these rows, how the gates before it stood so far, in the order of `gates`."""
    if not gates or not len(index):
        return [[] for _ in index]
    own = torch.stack([gated.own[index] for gated in gates], dim=1).tolist()
    counted = torch.stack([gated.counted[index] for gated in gates], dim=1).tolist()
    return [
        [Opening(parts / PARTS, tokens) for behind, (parts, tokens) in zip(*row, strict=True) if behind]
        for row in zip(own, counted, strict=True)
    ]
