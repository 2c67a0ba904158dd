"""CASAL (2510.02324) for a linear module, in closed form: the layer's MLP learns to move each pole as a vector would.

CASAL trains the down-projection of one layer, so that what follows it is `+v` away from where it was for one class and
`-v` for the other, where `v` is the difference of the classes' means. Of a linear module that least-squares problem has
an optimum of rank one: `v w`, where `w` is the regression of the class, +1 or -1, on what the module takes. So the
weight asks its own input which pole a token is of, and writes the vector only as far as it is of one. The regression is
of ridge, with the penalty that says best which class pairs kept from the fit are of. In models that normalise what the
MLP gives before they add it to the stream (Gemma) the length that arrives there is another.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from trimtab.errors import TrimtabError
from trimtab.forward.sites import Site
from trimtab.steering.changes import LowRank
from trimtab.steering.edits import Edit, Edits
from trimtab.vectors.contract import Material
from trimtab.vectors.unmade import CannotBeMade

LABEL = "CASAL"
SENTENCE = (
    "The down-projection of the MLP at the probe's layer is changed by a matrix of rank one, so that it adds the mean "
    "difference of the poles as far as its own input says that the token is of the high pole, and takes it away as far "
    "as of the low one."
)
SOURCE = "CASAL, 2510.02324"
MAKES = "edits"

PENALTIES = [10.0**power for power in range(-4, 2)]
"""As shares of the mean squared length of a row."""


@dataclass(frozen=True)
class Settings:
    module: str = "mlp.down_proj"
    """The linear module of a layer whose weight is changed, as that layer calls it."""


def make(material: Material) -> Edits:
    site = Site(material.layer, material.own(Settings).module)
    try:
        high, low = material.readings.at(site.inputs)
    except TrimtabError as error:
        # a name of the config is a mistake; of a model without the default's there is nothing to make
        if site.module != Settings().module:
            raise
        raise CannotBeMade(f"CASAL of {material.trait}: {error}; vectors.settings.casal.module names another") from None
    kept = torch.tensor(material.selecting * 2)
    if kept.all() or not kept.any():
        raise CannotBeMade(f"CASAL of {material.trait}: it needs pairs in both splits fit and select")
    return amortised(site, material.gap(), high, low, kept)


def amortised(
    site: Site,
    vector: Float[Tensor, "d_model"],
    high: Float[Tensor, "one inner"],
    low: Float[Tensor, "other inner"],
    kept: Bool[Tensor, "row"],
) -> Edits:
    """The change of a linear module's weight that adds a vector to one class, and takes it away from the other.

    Args:
        high: what the module takes of the first class.
        low: and of the second.
        kept: rows of `high`, then of `low`, by which the penalty is chosen; some, and not all.
    """
    rows = torch.cat([high, low]).double()
    labels = torch.cat([torch.ones(len(high)), -torch.ones(len(low))]).double()

    def wrong(penalty: float) -> float:
        return float((rows[kept] @ regression(rows[~kept], labels[~kept], penalty) - labels[kept]).square().mean())

    weight = regression(rows, labels, min(PENALTIES, key=wrong))
    return (Edit(site, LowRank(vector[:, None].float(), weight[None].float()), 1.0),)


def regression(
    rows: Float[Tensor, "row inner"], labels: Float[Tensor, "row"], penalty: float
) -> Float[Tensor, "inner"]:
    """Ridge weights without an intercept, since a weight has none; found among rows, of which there are fewer."""
    products = rows @ rows.T
    ridge = penalty * products.diagonal().mean() * torch.eye(len(rows), dtype=rows.dtype)
    found: Tensor = rows.T @ torch.linalg.solve(products + ridge, labels)
    return found
