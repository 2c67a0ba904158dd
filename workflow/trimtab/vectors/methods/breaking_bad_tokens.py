"""Breaking Bad Tokens (2505.14536): a latent's decoder row is taken away, always, or where the latent fires.

The latent is the one that goes best with the low pole, as the paper's goes with toxicity, and what is taken away is its
decoder row at the mean that it reads where it fires in the low pole's rows. Of the paper's three ways `constant` has no
gate; `token` acts at tokens in which the latent fires; `input` from the first given token in which it fires on, and on
all that is written: a model reads from left to right, so tokens before that one can't be steered any more, which the
paper does by reading the input twice. The same gates stand before any vector of the config (`rollouts.gates`, kind
`contrast`).
"""

from dataclasses import dataclass
from typing import Literal

from trimtab.steering.changes import Add
from trimtab.steering.edits import Edit, Edits
from trimtab.steering.gates import ANY, NOTHING, Beyond
from trimtab.vectors.contract import Material
from trimtab.vectors.unmade import CannotBeMade

LABEL = "Breaking Bad Tokens"
SENTENCE = (
    "The decoder row of the SAE latent that goes best with the low pole is taken away, at the length that the latent "
    "reads, where the latent fires."
)
SOURCE = "Breaking Bad Tokens, 2505.14536"
MAKES = "edits"

REMEMBERS = {"constant": None, "input": ANY, "token": NOTHING}


@dataclass(frozen=True)
class Settings:
    gate: Literal["constant", "input", "token"] = "token"


def make(material: Material) -> Edits:
    what = f"Breaking Bad Tokens of {material.trait}"
    latent = int(material.association.argmin())
    if not float(material.association[latent]) < 0:
        raise CannotBeMade(f"{what}, layer {material.layer}: no latent goes with the low pole")
    encoder, bias, threshold = material.sae.readers([latent])
    said = (material.low.float() @ encoder.T + bias)[:, 0]
    fires = said > threshold
    row = material.sae.W_dec[latent].float()
    if not fires.any() or not row.norm() > 0:
        raise CannotBeMade(f"{what}, layer {material.layer}: the latent that goes best with the low pole never fires")
    site, remembers = material.sites.at(material.layer), REMEMBERS[material.own(Settings).gate]
    gate = None if remembers is None else Beyond((site,), encoder[0], float(bias - threshold), remembers)
    length = float(said[fires].mean() * row.norm())
    return (Edit(site, Add(row / row.norm()), -length, gate=gate),)
