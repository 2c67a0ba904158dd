"""Steer2Edit (2602.09870): a steering vector becomes small edits of those components that write along it.

Components are attention heads and neurons of MLPs in all layers; experts of a mixture are left alone. Of each module
that writes to the stream the vector `u` is the mean difference of what it gives at tokens that the agent wrote, and of
each component `g = cos(u, W x)` says how far what it writes at the mean input of both poles goes along it. An elastic
net chooses by `g` in closed form, `l = sign(g) max(|g| - rho alpha, 0) / (rho (1 - alpha))`, and each chosen component
is given `l u k'`, of rank one, where `k` is how it reads already: `W'u` of unit length, for a neuron the sign of its
column along `u`. All components of a module have one `u`, so that a module's edits are one matrix of rank one. The
paper tunes rho and alpha for each model; their defaults here are near those of its Llama-2 (0.18 and 0.55, alpha 0.8).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.forward.writers import Writer
from trimtab.settings.base import AboveZero, BelowOne
from trimtab.steering.changes import LowRank
from trimtab.steering.edits import Edit, Edits
from trimtab.vectors.contract import ROUNDING, Material
from trimtab.vectors.unmade import CannotBeMade

LABEL = "Steer2Edit"
SENTENCE = (
    "Heads and neurons that write along the mean difference of their module's output over written tokens, as an "
    "elastic net chooses them, are each given a change of rank one that writes it as they read already."
)
SOURCE = "Steer2Edit, 2602.09870"
MAKES = "edits"


@dataclass(frozen=True)
class Settings:
    rho_attention: AboveZero = 0.2
    """Threshold and shrinkage for heads: the larger, the fewer and smaller edits."""
    rho_mlp: AboveZero = 0.5
    """The same for neurons."""
    alpha: BelowOne = 0.8
    """How much of it is threshold."""


def make(material: Material) -> Edits:
    own = material.own(Settings)
    # what is no one matrix, as a mixture of experts, has no components here
    writers = [writer for writer in material.readings.writers if writer.inputs]
    means = material.readings.written([writer.site.inputs for writer in writers])
    found = []
    for writer in writers:
        high, low = (rows.double().mean(0) for rows in means[writer.site.inputs])
        weight = material.readings.weight(writer.site).double()
        rho = own.rho_attention if writer.heads else own.rho_mlp
        change = edit(weight, high, low, writer, rho, own.alpha)
        if change is not None:
            found.append(Edit(writer.site, change, 1.0))
    if not found:
        raise CannotBeMade(
            f"Steer2Edit of {material.trait}: no component writes along its module's mean difference by more than rho "
            "alpha (vectors.settings.steer2edit)"
        )
    return tuple(found)


def edit(
    weight: Float[Tensor, "width inputs"],
    high: Float[Tensor, "inputs"],
    low: Float[Tensor, "inputs"],
    writer: Writer,
    rho: float,
    alpha: float,
) -> LowRank | None:
    """Of one module; None where no component is chosen, or the poles' means are one."""
    apart = weight @ (high - low)
    if float(apart.norm()) <= ROUNDING * float((weight @ (high + low)).norm()):
        return None
    unit = apart / apart.norm()
    blocks = writer.heads or writer.inputs
    parts = (weight * ((high + low) / 2)).reshape(len(weight), blocks, -1).sum(2)
    lengths = parts.norm(dim=0)
    cosines = torch.where(lengths > 0, unit @ parts / lengths, 0.0)
    chosen = elastic_net(cosines, rho, alpha)
    # how each component reads what it writes along the vector, of unit length
    reads = torch.nn.functional.normalize((unit @ weight).reshape(blocks, -1), dim=1)
    right = (chosen[:, None] * reads).flatten()
    return LowRank(unit[:, None].float(), right[None].float()) if right.any() else None


def elastic_net(cosines: Float[Tensor, "component"], rho: float, alpha: float) -> Float[Tensor, "component"]:
    """`argmin_l  rho ((1 - alpha) l² / 2 + alpha |l|) - l g`."""
    return cosines.sign() * (cosines.abs() - rho * alpha).clamp_min(0) / (rho * (1 - alpha))
