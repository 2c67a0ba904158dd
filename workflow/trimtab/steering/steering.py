"""What is added to the residual stream, in which rows of a batch and at which tokens.

One `Steering` serves a batch whose rows may each have another layer, direction, dose and timing. The engine
says before every forward pass where each token stands in its episode; which of these a timing touches is decided in
`trimtab.steering.places`, everything else here. How long a push is belongs to `trimtab.vectors.dose`, rules other than
addition to `trimtab.steering.rules`, and how a push reaches the model to `trimtab.forward.hooks`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.forward.hooks import Edit, Stream, hooked
from trimtab.steering.places import Places, check_timing, touched
from trimtab.steering.rules import Rule, add


@dataclass(frozen=True)
class Push:
    """One row's intervention: `length * direction` is added to the stream after `layer`, or what `rule` says."""

    layer: int
    direction: Float[Tensor, "d_model"]
    length: float
    """Signed L2 length in the units of the residual stream; the strength of a rule."""
    timing: str
    """One of `trimtab.steering.places.TIMINGS`."""
    rule: Rule = add


class Steering:
    """The pushes of a batch's rows, ready to be applied to forward passes."""

    def __init__(self, pushes: Sequence[Push | None], device: torch.device) -> None:
        """`pushes` has one entry a row; None leaves a row alone."""
        self._rows = len(pushes)
        self._deltas: dict[int, Float[Tensor, "row d_model"]] = {}
        self._ruled: list[tuple[Push, Tensor]] = []
        """Pushes by other rules than addition, and a mask of their rows."""
        self._timings: dict[str, Bool[Tensor, row]] = {}
        """Rows of each timing."""
        self._device = device
        self._row: Int[Tensor, "batch token"] = torch.zeros(0, 0, dtype=torch.long, device=device)
        self._active: Bool[Tensor, "batch token"] | None = None
        for row, push in enumerate(pushes):
            if push is None or push.timing == "none":
                continue
            check_timing(push.timing)
            if push.rule is not add:
                self._ruled.append((push, torch.arange(self._rows, device=device) == row))
            else:
                if push.layer not in self._deltas:
                    self._deltas[push.layer] = torch.zeros(self._rows, push.direction.numel(), device=device)
                self._deltas[push.layer][row] = push.length * push.direction.to(device, torch.float32)
            if push.timing not in self._timings:
                self._timings[push.timing] = torch.zeros(self._rows, dtype=torch.bool, device=device)
            self._timings[push.timing][row] = True

    @property
    def untouched(self) -> int:
        """How many layers come before the first that is steered; 0 if none is."""
        return min((*self._deltas, *(push.layer for push, _ in self._ruled)), default=0)

    def select(self, rows: Sequence[int], repeats: int = 1) -> "Steering":
        """The steering of a batch made of `rows` of this one, each repeated in place."""
        chosen = Steering([], self._device)
        index = torch.tensor(list(rows), dtype=torch.long, device=self._device).repeat_interleave(repeats)
        chosen._rows = len(index)
        chosen._deltas = {layer: delta[index] for layer, delta in self._deltas.items()}
        chosen._ruled = [(push, own[index]) for push, own in self._ruled]
        chosen._timings = {timing: own[index] for timing, own in self._timings.items()}
        return chosen

    def locate(
        self, row: Int[Tensor, "batch token"], places: Int[Tensor, "batch token"] | Bool[Tensor, "batch token"]
    ) -> None:
        """Say what the next pass is made of: the row of each token (-1 for padding), and its place in the episode."""
        self._row = row.clamp_min(0)
        self._active = torch.zeros_like(row, dtype=torch.bool)
        at = Places.of(places)
        for timing, own in self._timings.items():
            self._active |= (row >= 0) & own[self._row] & touched(timing, at)

    @contextmanager
    def applied(self, model: PreTrainedModel) -> Iterator[None]:
        """Steer every forward pass inside the block; each must be announced by `locate`."""
        layers = {*self._deltas, *(push.layer for push, _ in self._ruled)}
        with hooked(model, {layer: self._edit(layer) for layer in sorted(layers)}):
            yield

    def _edit(self, layer: int) -> Edit:
        return lambda stream: self.pushed(layer, stream)

    def pushed(self, layer: int, stream: Stream) -> Stream:
        """The stream after `layer` with the pushes of the announced pass."""
        if self._active is None or self._active.shape != stream.shape[:2]:
            raise RuntimeError("a steered pass was not announced by locate()")
        row, active = self._row.to(stream.device), self._active.to(stream.device)
        edited = stream
        # float32: a push is often below the rounding of a bfloat16 stream
        if layer in self._deltas:
            delta = self._deltas[layer].to(stream.device)
            # a zero push runs the hook and leaves every bit alone, which adding 0.0 to -0.0 wouldn't
            touched = active & (delta != 0).any(dim=1)[row]
            if touched.any():
                edited = stream.clone()
                edited[touched] = (stream[touched].float() + delta[row[touched]]).to(stream.dtype)
        for push, own in self._ruled:
            touched = active & own.to(stream.device)[row]
            if push.layer == layer and touched.any():
                edited = stream.clone() if edited is stream else edited
                unit = push.direction.to(stream.device, torch.float32)
                edited[touched] = push.rule(stream[touched].float(), unit, push.length).to(stream.dtype)
        return edited
