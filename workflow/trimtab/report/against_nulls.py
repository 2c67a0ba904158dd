"""What the abstract says of first decisions against nulls: of each trait whether its vector does more than random ones,
and whether that is the trait's own.

Judged in `trimtab.vectors.verdicts`; rollouts have tests of their own (`trimtab.statistics`).
"""

import pandas as pd

from trimtab.report import words
from trimtab.report.run import WholeRun
from trimtab.report.tables_vectors import own_effects
from trimtab.wording import listed


def against_nulls(run: WholeRun) -> list[str]:
    """What is said of the declared method's vectors, and of those of all others; nothing where none was judged."""
    judged = own_effects(run).dropna(subset=["verdict"])
    judged = judged[judged["trait"].isin(run.traits)]
    declared = judged[judged["method"] == run.plan.method].set_index("trait")["verdict"]
    if declared.empty:
        return []
    said = []
    for verdict, wording in words.AGAINST_NULLS.items():
        named = [words.trait(trait).lower() for trait in run.traits if declared.get(trait) == verdict]
        if named:
            said.append(f"{wording.closing}: {listed(named)}")
    label = words.of_method(run.plan.method).inside
    text = (
        "In first decisions at equal KL, Holm-corrected over traits and methods, the vector of the "
        f"{label} does {'; '.join(said)}."
    )
    return [" ".join([text, *_others(run, judged[judged["method"] != run.plan.method])])]


def _others(run: WholeRun, judged: pd.DataFrame) -> list[str]:
    """Which methods but the declared one do more than both nulls, and of how many that can't be said."""
    methods = run.in_order(judged["method"])
    if not methods:
        return []
    named = {}
    for method, rows in judged[judged["verdict"] == "own"].groupby("method", sort=False):
        traits = [words.trait(trait).lower() for trait in run.traits if trait in set(rows["trait"])]
        named[method] = f"{words.of_method(str(method)).inside} ({listed(traits)})"
    count = words.count(len(methods), "other method")
    if named:
        found = listed([named[method] for method in methods if method in named])
        texts = [f"Of {count}, these do more than both nulls: {found}."]
    else:
        texts = [f"None of {count} is shown to do more than both nulls for any trait."]
    without = len(methods) - judged.dropna(subset=["p_over_null"])["method"].nunique()
    if without:
        texts.append(f"Of these methods, {without} had no null of their own, without which that can't be shown.")
    return texts
