"""What `transformers` alone makes of the preflight's prompts: the other side of its comparisons.

A model is loaded for it that nothing is done to but one plain hook, and is gone before the next is loaded; so all that
is kept is small. What is compared with it is in `trimtab.model.preflight`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from trimtab.forward.hooks import check_stream, decoder_layers
from trimtab.forward.proof import alone
from trimtab.forward.sites import STREAM, Site, Sites

Logits = Sequence[Float[Tensor, "vocabulary"]]
"""Of each prompt's last token."""


@dataclass(frozen=True)
class Reference:
    """What `transformers` alone makes of the prompts."""

    alone: Logits
    """Of each prompt."""
    joined: Logits
    """Of each prompt after each header, headers outermost."""
    rows: dict[int, Float[Tensor, "token d_model"]]
    """Of all tokens but each prompt's first, prompt after prompt: hidden states after layers below the last, or what a
    plain hook on the module of each layer sees."""
    place: int
    """The layer whose site is pushed for `steered`: not the first, where the model has more."""
    strength: float
    """Length of the push, half of the mean length of the stream's rows."""
    steered: Float[Tensor, "vocabulary"]
    """Of the first prompt, all of whose tokens are pushed."""


def reference(
    plain: PreTrainedModel, prompts: Sequence[Sequence[int]], layers: Sequence[int], sites: Sites = STREAM
) -> Reference:
    """Run a model that nothing was done to. All that is kept is small, so it can go before the next is loaded.

    Raises:
        TrimtabError: the model can't be run.
    """
    with alone(plain):
        return _reference(plain, prompts, layers, sites)


def _reference(
    plain: PreTrainedModel, prompts: Sequence[Sequence[int]], layers: Sequence[int], sites: Sites
) -> Reference:
    depth = len(decoder_layers(plain))
    place = max(*layers, min(1, depth - 1))
    states = [hidden_states(plain, prompt) for prompt in prompts]
    length = float(states[0][min(place, depth - 2) if depth > 1 else 0][1:].float().norm(dim=1).mean())
    push: Tensor = 0.5 * length * push_direction(plain)

    def pushed(module: nn.Module, given: Any, output: Any) -> Any:
        stream = output if isinstance(output, Tensor) else output[0]
        moved = stream + push.to(stream)
        return moved if isinstance(output, Tensor) else (moved, *output[1:])

    handle = _module(plain, sites.at(place)).register_forward_hook(pushed)
    try:
        steered = last_logits(plain, prompts[0])
    finally:
        handle.remove()
    return Reference(
        alone=[last_logits(plain, prompt) for prompt in prompts],
        joined=[last_logits(plain, [*header, *prompt]) for header in two_headers(prompts) for prompt in prompts],
        rows=(
            _rows_of_modules(plain, prompts, sites.of_layers(layers))
            if sites.modules
            else {layer: torch.cat([each[layer][1:] for each in states]) for layer in comparable_layers(layers, depth)}
        ),
        place=place,
        strength=0.5 * length,
        steered=steered,
    )


def _module(plain: PreTrainedModel, site: Site) -> nn.Module:
    """The module whose output is at a site; by `torch` alone, as everything here."""
    return decoder_layers(plain)[site.layer].get_submodule(site.module)


@torch.inference_mode()
def _rows_of_modules(
    plain: PreTrainedModel, prompts: Sequence[Sequence[int]], sites: Sequence[Site]
) -> dict[int, Float[Tensor, "token d_model"]]:
    seen: dict[int, list[Tensor]] = {site.layer: [] for site in sites}

    def keep(layer: int) -> Callable[[nn.Module, Any, Any], None]:
        # a copy: what comes next may write over it
        return lambda module, given, output: seen[layer].append(
            (output if isinstance(output, Tensor) else output[0])[0, 1:].clone()
        )

    handles = [_module(plain, site).register_forward_hook(keep(site.layer)) for site in sites]
    try:
        for prompt in prompts:
            last_logits(plain, prompt)
    finally:
        for handle in handles:
            handle.remove()
    return {layer: torch.cat(rows) for layer, rows in seen.items()}


def push_direction(model: PreTrainedModel) -> Float[Tensor, "d_model"]:
    return push_of(int(model.config.get_text_config(decoder=True).hidden_size))


def push_of(width: int) -> Float[Tensor, "d_model"]:
    """The same, of a model of this width."""
    return torch.nn.functional.normalize(torch.linspace(-1, 1, width), dim=0)


def two_headers(prompts: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """Two headers of unequal length."""
    return [prompts[0], prompts[1][:-1]]


def comparable_layers(layers: Sequence[int], depth: int) -> list[int]:
    """Layers whose rows `transformers` gives too: the last one's entry comes after the final norm.

    Where the last is asked for alone, it is the one below it; none, if there is no other.
    """
    below = [layer for layer in layers if layer < depth - 1]
    return below or list(range(depth - 1))[-1:]


@torch.inference_mode()
def last_logits(model: PreTrainedModel, prompt: Sequence[int]) -> Float[Tensor, "vocabulary"]:
    ids = torch.tensor([list(prompt)], device=model.device)
    logits: Tensor = model(input_ids=ids, use_cache=False).logits
    return logits[0, -1].float()


@torch.inference_mode()
def hidden_states(model: PreTrainedModel, prompt: Sequence[int]) -> list[Float[Tensor, "token d_model"]]:
    """The library's own list of states after each layer; its last entry comes after the final norm."""
    ids = torch.tensor([list(prompt)], device=model.device)
    inputs: list[Tensor] = []
    handle = decoder_layers(model)[0].register_forward_pre_hook(
        lambda _, given, named: inputs.append(given[0] if given else named["hidden_states"]), with_kwargs=True
    )
    try:
        states = model(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states
    finally:
        handle.remove()
    for state in states:
        check_stream(model, state, ids)
    # Mamba's list begins after the first layer, all others' before it
    return [state[0] for state in states[int(torch.equal(states[0], inputs[0])) :]]
