"""Rows of the residual stream that vLLM's passes compute, kept in its worker until they are asked for.

vLLM may compute a token twice (a request that is begun anew) or not at all (one that it has in its cache), so what is
kept says whose tokens it is of. `trimtab.rollouts.served.rows` makes batches of it.
"""

import json
from functools import partial
from typing import Any, NamedTuple

import torch
from safetensors.torch import save as to_bytes
from torch import Tensor, nn


class Span(NamedTuple):
    """Rows that follow one another, of tokens that do."""

    name: str
    """Of the request."""
    first: int
    """Number of the first token in the request's prompt."""
    length: int

    @property
    def tokens(self) -> range:
        return range(self.first, self.first + self.length)


class Keeping:
    """The rows of some layers, pass after pass."""

    def __init__(self, stack: nn.ModuleList, layers: list[int]) -> None:
        self._spans: list[Span] = []
        self._rows: dict[int, list[Tensor]] = {layer: [] for layer in layers}
        self._pass: list[slice] = []
        self._hooks = [stack[layer].register_forward_hook(partial(self._take, layer)) for layer in layers]

    def announce(self, wanted: list[tuple[Span, int]]) -> None:
        """Before a pass: what is wanted of it, and at which of its tokens each span begins."""
        self._spans += [span for span, _ in wanted]
        self._pass = [slice(start, start + span.length) for span, start in wanted]

    def _take(self, layer: int, module: nn.Module, given: Any, output: Any) -> None:
        # what the layer's last part adds, and the stream before it
        stream = output if isinstance(output, Tensor) else output[0] + output[1]
        # a copy: what comes next may write over it
        self._rows[layer] += [stream[own].clone() for own in self._pass]

    def end(self) -> tuple[str, bytes]:
        """All spans in the order of the rows, and each layer's rows; nothing is kept after."""
        for hook in self._hooks:
            hook.remove()
        told = {str(layer): torch.cat(rows) for layer, rows in self._rows.items() if rows}
        return json.dumps(self._spans), to_bytes(told)
