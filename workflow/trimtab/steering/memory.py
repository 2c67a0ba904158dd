"""What gates remember of each row of a batch, and the scan that makes an opening out of readings.

A gate that remembers must open the same tokens however a row's tokens are cut into passes, whichever rows share a
pass, and whether the run was killed in between. So what it has seen of a row is one number, the scan goes over the
row's tokens in their order and starts from that number, and the number is kept with each step of a batch
(`trimtab.steering.batch`). What gates there are is in `trimtab.steering.gates`.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trimtab.steering.gates import ANY, FIRST

NONE_YET = -1.0
"""In the memory of a gate of kind FIRST: nothing was decided."""


def at_first(how: str, rows: int, device: torch.device) -> Float[Tensor, "row"]:
    """The memory of rows of which nothing was read."""
    return torch.full((rows,), NONE_YET if how == FIRST else 0.0, device=device)


def scanned(
    how: str,
    said: Float[Tensor, "token"],
    row: Int[Tensor, "token"],
    written: Bool[Tensor, "token"],
    deciding: Bool[Tensor, "token"],
    memory: Float[Tensor, "row"],
) -> tuple[Float[Tensor, "token"], Float[Tensor, "row"]]:
    """How far each token is open, and what is remembered after the last one.

    Args:
        how: one of `trimtab.steering.gates.REMEMBERS`.
        said: what the gate says of each token by itself.
        row: of each token; tokens of a row stand in their order.
        written: which tokens the model wrote.
        deciding: after which the agent goes on.
    """
    if how == ANY:
        return _any(said.masked_fill(written, 0.0), row, memory)
    if how == FIRST:
        return _first(said, row, deciding & ~written, memory)
    return said, memory


def _any(
    said: Float[Tensor, "token"], row: Int[Tensor, "token"], memory: Float[Tensor, "row"]
) -> tuple[Float[Tensor, "token"], Float[Tensor, "row"]]:
    """The largest so far. Rows are told apart in one cumulative maximum, since each lies 2 above the one before."""
    order = torch.argsort(row, stable=True)
    own = row[order]
    reached = torch.maximum(said, memory[row])[order]
    # float64 holds a row's number and a float32 reading side by side
    largest = (reached.double() + 2.0 * own).cummax(dim=0).indices
    opened = torch.empty_like(said)
    opened[order] = reached[largest]
    return opened, memory.scatter_reduce(0, row, opened, "amax")


def _first(
    said: Float[Tensor, "token"],
    row: Int[Tensor, "token"],
    deciding: Bool[Tensor, "token"],
    memory: Float[Tensor, "row"],
) -> tuple[Float[Tensor, "token"], Float[Tensor, "row"]]:
    """What was said at the first deciding token, from there on."""
    number = torch.arange(len(row), device=row.device)
    never = len(row)
    first = torch.full(memory.shape, never, dtype=torch.long, device=row.device)
    first = first.scatter_reduce(0, row[deciding], number[deciding], "amin")
    decides = (memory == NONE_YET) & (first < never)
    after = memory.clone()
    after[decides] = said[first[decides]]
    known = (memory[row] != NONE_YET) | (number >= first[row])
    return torch.where(known, after[row].clamp_min(0.0), torch.zeros_like(said)), after
