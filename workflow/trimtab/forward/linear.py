"""Linear layers whose weights lie ready for the processor.

A product of bfloat16 rows is slow on a CPU when the weights lie as they were saved. A processor with AVX-512 rearranges
them at every call for its matrix unit; one without it multiplies bfloat16 numbers one at a time, 5 to 13 times slower
than float32. So each weight is laid out once, when a model is loaded, in the order that oneDNN wants and in the dtype
that the processor multiplies: bfloat16 where it can, float32 where it can't, which is exact, since every bfloat16
number is a float32 number. Sums are taken in float32 and rounded once, as a plain layer means them. The operators are
those that PyTorch's own compiler emits for frozen weights.

What is laid out replaces the weight, so no weight stands twice in memory, and it can neither be edited nor pass a
gradient on: each attempt is an error, and so is looking at it, but for `weight_of`, which tells it by its products.
Whoever edits a model's weights loads it without (`trimtab.model.source.load`, `frozen=False`), and whoever asks for
gradients to its stream has it widened (`widen`). A weight that has another owner too, as the table of embeddings is the
head's, stays where it is, shared and visible, and is widened a block at a time.
"""

from collections import Counter
from typing import NoReturn

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from trimtab.errors import TrimtabError

BFLOAT16, FLOAT32, BLOCKS, PLAIN = "oneDNN bfloat16", "oneDNN float32", "float32 in blocks", "plain"
"""Names of the operators, as `preflight.json` records them."""

WIDTH = {BFLOAT16: torch.bfloat16, FLOAT32: torch.float32}
"""The dtype in which a laid-out product is taken."""

BLOCK = 1024
"""Outputs whose weights are widened together: few enough to stay in the cache until they are multiplied."""


def operator() -> str:
    """The fastest operator that this processor has for bfloat16 products."""
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return BFLOAT16
    return FLOAT32 if torch._C._has_mkldnn else PLAIN


def lay_out(model: nn.Module, chosen: str | None = None) -> None:
    """Put a prepared layer in the place of every bfloat16 linear layer of a model on a CPU.

    Args:
        chosen: one of `WIDTH` or `PLAIN`; None for the processor's fastest.
    """
    chosen = operator() if chosen is None else chosen
    if chosen == PLAIN:
        return
    owners = Counter(id(weight) for module in model.modules() for weight in module.parameters(recurse=False))
    prepared: dict[nn.Module, nn.Module] = {}
    for parent in [*model.modules()]:
        for name, module in [*parent._modules.items()]:
            if type(module) is not nn.Linear or not _is_slow(module.weight):
                continue
            shared = owners[id(module.weight)] > 1
            # a processor that multiplies bfloat16 widens nothing
            if shared and chosen == BFLOAT16:
                continue
            if module not in prepared:
                prepared[module] = InBlocks(module) if shared else LaidOut(module, chosen)
            setattr(parent, name, prepared[module])


def widen(model: PreTrainedModel) -> None:
    """Let a model on a CPU compute in float32, through which gradients pass.

    A bfloat16 model's linear layers go on multiplying bfloat16 rows where the processor does, twice as fast as float32:
    weights are exact, the stream is not rounded, and the head, whose sums are log-probabilities, isn't either.
    """
    narrow = operator() == BFLOAT16
    owners = Counter(id(weight) for module in model.modules() for weight in module.parameters(recurse=False))
    head = model.get_output_embeddings()
    products = {
        module
        for module in model.modules()
        if narrow and type(module) is nn.Linear and _is_slow(module.weight) and owners[id(module.weight)] == 1
    } - {head}
    model.float()
    rounding = {module: Rounding(module) for module in products}
    for parent in [*model.modules()]:
        for name, module in [*parent._modules.items()]:
            if module in rounding:
                setattr(parent, name, rounding[module])


def _is_slow(weight: Tensor) -> bool:
    return weight.dtype == torch.bfloat16 and weight.device.type == "cpu"


def operators(model: nn.Module) -> dict[str, int]:
    """How many linear layers of a model run by each operator."""
    return dict(sorted(Counter(found for module in model.modules() if (found := _operator_of(module))).items()))


def _operator_of(module: nn.Module) -> str | None:
    if isinstance(module, LaidOut | InBlocks):
        return module.operator
    return PLAIN if isinstance(module, nn.Linear) else None


def weight_of(module: nn.Module) -> Float[Tensor, "outputs inputs"] | None:
    """The weight of a linear layer in float32, laid out or not; None for any other module."""
    if isinstance(module, LaidOut):
        return module.of_units().T
    if isinstance(module, nn.Linear | InBlocks):
        return module.weight.detach().float()
    # inputs first, as GPT-2 has it
    return module.weight.detach().float().T if isinstance(module, Conv1D) else None


def inputs_of(module: nn.Module) -> int:
    """How many columns a linear layer takes; 0 for any other module."""
    if isinstance(module, LaidOut | nn.Linear | InBlocks):
        return module.in_features
    return int(module.weight.shape[0]) if isinstance(module, Conv1D) else 0


def outputs_of(module: nn.Module) -> int:
    """How many columns a linear layer gives; 0 for any other module."""
    if isinstance(module, LaidOut | nn.Linear | InBlocks):
        return module.out_features
    return int(module.weight.shape[1]) if isinstance(module, Conv1D) else 0


def bias_of(module: nn.Module) -> Float[Tensor, "outputs"] | None:
    """What such a layer adds, in float32; None where it adds nothing."""
    found = module._added if isinstance(module, LaidOut) else module.bias
    return found.detach().float() if isinstance(found, Tensor) else None


class LaidOut(nn.Module):
    """A frozen linear layer that only its operator can read."""

    @torch.no_grad()
    def __init__(self, plain: nn.Linear, operator: str) -> None:
        super().__init__()
        self.operator = operator
        self.in_features, self.out_features = plain.in_features, plain.out_features
        self._dtype = WIDTH[operator]
        # neither parameters nor buffers: what is laid out can be moved, cast or saved by nobody
        self._laid_out: Tensor = torch.ops.mkldnn._reorder_linear_weight(plain.weight.detach().to(self._dtype))
        self._added = None if plain.bias is None else plain.bias.detach().to(self._dtype)

    def forward(self, rows: Float[Tensor, "*row inputs"]) -> Float[Tensor, "*row outputs"]:
        """
        Raises:
            TrimtabError: a gradient is asked for.
        """
        if rows.requires_grad and torch.is_grad_enabled():
            self._refuse("passes no gradient on")
        # contiguous: a product with a strided slice, as `logits_to_keep` makes them, took 700 times as long
        found: Tensor = torch.ops.mkldnn._linear_pointwise(
            rows.to(self._dtype).contiguous(), self._laid_out, self._added, "none", [], ""
        )
        return found.to(rows.dtype)

    def of_units(self) -> Float[Tensor, "inputs outputs"]:
        """What it gives of each unit vector, bias apart, in float32: exact, since each sum has one term."""
        units = torch.eye(self.in_features, dtype=self._dtype)
        found: Tensor = torch.ops.mkldnn._linear_pointwise(units, self._laid_out, None, "none", [], "")
        return found.float()

    @property
    def weight(self) -> NoReturn:
        self._refuse("shows its weight to nobody")

    @property
    def bias(self) -> NoReturn:
        self._refuse("shows its bias to nobody")

    def _save_to_state_dict(self, *given: object) -> NoReturn:
        self._refuse("can't be saved")

    def _load_from_state_dict(self, *given: object) -> NoReturn:
        self._refuse("can't be loaded into")

    def _refuse(self, what: str) -> NoReturn:
        raise TrimtabError(f"a linear layer laid out for the processor {what}; load the model with frozen=False")


class Rounding(nn.Linear):
    """A linear layer of a float32 model that multiplies bfloat16: rows, and gradients that come back, are rounded."""

    def __init__(self, plain: nn.Linear) -> None:
        super().__init__(plain.in_features, plain.out_features, bias=plain.bias is not None, device="meta")
        # float32 numbers that were bfloat16 ones
        self.weight = nn.Parameter(plain.weight.detach().bfloat16(), requires_grad=False)
        self.bias = None if plain.bias is None else nn.Parameter(plain.bias.detach().bfloat16(), requires_grad=False)

    def forward(self, rows: Float[Tensor, "*row inputs"]) -> Float[Tensor, "*row outputs"]:
        return nn.functional.linear(rows.to(self.weight.dtype), self.weight, self.bias).to(rows.dtype)


class InBlocks(nn.Module):
    """A linear layer over a bfloat16 weight that others share, multiplied in float32 a block of outputs at a time."""

    operator = BLOCKS

    def __init__(self, plain: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = plain.in_features, plain.out_features
        self.weight = plain.weight
        self.bias = plain.bias

    def forward(self, rows: Float[Tensor, "*row inputs"]) -> Float[Tensor, "*row outputs"]:
        wide = rows.float()
        weights = torch.split(self.weight, BLOCK)
        added = [None] * len(weights) if self.bias is None else [part.float() for part in torch.split(self.bias, BLOCK)]
        blocks = [
            nn.functional.linear(wide, weight.float(), bias).to(rows.dtype)
            for weight, bias in zip(weights, added, strict=True)
        ]
        return torch.cat(blocks, dim=-1)
