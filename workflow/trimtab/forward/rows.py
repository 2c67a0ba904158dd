"""What the kinds of growing rows have in common: their interface, and what a pass of the model is made of.

Rows of text grow side by side through one model. `trimtab.forward.packed` lays them one after another without padding,
`trimtab.forward.padded` pads them, `trimtab.forward.recurrent` feeds equally long pieces to layers that keep a state,
and `trimtab.forward.single` feeds row by row. Which kind a model's rows are is decided where a batch is made
(`trimtab.steering.batch`).
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Protocol

from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache

SPARE = 64
"""Free tokens a row that are added when the buffer of a layer is full."""


class Part(NamedTuple):
    """Tokens `start` to `stop` of a row's chunk."""

    row: int
    start: int
    stop: int


class Fed(NamedTuple):
    """One pass of rows through a model."""

    inputs: dict[str, Any]
    """What the model's forward takes."""
    row: Int[Tensor, "batch token"]
    """Row of each token, -1 for padding; real tokens stand in the order of rows."""
    last: Int[Tensor, "fed_row"]
    """Index among the real tokens of the last one of each row whose chunk ends here."""
    parts: list[Part]
    """What the pass feeds of the chunks, in the order of rows."""
    begun: AbstractContextManager[None] = nullcontext()
    """Context manager: inside it the forward pass starts after the layers that are already computed."""


class Placed(NamedTuple):
    """Where tokens lie among the keys and values of all rows."""

    row: Int[Tensor, "token"]
    place: Int[Tensor, "token"]


class GrowingRows(Protocol):
    """The state of a batch of rows between passes of the model."""

    def passes(self, chunks: Sequence[Sequence[int]], unsteered: int = 0) -> Iterator[Fed]:
        """The passes that append its chunk (which may be empty) to each row; each is to be run before the next.

        Args:
            unsteered: how many layers, from the first on, have not been steered in any row and are not in this round.
        """

    def repeat(self, times: int) -> None:
        """Turn each row into `times` rows side by side."""

    def select(self, rows: Sequence[int]) -> None:
        """Keep only `rows`, in their order."""


class JoinedRows(GrowingRows, Protocol):
    """Rows whose keys and values lie in one cache."""

    cache: DynamicCache

    @property
    def placed(self) -> Placed:
        """Where the last round's tokens lie in the keys and values of the cache."""


def all_chunks(chunks: Sequence[Sequence[int]]) -> list[Part]:
    """Every chunk in one part, from its first token to its last."""
    return [Part(row, 0, len(chunk)) for row, chunk in enumerate(chunks)]


def grown(
    buffer: Float[Tensor, "row head _ dim"] | None, new: Float[Tensor, "_ head _ dim"], rows: int, longest: int
) -> Float[Tensor, "row head _ dim"]:
    """A buffer (row, head, place, dim) for `longest` tokens a row: `buffer` if it is large enough, else a larger copy.

    Args:
        new: keys or values (batch, head, token, dim), whose heads, width and format the buffer has.
    """
    if buffer is not None and buffer.shape[2] >= longest:
        return buffer
    # zeros: places that nothing was written to are masked, and a masked NaN would still be one
    larger = new.new_zeros(rows, new.shape[1], longest + SPARE, new.shape[3])
    if buffer is not None:
        larger[:, :, : buffer.shape[2]] = buffer
    return larger
