"""Correction of p-values for how many were made: Holm where a claim was declared, Benjamini-Hochberg elsewhere."""

from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from statsmodels.stats.multitest import multipletests

Rule = Literal["holm", "fdr_bh"]


def corrected(p: Float[ndarray, " test"], rule: Rule) -> Float[ndarray, " test"]:
    """Corrected p-values in the given order; a test that has none (NaN) counts as not made."""
    made = np.isfinite(p)
    result = np.full(p.shape, np.nan)
    if made.any():
        result[made] = multipletests(p[made], method=rule)[1]
    return result
