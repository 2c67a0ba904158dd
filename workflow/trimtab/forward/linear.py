"""Linear layers whose weights lie ready for the processor.

A bfloat16 product on a CPU first rearranges its weights into the layout that the matrix unit wants, at every call. Done
once when a model is loaded, the same products take three quarters of the time on a few hundred rows. The operators are
those that PyTorch's own compiler emits for frozen weights.
"""

from types import MethodType

import torch
from torch import Tensor, nn


def lay_out(model: nn.Module) -> None:
    """Prepare every bfloat16 linear layer of a model on a CPU; gradients no longer flow through them."""
    for module in model.modules():
        if type(module) is nn.Linear and module.weight.dtype == torch.bfloat16 and module.weight.device.type == "cpu":
            module.register_buffer("laid_out", torch.ops.mkldnn._reorder_linear_weight(module.weight), persistent=False)
            module.forward = MethodType(_forward, module)  # type: ignore[method-assign]


def _forward(module: nn.Linear, rows: Tensor) -> Tensor:
    # contiguous: a product with a strided slice, as `logits_to_keep` makes them, took 700 times as long
    laid_out: Tensor = torch.ops.mkldnn._linear_pointwise(
        rows.contiguous(), module.laid_out, module.bias, "none", [], ""
    )
    return laid_out
