"""Several trainings of one organism: what is said of it is their mean, with an interval over them.

A training's own interval says how far its answer would change with other tasks, personas or directions. It says nothing
of another training: another seed, or the same one on another kind of processor, gives other weights. So a training is
one observation here, and the spread between trainings stands beside the one that a single training knows of. An answer
that one training alone has (those of the rollouts, which further trainings leave out) stays what it is.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from trimtab.organism.answers import LEVEL
from trimtab.organism.questions import COLUMNS, KEYS

WIDE = float(2 * stats.norm.ppf((1 + LEVEL) / 2))
"""Width of a single training's interval, in standard errors."""


class OverTrainings(NamedTuple):
    """A number that several trainings give."""

    mean: float
    lower: float
    upper: float
    sd: float
    """Between trainings, of a single one."""


def over(values: Sequence[float]) -> OverTrainings:
    """Mean of the trainings' values with Student's t interval; bounds and spread of a single value are NaN."""
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return OverTrainings(mean, np.nan, np.nan, np.nan)
    sd = float(np.std(values, ddof=1))
    reach = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * sd / np.sqrt(n)
    return OverTrainings(mean, mean - reach, mean + reach, sd)


def joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One row an answer, in the first training's order: recovery.csv's columns and those of the trainings.

    `estimate`, `lower` and `upper` are over trainings where more than one has the answer. Beside them stand `values`
    (of each training), `sd` between them, `se` (root mean square of what each training's own interval says) and `held`
    (how many of these intervals hold the mean of all).
    """
    every = pd.concat([table.assign(training=at) for at, table in enumerate(tables)], ignore_index=True)
    rows = []
    for _, answers in every.groupby(KEYS, dropna=False, sort=False):
        first, values = answers.iloc[0], answers["estimate"].tolist()
        if answers["training"].duplicated().any():
            raise ValueError(f"two answers of one training: {first[KEYS].to_dict()}")
        found, widths = over(values), answers["upper"] - answers["lower"]
        more = {
            "values": values,
            "sd": found.sd,
            "se": float(np.sqrt(((widths / WIDE) ** 2).mean())),
            "held": int(((answers["lower"] <= found.mean) & (found.mean <= answers["upper"])).sum()),
        }
        if len(values) > 1:
            first = pd.Series({**first, "estimate": found.mean, "lower": found.lower, "upper": found.upper})
        rows.append({**first[COLUMNS], **more})
    return pd.DataFrame(rows)


def spread(answers: pd.DataFrame) -> pd.DataFrame:
    """One row a question that several trainings answered: how far they differ beside what one of them knows.

    `sd` and `se` are medians over the question's answers, `times` is the median of their ratio, `held` the share of
    single trainings' intervals that hold the mean of all, `answers` how many answers it goes by.
    """
    several = answers[answers["sd"].notna() & answers["se"].gt(0)]
    rows = [
        {
            "question": question,
            "answers": len(group),
            "sd": group["sd"].median(),
            "se": group["se"].median(),
            "times": (group["sd"] / group["se"]).median(),
            "held": group["held"].sum() / group["values"].map(len).sum(),
        }
        for question, group in several.groupby("question", sort=False)
    ]
    return pd.DataFrame(rows, columns=["question", "answers", "sd", "se", "times", "held"])
