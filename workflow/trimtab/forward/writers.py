"""The modules by which a layer writes to the residual stream: one of its attention, one of its MLP.

Edits that are about what a model writes (orthogonalised weights, components' edits) change these and no other. They are
found in a pass of the model and not by name: a block of a layer writes by that linear module inside it whose output is
the block's own, or by itself where there is none, as a mixture of experts does. All together must sum to what the layer
adds. They don't where a norm or a factor lies between (Gemma), and that is told.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from trimtab.errors import TrimtabError
from trimtab.forward.hooks import base_model, decoder_layers
from trimtab.forward.linear import inputs_of
from trimtab.forward.sites import Site

CLOSE = 0.02
"""Relative distance of two rows that count as one: what bfloat16 leaves of a sum."""


@dataclass(frozen=True)
class Writer:
    """A module that writes."""

    site: Site
    """What it gives."""
    inputs: int
    """Columns that it takes if it is linear; 0 for a block that isn't, and has no weight of its own."""
    heads: int = 0
    """Of how many equal parts of its inputs each is a head's; 0 for a module of the MLP, each of whose inputs is a
    neuron's."""


@torch.inference_mode()
def writers(model: PreTrainedModel, ids: Int[Tensor, "1 token"]) -> list[Writer]:
    """Those of all layers, by layer, found in a pass over some tokens.

    Raises:
        TrimtabError: they don't sum to what a layer adds.
    """
    stack = decoder_layers(model)
    given: dict[nn.Module, Tensor] = {}
    taken: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        given[module] = (output if isinstance(output, Tensor) else output[0]).float()
        if inputs:
            taken[module] = inputs[0].float()

    watched = [module for layer in stack for module in (layer, *(found for _, found in _inside(layer)))]
    handles = [module.register_forward_hook(keep) for module in watched]
    try:
        base_model(model)(input_ids=ids, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    found = []
    for number, layer in enumerate(stack):
        added = given[layer] - taken[layer]
        # each sum with the stream is rounded to a share of the stream, beside which little may be added
        rounded = torch.finfo(model.dtype).eps * given[layer].norm(dim=-1)
        blocks = {
            name: block
            for name, block in layer.named_children()
            if block in given and given[block].shape == added.shape and _has_matrices(block)
        }
        # a block that adds the stream itself, as BLOOM's do, writes by its last matrix
        ways = [[(name, *find(name, block, given)) for name, block in blocks.items()] for find in (_by, _last)]
        own = next((way for way in ways if _same(sum(given[module] for *_, module in way), added, rounded)), None)
        if own is None:
            named = ", ".join(path for _, path, _ in ways[0]) or "nothing"
            raise TrimtabError(
                f"layer {number} of {type(model).__name__}: what it adds to the stream is not what {named} gives, so "
                "no edit of these stands for what the layer writes"
            )
        for name, path, module in own:
            inputs = inputs_of(module)
            found.append(Writer(Site(number, path), inputs, _heads(model, layer.get_submodule(name), name, inputs)))
    return found


def _inside(layer: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """A layer's blocks and the linear modules in them."""
    for name, block in layer.named_children():
        yield name, block
        yield from ((f"{name}.{path}", module) for path, module in block.named_modules() if path and inputs_of(module))


def _has_matrices(block: nn.Module) -> bool:
    """Whether it is more than a norm."""
    return any(inputs_of(module) for module in block.modules()) or any(each.ndim > 1 for each in block.parameters())


def _by(name: str, block: nn.Module, given: dict[nn.Module, Tensor]) -> tuple[str, nn.Module]:
    """By what a block writes: path in its layer, and module."""
    for path, module in block.named_modules():
        if path and inputs_of(module) and module in given and _same(given[module], given[block]):
            return f"{name}.{path}", module
    return name, block


def _last(name: str, block: nn.Module, given: dict[nn.Module, Tensor]) -> tuple[str, nn.Module]:
    """The last linear module of a block that gives rows as the block does."""
    found = name, block
    for path, module in block.named_modules():
        if path and inputs_of(module) and module in given and given[module].shape == given[block].shape:
            found = f"{name}.{path}", module
    return found


def _same(one: Tensor | int, other: Tensor, rounded: Tensor | float = 0.0) -> bool:
    """Of any two shapes, row by row; 0 is the sum of nothing.

    Args:
        rounded: what each row's distance may be besides.
    """
    if not isinstance(one, Tensor) or one.shape != other.shape:
        return False
    return bool(((one - other).norm(dim=-1) <= CLOSE * other.norm(dim=-1) + rounded).all())


def _heads(model: PreTrainedModel, block: nn.Module, name: str, inputs: int) -> int:
    """Of an attention block; GatedDeltaNet has a number of its own."""
    if "att" not in name:
        return 0
    heads = int(getattr(block, "num_v_heads", None) or model.config.get_text_config(decoder=True).num_attention_heads)
    return heads if inputs % heads == 0 else 1
