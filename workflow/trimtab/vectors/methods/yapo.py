"""YaPO (2601.08441): latents of the dictionary trained by BiPO's loss, in place of a vector.

The edit raises what latents read, `dec(ReLU(z + d s)) + (h - dec(z))`, so that what the dictionary doesn't hold of a
row stays. Each latent is read by itself (`trimtab.steering.codes.EditLatents`): that is the dictionary's own reading
where latents have thresholds, and of one that keeps the k largest it is the reading before these are chosen. The paper
trains all latents and has no term that makes them few. Here those are trained whose gradient at 0 is largest, which is
that of BiPO's vector along their decoder rows (a quarter of the budget tells it), and a penalty on their sizes is a
setting. The reference is the unsteered model, as in the paper's trainer (its abstract says reference-free). How many
latents are left active stands in vectors/training.csv.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trimtab.settings.base import AboveZero, Count, NotNegative
from trimtab.steering.codes import RAISE, EditLatents
from trimtab.steering.edits import Edit, Edits
from trimtab.vectors.contract import Material
from trimtab.vectors.layers import spread
from trimtab.vectors.methods.bipo import Bipo
from trimtab.vectors.methods.bipo import Settings as Dense
from trimtab.vectors.objective import Parameters
from trimtab.vectors.preference import Preference
from trimtab.vectors.training import drawn, learned
from trimtab.vectors.unmade import CannotBeMade

LABEL = "YaPO"
SENTENCE = (
    "What some SAE latents read is raised or lowered by amounts that are trained through the model by a preference "
    "loss: with the edit the model prefers the words of the high pole to those of the low one, more than it does "
    "unsteered."
)
SOURCE = "YaPO, 2601.08441"
MAKES = "edits"
GROUPS = "trained"

CHOICE = 4
"""One in so many readings of the budget chooses the latents."""


@dataclass(frozen=True)
class Settings:
    top: Count = 64
    """Latents that are trained; 0 for all of the dictionary, whose rows the vector's file then holds."""
    l1: NotNegative = 0.0
    """Share of a step by which each latent's amount is drawn to 0, where it then stays unless the loss moves it on."""
    beta: AboveZero = 0.1
    """How steep the loss is, in nats."""
    rate: AboveZero = 0.02
    """Adam's: how far a step moves rows, about, as a share of their spread."""
    decay: NotNegative = 0.05
    """AdamW's."""


class Yapo(Preference):
    def __init__(self, material: Material, latents: Int[Tensor, "latent"], own: Settings) -> None:
        self._site, self.beta, self.decay, self._l1 = material.sites.at(material.layer), own.beta, own.decay, own.l1
        self._readers, self._decoder = material.sae.readers(latents.tolist()), material.sae.W_dec[latents]
        self.start = {"amounts": torch.zeros(len(latents))}
        self.rate = own.rate * spread(material) / float(self._decoder.norm())

    def edits(self, own: Parameters, strength: float) -> Edits:
        return (Edit(self._site, self.change(strength * own["amounts"]), 1.0),)

    def change(self, amounts: Float[Tensor, "latent"]) -> EditLatents:
        return EditLatents(*self._readers, self._decoder, amounts, RAISE)

    def settled(self, own: Parameters, rate: float) -> Parameters:
        amounts = own["amounts"]
        return {"amounts": amounts.sign() * (amounts.abs() - self._l1 * rate).clamp_min(0)}


def make(material: Material) -> Edits:
    """
    Raises:
        CannotBeMade: no latent's amount is other than 0.
    """
    own, site, plan = material.own(Settings), material.sites.at(material.layer), material.training
    latents = torch.arange(len(material.sae.b_enc))
    if 0 < own.top < len(latents):
        dense = Bipo(site, material.high.shape[1], 1.0, Dense(beta=own.beta))
        fit = [pair for pair, kept in enumerate(material.selecting) if not kept]
        some = drawn(fit, max(1, plan.passes // CHOICE // dense.passes), material.seed)
        left = [pair not in some for pair in range(len(material.selecting))]
        slope = material.readings.slopes(dense, plan, left)["vector"]
        latents = (material.sae.W_dec @ slope.to(material.sae.W_dec)).abs().topk(own.top).indices.sort().values
        # that reading is of the same budget
        plan = replace(plan, passes=plan.passes - dense.passes * len(some))
    objective = Yapo(material, latents, own)
    amounts = learned(replace(material, training=plan), objective)["amounts"]
    if not amounts.any():
        raise CannotBeMade(f"YaPO of {material.trait}: all amounts are 0; vectors.settings.yapo.l1 may be too large")
    active = amounts.nonzero()[:, 0]
    return (Edit(site, Yapo(material, latents[active], own).change(amounts[active]), 1.0),)
