"""Every number of a small league, computed a second time by hand from the raw rows."""

import math

import numpy as np
import pandas as pd
import pytest
from league_tables import CELLS, DOSE, NULLS, TRUTHS, VECTORS, law, tables
from scipy import stats

from trimtab.league.columns import COLUMNS
from trimtab.league.numbers import numbers
from trimtab.league.seconds import seconds
from trimtab.league.table import league
from trimtab.organism import questions
from trimtab.organism.law import ACTIONS


def levels_by_hand(raw, method, trait, truth):
    """Least squares on the truth's own axes, scenario by scenario; deference turns the one axis round."""
    gains = law(truth).gains - law(truth).gains.mean(1, keepdims=True)
    axes = gains if truth == "five_axes" else gains[:1]
    found = []
    for scenario in sorted(set(raw["scenario_id"])):
        rows = raw[(raw["trait"] == trait) & (raw["scenario_id"] == scenario)].set_index("method")
        steered, plain = (
            np.array([math.log(rows.loc[name, f"p_{action}"]) for action in ACTIONS]) for name in (method, "none")
        )
        shift = steered - plain
        found.append(np.linalg.lstsq(axes.T, shift - shift.mean(), rcond=None)[0])
    return np.mean(found, axis=0)


def by_hand(given, truth, method):
    """One method's columns; of random directions, both draws are its vectors."""
    traits, names = law(truth).traits, NULLS if method == "random" else [method]
    each = {column: [] for column in COLUMNS}
    shares, leaks, reads = [], [], []
    for trait in traits:
        at_share = {questions.SHARE: [], questions.LEAK: [], questions.READ: []}
        for name in names:
            one = levels_by_hand(given.decisions, name, trait, truth)
            own_axis = traits.index(trait) if truth == "five_axes" else 0
            sign = np.sign(law(truth).gains[traits.index(trait)] @ law(truth).gains[0]) if truth == "one_axis" else 1
            own = sign * one[own_axis]
            said = given.answers
            said = said[(said["question"] == questions.MOVED) & (said["trait"] == trait) & (said["truth"] != 0)]
            each["recovered"].append(own / (abs(said["estimate"].item()) / 2))
            if truth == "five_axes":
                each["leak"].append(max(abs(value) for at, value in enumerate(one) if at != own_axis) / abs(own))
            comparison = given.comparison
            at_own = comparison[(comparison["trait"] == trait) & (comparison["measure"] == trait)]
            at_own = at_own.set_index("method")
            drawn = [
                value for key, value in at_own["estimate"].items() if key.startswith(("random_", "corpus_random_"))
            ]
            if method != "random":
                as_good = [value >= at_own.loc[name, "estimate"] for value in drawn]
                each["random_as_good"].append(sum(as_good) / len(as_good))
            if method in VECTORS:
                each["passes"].append(at_own.loc[name, "forwards"] + at_own.loc[name, "backwards"])
                times = given.seconds
                each["seconds"].append(times[(times["method"] == name) & (times["trait"] == trait)]["seconds"].item())

            def mean(measure, which=name, of=trait):
                rows = given.measured
                rows = rows[(rows["method"] == which) & (rows["trait"] == of) & (rows["measure"] == measure)]
                return sum(rows["value"]) / len(rows)

            each["capability_lost"].append(mean(questions.SURPRISE) - mean(questions.SURPRISE, "none"))
            each["broken"].append(mean(questions.BROKEN) - mean(questions.BROKEN, "none"))
            aside = (mean("shift_asked_off") + mean("shift_prefilled")) / 2
            each["kept"].append(aside / mean("shift_plain"))
            cells = [value for value in map(mean, CELLS) if not math.isnan(value)]
            each["wrong_cells"].append(sum(value <= 0 for value in cells) / len(cells))
            for question, values in at_share.items():
                rows = given.answers
                rows = rows[(rows["question"] == question) & (rows["method"] == name) & (rows["trait"] == trait)]
                values += list(rows["estimate"])
        for values, into in zip(at_share.values(), (shares, leaks, reads), strict=True):
            if values:
                into.append(sum(values) / len(values))
    each |= {"recovered_share": shares, "leak_share": [abs(value) for value in leaks], "reads": reads}
    middle = {column: np.median if about.ratio else np.mean for column, about in COLUMNS.items()}
    return {column: float(middle[column](values)) if values else math.nan for column, values in each.items()}


@pytest.mark.parametrize("truth", TRUTHS)
def test_the_numbers_of_an_organism_are_those_of_its_raw_rows(truth):
    given = tables(truth, seed=3)
    found = numbers(given, law(truth), DOSE)
    assert sorted(found.index) == sorted([*VECTORS, "prompt", "random"])
    for method in found.index:
        expected = by_hand(given, truth, method)
        shown = found.loc[method, [*COLUMNS]].astype(float).to_dict()
        assert shown == pytest.approx(expected, nan_ok=True), method


def test_a_method_that_lacks_traits_is_about_the_others_or_has_no_number():
    lacking = [("lda", "deference"), *(("pca", trait) for trait in law("five_axes").traits[:3])]
    given = tables("five_axes", seed=4, left_out=lacking)
    found = numbers(given, law("five_axes"), DOSE)
    assert found["traits"].to_dict() == {**dict.fromkeys([*VECTORS, "prompt", "random"], 5), "lda": 4, "pca": 2}
    assert math.isnan(found.loc["pca", "recovered"])
    assert math.isnan(found.loc["pca", "seconds"])
    levels = [
        levels_by_hand(given.decisions, "lda", trait, "five_axes")[at]
        for at, trait in enumerate(law("five_axes").traits)
        if trait != "deference"
    ]
    said = given.answers[given.answers["truth"].fillna(0) != 0].set_index("trait")["estimate"].drop("deference")
    assert found.loc["lda", "recovered"] == pytest.approx(np.mean(np.array(levels) / (said.to_numpy() / 2)))


def test_seconds_are_what_the_logs_of_vectors_say():
    said = "INFO trimtab.vectors.trait_vectors: pca: made in 1.25 s; Cost(forwards=3, backwards=0)\n"
    again = said.replace("1.25", "1.50").replace("pca", "lda") + said.replace("1.25", "0.75")
    found = seconds({"autonomy": said, "deference": again})
    assert sorted(found.itertuples(index=False, name=None)) == [
        ("lda", "deference", 1.5),
        ("pca", "autonomy", 1.25),
        ("pca", "deference", 0.75),
    ]


def rows_of(count):
    parts = []
    for truth in TRUTHS:
        for seed in range(count):
            own = numbers(tables(truth, seed), law(truth), DOSE).reset_index()
            parts.append(own.assign(truth=truth, organism=f"{truth}.{seed}"))
    return pd.concat(parts, ignore_index=True)


def test_the_table_is_what_the_rows_come_to_by_hand():
    rows = rows_of(3)
    found = league(rows)
    for (truth, column), own in found.table.groupby(["truth", "column"]):
        raw = rows if truth == "all" else rows[rows["truth"] == truth]
        values = {method: group[column].dropna().to_numpy() for method, group in raw.groupby("method")}
        # nulls and the prompt have no rank
        most = max(map(len, values.values()))
        whole = {method: each for method, each in values.items() if len(each) == most and most and method in VECTORS}
        for row in own.itertuples():
            known = values[row.method]
            assert row.organisms == len(known)
            if len(known):
                error = stats.sem(known)
                assert row.estimate == pytest.approx(sum(known) / len(known))
                assert row.upper - row.estimate == pytest.approx(stats.t.ppf(0.975, len(known) - 1) * error)
            if row.method not in whole:
                assert math.isnan(row.rank)
                continue
            better = COLUMNS[column].better
            above = sum(better * np.mean(each) > better * np.mean(known) for each in whole.values())
            same = sum(np.mean(each) == np.mean(known) for each in whole.values())
            assert row.rank == pytest.approx(above + (same + 1) / 2)
            assert row.rank_lower <= row.rank_upper
        test = found.tests[(found.tests["truth"] == truth) & (found.tests["column"] == column)].iloc[0]
        assert test["methods"] == len(whole)
        if len(whole) >= 3:
            expected = stats.friedmanchisquare(*whole.values()).pvalue
            assert test["friedman_p"] == pytest.approx(expected)
