"""A forward pass kept up to a layer, so that what follows can be run again under hooks without what comes before.

Doses are measured so, one prompt under many conditions, and rows that begin alike share their first layers. Hooks are
those of `trimtab.forward.hooks`; who needs a checkpoint where is up to `trimtab.steering.replay` and to the batches of
growing rows.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from copy import copy
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from trimtab.forward.hooks import DeepEnough, Stream, base_model, decoder_layers, reading
from trimtab.forward.sites import Site


class LayerCheckpoint:
    """One forward pass kept up to a layer, so that what follows can be run again, many times, under hooks.

    Layers up to the checkpoint compute nothing and give what the checkpointed one gave. Hooks on the stream after that
    layer run; what is before it can be neither read nor changed.
    """

    @torch.inference_mode()
    def __init__(self, model: PreTrainedModel, layer: int, **inputs: Any) -> None:
        """`inputs` are what the model's forward takes; a cache among them is filled up to the layer.

        Layer -1 is before the first one: nothing is kept, and all is computed each time.
        """
        self._model, self._inputs, self.layer = model, inputs, layer
        self._output: Any = None
        if layer >= 0:
            self._output = self._given_by(layer)

    def _given_by(self, layer: int) -> Any:
        """What a layer gives, in a pass that ends there."""
        kept: list[Any] = []

        def keep(module: nn.Module, given: Any, output: Any) -> None:
            kept.append(output)
            raise DeepEnough

        handle = decoder_layers(self._model)[layer].register_forward_hook(keep)
        try:
            with suppress(DeepEnough):
                base_model(self._model)(**self._inputs, use_cache="past_key_values" in self._inputs)
        finally:
            handle.remove()
        return kept[0]

    @torch.inference_mode()
    def onward(self, layer: int) -> "LayerCheckpoint":
        """The checkpoint after a deeper layer, of a pass that goes on from here under the hooks that are there."""
        deeper = copy(self)
        with self._copied(1):
            deeper.layer, deeper._output = layer, self._given_by(layer)
        return deeper

    @property
    def stream(self) -> Stream:
        """The residual stream after the layer."""
        return self._output if isinstance(self._output, Tensor) else self._output[0]

    def at(self, site: Site) -> Stream:
        """What is at a site after the checkpoint, in a pass that ends there."""
        return self.stream if site == Site(self.layer) else self.each([site], lambda stream: stream)[site]

    @torch.inference_mode()
    def each(self, sites: Sequence[Site], read: Callable[[Stream], Tensor]) -> dict[Site, Tensor]:
        """What a function reads at each of some sites after the checkpoint, in one pass."""
        return self._each(sites, read)

    @torch.enable_grad()
    def differentiable_each(self, sites: Sequence[Site], read: Callable[[Stream], Tensor]) -> dict[Site, Tensor]:
        """The same, through which gradients pass to whatever hooks put in."""
        return self._each(sites, read)

    def _each(self, sites: Sequence[Site], read: Callable[[Stream], Tensor]) -> dict[Site, Tensor]:
        with self._copied(1), reading(self._model, sites, read) as found:
            base_model(self._model)(**self._inputs, use_cache=False)
        return found

    @torch.inference_mode()
    def logits(self, copies: int, keep: Int[Tensor, "kept"]) -> Float[Tensor, "row kept vocabulary"]:
        """Logits of tokens `keep` in `copies` of all rows, one copy after the other, under the hooks that are there, in
        the model's dtype.

        The checkpoint's inputs are whole sequences, without a cache, and their mask is one for all rows.
        """
        return self._read_on(copies, keep)

    @torch.enable_grad()
    def differentiable_logits(self, copies: int, keep: Int[Tensor, "kept"]) -> Float[Tensor, "row kept vocabulary"]:
        """The same, through which gradients pass to whatever hooks put in: only layers after the checkpoint run."""
        return self._read_on(copies, keep)

    def _read_on(self, copies: int, keep: Int[Tensor, "kept"]) -> Float[Tensor, "row kept vocabulary"]:
        inputs = {
            name: value.repeat(copies, 1) if name in ("input_ids", "position_ids") else value
            for name, value in self._inputs.items()
        }
        with self._copied(copies):
            logits: Tensor = self._model(**inputs, use_cache=False, logits_to_keep=keep).logits
        return logits

    def _copied(self, copies: int) -> AbstractContextManager[None]:
        """Passes inside start from copies of what is kept."""
        if self.layer < 0:
            return nullcontext()
        # what inference mode made can't be part of a gradient's way
        first = self.stream.clone() if torch.is_grad_enabled() else self.stream
        # of one row a view is enough
        return self.resumed(first.expand(copies, -1, -1) if len(first) == 1 else first.repeat(copies, 1, 1))

    @contextmanager
    def resumed(self, stream: Stream) -> Iterator[None]:
        """Context manager: forward passes start after the checkpointed layer, with `stream` as that layer's output."""
        output = stream if isinstance(self._output, Tensor) else (stream, *self._output[1:])
        replaced = list(decoder_layers(self._model))[: self.layer + 1]
        # an attribute of the instance hides the class's method; `accelerate` may have put one there already
        before = [module.__dict__.get("forward") for module in replaced]
        try:
            for module in replaced:
                module.forward = lambda *given, **named: output
            yield
        finally:
            for module, old in zip(replaced, before, strict=True):
                if old is None:
                    del module.forward
                else:
                    module.forward = old
