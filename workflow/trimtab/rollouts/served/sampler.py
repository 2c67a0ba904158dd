"""Trimtab's draws inside vLLM's sampler: each token by its own given noise, which all engines share.

vLLM is asked for the most likely token and is left one alone, the one that `trimtab.rollouts.chooser` chose from the
same logits. What a token can't say is kept for whoever asks: an action with its chances, and logits that are not
finite.
"""

from typing import Any

import torch
from torch import Tensor
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor, MoveDirectionality

from trimtab.rollouts.chooser import Ask, Chooser
from trimtab.rollouts.episode import Choice
from trimtab.rollouts.served.requests import Order

KEY = "trimtab"
"""Of an order among a request's own arguments."""


class Draws(LogitsProcessor):  # type: ignore[misc]
    """Chooses for all rows that came with an order; vLLM makes one, and the worker gives it its chooser."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        self.chooser: Chooser | None = None
        self.said: dict[str, Choice | None] = {}
        """By the request's name: an action, or None for logits that were not finite."""
        self.logits: dict[str, Tensor] = {}
        self._rows: dict[int, tuple[Order, list[int]]] = {}
        """By their place in vLLM's batch: what was ordered, and what was written so far, which vLLM adds to."""

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        if batch_update is None:
            return
        for row in batch_update.removed:
            self._rows.pop(row, None)
        for row, params, _, written in batch_update.added:
            self._rows.pop(row, None)
            if (text := (params.extra_args or {}).get(KEY)) is not None:
                self._rows[row] = (Order.of(text), written)
        for one, other, way in batch_update.moved:
            first, second = self._rows.pop(one, None), self._rows.pop(other, None)
            if first is not None:
                self._rows[other] = first
            if second is not None and way == MoveDirectionality.SWAP:
                self._rows[one] = second

    def apply(self, logits: Tensor) -> Tensor:
        """Leave each ordered row its chosen token alone.

        A row whose prompt isn't read to its end yet chooses as well; vLLM drops that token, and the row chooses anew.
        """
        if not self._rows:
            return logits
        if self.chooser is None:
            raise RuntimeError("a request was ordered before the worker was told how to choose")
        rows = sorted(self._rows)
        orders = [self._rows[row][0] for row in rows]
        at = [len(self._rows[row][1]) for row in rows]
        asked = logits[rows]
        asks = [Ask(order.acts, order.draws[number]) for order, number in zip(orders, at, strict=True)]
        tokens = []
        for order, number, choice, own in zip(orders, at, self.chooser.choices(asked, asks), asked, strict=True):
            if order.keeps_logits and number == 0:
                self.logits[order.name] = own.clone()
            self.said.pop(order.name, None)
            if choice is None or order.acts:
                self.said[order.name] = choice
            tokens.append(order.end if choice is None or order.acts else choice.number)
        logits[rows] = float("-inf")
        logits[rows, tokens] = 0.0
        return logits
