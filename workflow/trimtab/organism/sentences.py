"""What one organism's answers come to, in a few sentences."""

import pandas as pd

from trimtab.organism import questions
from trimtab.organism.claims import MADE
from trimtab.organism.tables import as_text, in_words


def sentences(table: pd.DataFrame, dose: float, method: str) -> list[str]:
    """One organism in a few sentences; each range goes over the traits, whose intervals are in the tables.

    Args:
        table: its answers, joined over trainings.
    """
    name = in_words(method)
    asked = table.set_index("question")
    follows = asked.loc[[questions.KL]].query("method == 'model'").iloc[0]
    persona = asked.loc[[questions.MOVED]].query("method == 'persona' and truth != 0")
    read = asked.loc[[questions.READ]].query("method == @method")
    own, others = read[read["trait"] == read["target"]], read[read["trait"] != read["target"]]
    share = asked.loc[[questions.SHARE]].query("method == @method and dose == @dose")
    at_dose = asked.loc[[questions.SHARE]].query("dose == @dose")
    compared = at_dose[at_dose["method"].isin(MADE) & at_dose["method"].ne(method)]
    by_timing = {timing: rows["estimate"] for timing, rows in share.groupby("timing")}
    chance = asked.loc[[questions.CHANCE]].query("method == @method and dose == @dose")
    axes = {row.method: row for row in asked.loc[[questions.AXES]].itertuples()}
    seen = asked.loc[[questions.ROLLOUT_AXES]].query("method == @method").iloc[0]
    significant, sizeable = (
        asked.loc[[question]]["estimate"] for question in (questions.SIGNIFICANT, questions.SIZEABLE)
    )
    lines = [
        f"Decisions are {as_text(follows)} nats from the law, and personas move their own trait by "
        f"{_range(persona['estimate'].abs())} levels; the truth is 4.",
        f"Read along the vector of its {name}, the true level of its trait has a correlation of "
        f"{_range(own['estimate'])}, that of other traits at most {others['estimate'].abs().max():.2f} in size.",
        f"At dose {dose:g} and all tokens the {name} vectors do {_range(by_timing['all'])} of what the personas do, "
        f"and change the probability of the trait's own action by {_range(chance['estimate'] / chance['truth'])} of "
        "what the law gives a persona.",
    ]
    if questions.LEAK in asked.index:
        leak = asked.loc[[questions.LEAK]].query("method == @method and dose == @dose and timing == 'all'")["estimate"]
        lines.append(f"Their largest effect on another trait is {_range(leak)} of the one on their own.")
    return [
        *lines,
        f"Their effects have a participation ratio of {_interval(axes[method])}; the personas' is "
        f"{_interval(axes['persona'])} and the truth's {_number(axes[method], 'truth')}. From the rollouts alone, of "
        f"one training, the report finds {_interval(seen)}.",
        f"Added at the decision token alone the vectors do {_range(by_timing['decision token'])} of what the personas "
        f"do, at given text alone {_range(by_timing['prefill'])}.",
        f"Of random directions of the same length, {_range(significant)} are significant on a trait's axis by a "
        f"paired t test, and {_range(sizeable)} do at least {questions.NEGLIGIBLE:.0%} of what the persona does.",
        *(
            f"Vectors of the {in_words(other)} do {_range(rows['estimate'])} of what the personas do."
            for other, rows in compared.groupby("method")
        ),
    ]


def _range(values: pd.Series) -> str:
    low, high = f"{values.min():.2f}", f"{values.max():.2f}"
    return low if low == high else f"{low} to {high}"


def _interval(one: object) -> str:
    return f"{_number(one, 'estimate')} [{_number(one, 'lower')}, {_number(one, 'upper')}]"


def _number(one: object, key: str) -> str:
    return f"{getattr(one, key):.2f}"
