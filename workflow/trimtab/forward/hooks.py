"""The one way to touch a running model: functions at sites, most of all at the residual stream after a decoder layer.

`hooked` installs a function a site and always removes it; capturing, steering and replacing by an SAE are all such
functions. A captured row of layer L equals `hidden_states[L + 1]` of the same model, except after the last layer,
where `transformers` reports the stream after the final norm (and except in Mamba, whose list of hidden states leaves
the embeddings out). What sites there are says `trimtab.forward.sites`, and what is changed where,
`trimtab.steering.steering`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from trimtab.errors import TrimtabError
from trimtab.forward.sites import INPUT, Site, as_site

Stream = Float[Tensor, "batch token width"]
Hook = Callable[[Stream], Stream | None]
"""Takes what is at a site; returns what goes on instead, or None to leave it alone."""


class UnknownArchitecture(TrimtabError):
    """No list of decoder layers can be found in a model."""


class DeepEnough(Exception):
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
def hooked(model: PreTrainedModel, hooks: Mapping[Site, Hook]) -> Iterator[None]:
    """Apply `hooks` to every forward pass inside the block.

    Raises:
        TrimtabError: a site that the model doesn't have.
    """
    stack = check_layers(model, (site.layer for site in hooks))
    handles = []
    try:
        for site, hook in hooks.items():
            module = site.module_of(stack)
            if site.side == INPUT:
                handles.append(module.register_forward_pre_hook(_on_input(site, hook)))
            else:
                handles.append(module.register_forward_hook(_on_output(site, hook)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _on_output(site: Site, hook: Hook) -> Callable[[nn.Module, Any, Any], Any]:
    def on_output(module: nn.Module, given: Any, output: Any) -> Any:
        # some architectures return a tuple whose first entry is the stream
        stream = output if isinstance(output, Tensor) else output[0]
        edited = at_columns(site, hook, module, stream)
        if edited is None:
            return None
        return edited if isinstance(output, Tensor) else (edited, *output[1:])

    return on_output


def _on_input(site: Site, hook: Hook) -> Callable[[nn.Module, Any], Any]:
    def on_input(module: nn.Module, given: Any) -> Any:
        if not given:
            raise UnknownArchitecture(f"site {site}: {type(module).__name__} is given nothing by place")
        edited = at_columns(site, hook, module, given[0])
        return None if edited is None else (edited, *given[1:])

    return on_input


def at_columns(site: Site, hook: Hook, module: nn.Module, stream: Tensor) -> Tensor | None:
    """What goes on instead of `stream`, of which the hook sees the site's columns; None for the stream itself."""
    if stream.ndim != 3:
        many = "several streams at once as in Gemma 3n; Trimtab reads and steers one stream (batch, token, d_model)"
        routed = "and a site holds rows of a sequence (batch, token, width); experts are given rows of their own"
        raise UnknownArchitecture(
            f"{type(module).__name__}: gives {stream.ndim} axes, {routed if site.module else many}"
        )
    if site.columns is None:
        return hook(stream)
    start, stop = site.columns
    if not start < stop <= stream.shape[-1]:
        raise TrimtabError(f"site {site}: expected columns from 0 to {stream.shape[-1]}")
    edited = hook(stream[..., start:stop])
    if edited is None:
        return None
    whole = stream.clone()
    whole[..., start:stop] = edited
    return whole


@contextmanager
def reading(
    model: PreTrainedModel, sites: Sequence[Site], read: Callable[[Stream], Tensor]
) -> Iterator[dict[Site, Tensor]]:
    """What a function reads at each of some sites, in the one forward pass inside the block.

    The pass ends where all of it is read, and the block with it.
    """
    found: dict[Site, Tensor] = {}
    # not the hooks themselves, which would hold one another and what they found
    wanted = len(set(sites))

    def reader(site: Site) -> Hook:
        def hook(stream: Stream) -> None:
            found[site] = read(stream)
            if len(found) == wanted:
                raise DeepEnough

        return hook

    hooks = {site: reader(site) for site in sites}
    with hooked(model, hooks), suppress(DeepEnough):
        yield found


@contextmanager
def replace(model: PreTrainedModel, layer: int, hook: Hook) -> Iterator[None]:
    """Apply one hook to the stream after one layer inside the block."""
    with hooked(model, {Site(layer): hook}):
        yield


def base_model(model: PreTrainedModel) -> PreTrainedModel:
    """The model without its language-model head, if it has one."""
    return getattr(model, model.base_model_prefix, model)


@torch.inference_mode()
def capture(model: PreTrainedModel, places: Sequence[Site | int], **inputs: Any) -> dict[int, Stream]:
    """What is at some sites, one a layer and a layer's number for the residual stream after it, by their layers.

    The one pass ends where all of it is known.

    Args:
        inputs: what the model's forward takes (`input_ids`, `attention_mask`, `position_ids`, `past_key_values`). A
            cache that is given is filled up to the deepest layer.

    Raises:
        UnknownArchitecture: a site doesn't give one row a token.
    """
    with reading(model, [*map(as_site, places)], lambda stream: stream) as kept:
        base_model(model)(**inputs, use_cache="past_key_values" in inputs)
    for stream in kept.values():
        check_stream(model, stream, inputs["input_ids"])
    return {site.layer: stream for site, stream in kept.items()}


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
