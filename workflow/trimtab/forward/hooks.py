"""The one way to touch a running model: edits of a decoder layer's output, the residual stream after that layer.

`hooked` installs a function a layer and always removes it; capturing, steering and replacing by an SAE are all such
functions. A captured row of layer L equals `hidden_states[L + 1]` of the same model, except after the last layer,
where `transformers` reports the stream after the final norm (and except in Mamba, whose list of hidden states leaves
the embeddings out). What is added where is decided in `trimtab.steering.steering`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from trimtab.errors import TrimtabError

Stream = Float[Tensor, "batch token d_model"]
Edit = Callable[[Stream], Stream | None]
"""Takes the stream after a layer; returns what goes on instead, or None to leave it alone."""


class UnknownArchitecture(TrimtabError):
    """No list of decoder layers can be found in a model."""


class _DeepEnough(Exception):
    """Ends a forward pass after the deepest layer that was asked for."""


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """The model's decoder layers, found by structure: the one ModuleList as long as the text config says.

    Raises:
        UnknownArchitecture: there is no such list, or more than one, or the model has an encoder.
    """
    if model.config.is_encoder_decoder:  # type: ignore[union-attr]
        raise UnknownArchitecture(f"{type(model).__name__}: has an encoder; Trimtab runs decoder-only language models")
    config = model.config.get_text_config(decoder=True)  # type: ignore[union-attr, operator]
    wanted = int(config.num_hidden_layers)
    lists = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m) == wanted]
    if len(lists) > 1:
        # a picture encoder may happen to be as deep as the language model that it feeds
        inside = {id(m) for m in model.get_decoder().modules()}  # type: ignore[operator]
        lists = [(name, m) for name, m in lists if id(m) in inside]
    # a layer may hold a list of the same length itself, such as its experts; the outermost one is the stack
    outer = [(name, m) for name, m in lists if not any(name.startswith(f"{other}.") for other, _ in lists)]
    if len(outer) != 1:
        found = ", ".join(name for name, _ in outer) or "none"
        raise UnknownArchitecture(
            f"{type(model).__name__}: expected one list of {wanted} decoder layers, found {found}; "
            "Trimtab runs decoder-only language models"
        )
    return outer[0][1]


def check_layers(model: PreTrainedModel, layers: Iterable[int]) -> nn.ModuleList:
    """The model's decoder layers, if it has all of `layers`.

    Raises:
        TrimtabError: it doesn't have one of them.
    """
    stack = decoder_layers(model)
    for layer in layers:
        if not 0 <= layer < len(stack):
            raise TrimtabError(f"layer {layer} of {type(model).__name__}: expected 0 to {len(stack) - 1}")
    return stack


@contextmanager
def hooked(model: PreTrainedModel, edits: Mapping[int, Edit]) -> Iterator[None]:
    """Apply `edits` (layer -> edit) to every forward pass inside the block.

    Raises:
        TrimtabError: a layer that the model doesn't have.
    """
    stack = check_layers(model, edits)
    handles = []
    try:
        for layer, edit in edits.items():
            handles.append(stack[layer].register_forward_hook(_as_hook(edit)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _as_hook(edit: Edit) -> Callable[[nn.Module, Any, Any], Any]:
    def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
        # some architectures return a tuple whose first entry is the stream
        stream = output if isinstance(output, Tensor) else output[0]
        if stream.ndim != 3:
            raise UnknownArchitecture(
                f"{type(module).__name__}: gives {stream.ndim} axes, several streams at once as in Gemma 3n; Trimtab "
                "reads and steers one stream (batch, token, d_model)"
            )
        edited = edit(stream)
        if edited is None:
            return None
        return edited if isinstance(output, Tensor) else (edited, *output[1:])

    return hook


@contextmanager
def replace(model: PreTrainedModel, layer: int, edit: Edit) -> Iterator[None]:
    """Apply one edit at one layer inside the block."""
    with hooked(model, {layer: edit}):
        yield


class LayerCheckpoint:
    """One forward pass kept up to a layer, so that what follows can be run again, many times, under other edits.

    Layers up to the checkpoint give back what they gave, without computing anything; hooks on them still run.
    """

    @torch.inference_mode()
    def __init__(self, model: PreTrainedModel, layer: int, **inputs: Any) -> None:
        """`inputs` are what the model's forward takes; a cache among them is filled up to the layer."""
        self._model, self._inputs, self.layer = model, inputs, layer
        kept: list[Any] = []

        def keep(module: nn.Module, given: Any, output: Any) -> None:
            kept.append(output)
            raise _DeepEnough

        handle = decoder_layers(model)[layer].register_forward_hook(keep)
        try:
            with suppress(_DeepEnough):
                base_model(model)(**inputs, use_cache="past_key_values" in inputs)
        finally:
            handle.remove()
        self._output = kept[0]

    @property
    def stream(self) -> Stream:
        """The residual stream after the layer."""
        return self._output if isinstance(self._output, Tensor) else self._output[0]

    @torch.inference_mode()
    def logits(self, edit: Edit, copies: int, keep: Int[Tensor, "kept"]) -> Float[Tensor, "row kept vocabulary"]:
        """Logits of tokens `keep` in `copies` of all rows, one copy after the other, whose stream is edited.

        The checkpoint's inputs are whole sequences, without a cache, and their mask is one for all rows.
        """
        inputs = {
            name: value.repeat(copies, 1) if name in ("input_ids", "position_ids") else value
            for name, value in self._inputs.items()
        }
        first = self.stream
        # of one row a view is enough
        stream = first.expand(copies, -1, -1) if len(first) == 1 else first.repeat(copies, 1, 1)
        with self.resumed(stream), hooked(self._model, {self.layer: edit}):
            logits: Tensor = self._model(**inputs, use_cache=False, logits_to_keep=keep).logits
        return logits.float()

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


def base_model(model: PreTrainedModel) -> PreTrainedModel:
    """The model without its language-model head, if it has one."""
    return getattr(model, model.base_model_prefix, model)


@torch.inference_mode()
def capture(model: PreTrainedModel, layers: Sequence[int], **inputs: Any) -> dict[int, Stream]:
    """The residual stream after each of `layers`, from one pass that ends after the deepest of them.

    Args:
        inputs: what the model's forward takes (`input_ids`, `attention_mask`, `position_ids`, `past_key_values`). A
            cache that is given is filled up to the deepest layer.

    Raises:
        UnknownArchitecture: a layer doesn't give one row a token.
    """
    kept: dict[int, Stream] = {}
    deepest = max(layers)

    def keep(layer: int) -> Edit:
        def edit(stream: Stream) -> None:
            kept[layer] = stream
            if layer == deepest:
                raise _DeepEnough

        return edit

    with hooked(model, {layer: keep(layer) for layer in layers}), suppress(_DeepEnough):
        base_model(model)(**inputs, use_cache="past_key_values" in inputs)
    for stream in kept.values():
        check_stream(model, stream, inputs["input_ids"])
    return kept


def check_stream(model: PreTrainedModel, stream: Tensor, ids: Int[Tensor, "batch token"]) -> None:
    """Pass a stream that has one row a token.

    Raises:
        UnknownArchitecture: it doesn't: the model adds tokens of its own, lays rows out otherwise, or has several
            streams at once.
    """
    if stream.shape[:-1] != ids.shape:
        raise UnknownArchitecture(
            f"{type(model).__name__}: gives rows of shape {tuple(stream.shape)} for tokens of shape "
            f"{tuple(ids.shape)}; Trimtab reads and steers one stream (batch, token, d_model)"
        )
