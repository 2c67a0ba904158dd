"""The preflight's check of prepared linear layers: which operator takes their products, and that they are right.

On a CPU a frozen model's linear layers are prepared for the processor (`trimtab.forward.linear`), and their own weights
can't be read any more. So each layer's products of real rows are kept, and a plain copy of the model, loaded for this
alone, multiplies the same rows again.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from trimtab.artifacts.manifest import Manifest
from trimtab.forward.linear import InBlocks, LaidOut, operators
from trimtab.model.checks import SAME
from trimtab.model.judged import Check
from trimtab.model.source import plain

ROUNDING = 2.0**-7
"""Largest difference of a layer's products, relative as the preflight's others, that bfloat16 rounding may cause."""

TOKENS = 16
"""Of the prompt; a plain product takes its time."""

Products = dict[str, tuple[Float[Tensor, "1 token inputs"], Float[Tensor, "1 token outputs"]]]
"""Rows and their products, by the name of the layer."""


def products(model: PreTrainedModel, prompt: Sequence[int], described: Manifest) -> list[Check]:
    """One check, or none where no layer is prepared.

    Args:
        described: the model's manifest, by which the plain copy is loaded.
    """
    kept = _kept(model, prompt[-TOKENS:])
    if not kept:
        return []
    return [compare(kept, plain(Path(described.path), described.dtype, described.device), operators(model))]


@torch.inference_mode()
def _kept(model: PreTrainedModel, prompt: Sequence[int]) -> Products:
    kept: Products = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor], Tensor], None]:
        def hook(module: nn.Module, given: tuple[Tensor], output: Tensor) -> None:
            kept[name] = given[0].clone(), output.clone()

        return hook

    handles = [
        module.register_forward_hook(keep(name))
        for name, module in model.named_modules()
        if isinstance(module, LaidOut | InBlocks)
    ]
    try:
        if handles:
            model(input_ids=torch.tensor([list(prompt)], device=model.device), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return kept


@torch.inference_mode()
def compare(kept: Products, unprepared: nn.Module, by: Mapping[str, int]) -> Check:
    """The worst layer's difference.

    Args:
        by: how many layers run by each operator, for the record.
    """
    differences = {}
    for name, (rows, found) in kept.items():
        wanted = unprepared.get_submodule(name)(rows).float()
        differences[name] = float((found.float() - wanted).square().mean().sqrt() / wanted.square().mean().sqrt())
    worst = max(differences, key=lambda name: differences[name])
    named = ", ".join(f"{count} by {operator}" for operator, count in by.items())
    detail = f"linear layers: {named}; relative difference of the products of {worst}"
    return Check(SAME, differences[worst] <= ROUNDING, differences[worst], ROUNDING, detail)
