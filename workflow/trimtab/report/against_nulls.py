"""What the abstract says of first decisions against nulls: of each trait whether its vector does more than random ones,
and whether that is the trait's own.

Judged in `trimtab.vectors.verdicts`; rollouts have tests of their own (`trimtab.statistics`).
"""

from trimtab.report import words
from trimtab.report.run import WholeRun
from trimtab.report.tables_vectors import own_effects
from trimtab.wording import listed


def against_nulls(run: WholeRun) -> list[str]:
    """A sentence on the declared method's vectors, and one on those of all others; none where none was judged."""
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
    nats = f"{run.config.vectors.comparison_kl:g} nats"
    text = (
        f"In first decisions at equal KL ({nats}), Holm-corrected over traits and methods, the vector of the {label} "
        f"does {'; '.join(said)}."
    )
    others = judged[(judged["verdict"] == "own") & (judged["method"] != run.plan.method)]
    found = [
        f"{words.of_method(method).inside} "
        f"({listed([words.trait(trait).lower() for trait in run.traits if trait in set(rows['trait'])])})"
        for method in run.in_order(others["method"])
        for rows in [others[others["method"] == method]]
    ]
    rest = judged["method"].nunique() - 1
    if found:
        text += f" Of {words.count(rest, 'other method')}, these do more than both nulls: {listed(found)}."
    elif rest:
        text += f" None of {words.count(rest, 'other method')} is shown to do more than both nulls for any trait."
    return [text]
