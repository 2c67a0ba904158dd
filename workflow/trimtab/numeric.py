"""Formulas that rooms of several floors need: one resampler with its intervals, and one participation ratio.

They stand at the ground floor and need numpy alone, so that vectors, statistics and the organism can share them. What
is resampled is whatever was sampled (scenarios, prompts, personas), never rows within it.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray


def resamples(units: int, draws: int, seed: int | np.random.Generator) -> Float[ndarray, "draw unit"]:
    """How often each unit comes up in each bootstrap draw: weights, so that means of many columns are one product."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(units, np.full(units, 1 / units), size=draws).astype(float)


def middle(drawn: Float[ndarray, " draw"], level: float) -> tuple[float, float]:
    """Ends of the middle `level` of a statistic's draws; draws without a value don't count, NaN where none has one."""
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return np.nan, np.nan
    lower, upper = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(lower), float(upper)


def participation_ratio(squares: Float[ndarray, "*rows component"]) -> Float[ndarray, "*rows"]:
    """How many axes hold the squared singular values of a matrix: 1 for one axis, n for n equal ones, NaN for none."""
    total, own = squares.sum(axis=-1) ** 2, (squares**2).sum(axis=-1)
    return np.asarray(np.divide(total, own, out=np.full(np.shape(total), np.nan), where=own > 0))
