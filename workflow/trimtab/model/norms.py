"""Residual norms: how long a layer's rows are, which is what doses are measured by.

Rows far longer than the layer's median are attention sinks; they are left out and their share is stated. Rows come from
wherever they were captured: nothing here loads a model, and whoever reads a norm from a file needs none.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.artifacts.manifest import ResidualNorm
from trimtab.errors import TrimtabError

SINK_FACTOR = 8.0
"""A row this many times longer than the layer's median row is an attention sink."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def residual_norm(rows: Float[Tensor, "token d_model"]) -> ResidualNorm:
    """Norms of one layer's rows.

    Raises:
        TrimtabError: a row isn't finite.
    """
    rows = rows.double()
    norms = rows.norm(dim=1)
    if not bool(torch.isfinite(norms).all()):
        raise TrimtabError("the residual stream of the calibration prompts holds values that are not finite")
    kept = norms <= SINK_FACTOR * norms.median()
    inside, plain = rows[kept], norms[kept]
    variance = inside.var(dim=0)
    return ResidualNorm(
        mean=float(plain.mean()),
        centred_mean=float((inside - inside.mean(0)).norm(dim=1).mean()),
        quantiles={f"{q:g}": float(plain.quantile(q)) for q in QUANTILES},
        sink_share=float(1 - kept.double().mean()),
        top_dimension_share=float(variance.max() / variance.sum()),
        rows=int(kept.sum()),
    )
