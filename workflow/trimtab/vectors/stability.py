"""Whether a dictionary trained with another seed gives the same steering vector.

Two dictionaries of one layer, trained on the same rows from different starts, find partly different latents. Probes on
either may predict a trait equally well and, decoded, still point in different directions: then the vector is a property
of the training run as much as of the model. Each dictionary's probe chooses its own penalty, as the one of record does.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.probes import ridge
from trimtab.probes.contrast import Contrast
from trimtab.probes.nested import nested, score
from trimtab.prompts.contrast import DEVELOPMENT
from trimtab.saes.sae import SAE
from trimtab.settings.probes import FitSettings
from trimtab.vectors.contract import LinearProbe
from trimtab.vectors.geometry import null_cosine


class Stability(NamedTuple):
    """A row of stability.csv, without the trait."""

    layer: int
    cosine: float
    """Of the two SAE-decoded probes."""

    null: float
    """95 % of random directions have a cosine within plus or minus this."""

    r2_first: float
    r2_again: float
    """Of each probe, out of templates, its penalty chosen inside."""

    agreement: float
    """Correlation of the two probes' out-of-template outputs."""


class _Fitted(NamedTuple):
    vector: Float[Tensor, "d_model"]
    predicted: Float[Tensor, "row"]
    r2: float


def stability(
    layer: int, first: Contrast, again: Contrast, saes: tuple[SAE, SAE], settings: FitSettings, seed: int
) -> Stability:
    """Compare the decoded probes of one trait at one layer; both contrasts hold the same rows, each read by its SAE."""
    one, other = (
        _fitted(layer, contrast.where(*DEVELOPMENT), sae, settings, seed)
        for contrast, sae in zip((first, again), saes, strict=True)
    )
    return Stability(
        layer=layer,
        cosine=float(torch.cosine_similarity(one.vector, other.vector, dim=0)),
        null=null_cosine(len(one.vector)),
        r2_first=one.r2,
        r2_again=other.r2,
        agreement=float(torch.corrcoef(torch.stack([one.predicted, other.predicted]))[0, 1]),
    )


def _fitted(layer: int, contrast: Contrast, sae: SAE, settings: FitSettings, seed: int) -> _Fitted:
    rows, labels = contrast.latents[layer], contrast.labels
    done = nested({layer: rows}, labels[:, None], contrast.templates, settings.penalties, settings.folds, seed)
    probe = ridge.fit(rows, labels, done.chosen.penalty)
    weight, _ = LinearProbe(probe.weight, probe.mean, probe.scale, probe.intercept).on_raw_scale()
    vector = sae.W_dec.double().T @ weight
    return _Fitted(vector, done.overall[:, 0], score(done.overall[:, 0], labels).r2)
