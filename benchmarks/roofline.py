"""What the machine allows at most: the least time of the same tokens, of contenders that do only what bounds them.

One multiplies as often as the model's linear layers do for these tokens, by the fastest of its own products, whose
weight stays in the processor's caches. The other reads as many bytes as the weights have, once a pass. Attention
between tokens and all else are left out, so no program reaches these limits.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from trimtab.forward.linear import WIDTH, inputs_of, operator, outputs_of

ARITHMETIC, MEMORY = "limit: its products alone", "limit: reading the weights"
TRIES = 5


def multiplied(device: torch.device) -> torch.dtype:
    """The dtype in which a device multiplies a bfloat16 model fastest."""
    return torch.bfloat16 if device.type != "cpu" else WIDTH.get(operator(), torch.bfloat16)


class Work:
    """What passes of a model come to."""

    def __init__(self, model: Any) -> None:
        head = model.get_output_embeddings()
        linear = [each for each in model.modules() if inputs_of(each)]
        self.token = sum(_operations(each) for each in linear if each is not head)
        """Operations of a token in all layers."""
        self.logits = _operations(head)
        """Of a token's logits."""
        self.weights = multiplied(model.device).itemsize * sum(inputs_of(each) * outputs_of(each) for each in linear)
        """Bytes."""
        self.operations, self.passes = 0, 0
        """Of what was counted last."""

    @contextmanager
    def counted(self, model: nn.Module) -> Iterator[None]:
        """Count what passes inside the block come to."""
        self.operations, self.passes = 0, 0

        def count(module: nn.Module, given: Any, named: dict[str, Any]) -> None:
            rows, tokens = named["input_ids"].shape
            self.operations += rows * (tokens * self.token + len(named["logits_to_keep"]) * self.logits)
            self.passes += 1

        handle = model.register_forward_pre_hook(count, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()


def _operations(module: nn.Module) -> int:
    return 2 * inputs_of(module) * outputs_of(module)


class Products:
    """The fastest product of a model with so many rows."""

    @torch.inference_mode()
    def __init__(self, model: Any, rows: int, clock: Callable[[], float]) -> None:
        kinds = {
            (inputs_of(each), outputs_of(each)): each for each in model.model.layers[0].modules() if inputs_of(each)
        }
        self._clock = clock
        self._given = {
            each: torch.randn(rows, inputs_of(each)).to(model.device, model.dtype) for each in kinds.values()
        }
        seconds = {each: min(self._seconds(each) for _ in range(TRIES)) for each in self._given}
        self._fastest = max(seconds, key=lambda each: _operations(each) / seconds[each])
        self._own = rows * _operations(self._fastest)

    def _seconds(self, module: nn.Module) -> float:
        begun = self._clock()
        for _ in range(TRIES):
            module(self._given[module])
        return self._clock() - begun

    @torch.inference_mode()
    def spend(self, operations: float) -> None:
        """Do so many operations."""
        for _ in range(math.ceil(operations / self._own)):
            self._fastest(self._given[self._fastest])


class Memory:
    """As many bytes as a model's weights have, elsewhere in memory."""

    def __init__(self, work: Work, device: str) -> None:
        self._held = torch.ones(work.weights // 4, device=device)

    def read(self, times: int) -> None:
        for _ in range(times):
            self._held.sum()
