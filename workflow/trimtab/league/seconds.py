"""How long making each vector took, from the logs of a run: no artifact says it, since another machine takes longer."""

import re
from collections.abc import Mapping

import pandas as pd

MADE = re.compile(r"(\w+): made in (\d+\.\d+) s;")
"""As `trimtab.vectors.trait_vectors` says it."""


def seconds(logs: Mapping[str, str]) -> pd.DataFrame:
    """One row a method and trait.

    Args:
        logs: trait -> the text of its job's log.
    """
    # a job that was begun anew says it again
    found = {(method, trait): float(took) for trait, text in logs.items() for method, took in MADE.findall(text)}
    rows = [(method, trait, took) for (method, trait), took in found.items()]
    return pd.DataFrame(rows, columns=["method", "trait", "seconds"])
