"""Every figure and table shows the numbers of its table, each in its place: read from the figure's own data and cells.

The run is made up: two traits, of which the estimate, the bounds and the p of every row are other numbers.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from recorded import manifest

from trimtab.report import plots_effects, plots_structure, plots_vectors, tables_effects, tables_response
from trimtab.report.run import Run
from trimtab.settings.saes import GateSettings
from trimtab.statistics.declared import Plan
from trimtab.statistics.summary import Breakage, Finding, Findings, Rank, Turned

TRAITS = {"autonomy": "calls", "deference": "asks"}
PLAN = Plan(TRAITS, "sae_probe", 0.2, "all", 400, 0.95, 0.5, 1)
KINDS = [("sae_probe", 0.1, "all", "study"), ("sae_probe", 0.2, "all", "study"), ("sae_probe", -0.2, "all", "control")]
KINDS += [("sae_probe", 0.2, "prefill", "study"), ("mean_difference", 0.2, "all", "control")]
KINDS += [("random", 0.2, "all", "control"), ("prompt", 0.0, "none", "control")]
BELOW, ABOVE = 0.1, 0.3
"""How far an estimate's bounds lie from it."""


def conditions() -> pd.DataFrame:
    rows = [("unsteered", "none", "", 0.0, "none", "unsteered")]
    rows += [
        (f"{method}.{trait}.{timing}.{dose}", method, trait, dose, timing, arm)
        for trait in TRAITS
        for method, dose, timing, arm in KINDS
    ]
    table = pd.DataFrame(rows, columns=["condition_id", "method", "trait", "dose", "timing", "arm"])
    draw = np.where(table["method"] == "random", 0.0, np.nan)
    return table.assign(unit="residual_share", layer=17, rule="add", gate="", also="", draw=draw)


def effect(condition: str, outcome: str, estimand: str) -> float:
    """An estimate of this row's own."""
    place = conditions()["condition_id"].tolist().index(condition)
    return 1.0 + place / 8 + ["calls", "asks", "breakage"].index(outcome) * 4 + 20 * (estimand == "cohens_d")


def effects() -> pd.DataFrame:
    rows = []
    for condition in conditions()["condition_id"].iloc[1:]:
        for outcome in ("calls", "asks", "breakage"):
            for estimand in ("mean_difference", "cohens_d"):
                value = effect(condition, outcome, estimand)
                rows.append((condition, outcome, estimand, value, value - BELOW, value + ABOVE))
    columns = ["condition_id", "outcome", "estimand", "estimate", "lower", "upper"]
    return pd.DataFrame(rows, columns=columns).assign(method="BCa", family="exploratory")


@pytest.fixture(scope="module")
def made() -> Run:
    names = list(TRAITS)
    cells = [
        ("sae_probe", "effect", v, TRAITS[o], None, 1 + 2 * names.index(v) + names.index(o))
        for v in names
        for o in names
    ]
    axes = [
        (matrix, "singular_value", None, None, at, value)
        for matrix, at, value in (
            ("sae_probe", 1, 9.0),
            ("sae_probe", 2, 5.0),
            ("relabelled", 1, 3.0),
            ("relabelled", 2, 2.0),
        )
    ]
    structure = pd.DataFrame(
        [*cells, *axes], columns=["matrix", "quantity", "vector", "outcome", "component", "value"]
    ).assign(lower=lambda t: t["value"] - BELOW, upper=lambda t: t["value"] + ABOVE)
    compared = [
        (method, trait, measure, value + 10 * names.index(trait) + 100 * (trait != measure))
        for trait in names
        for measure in names
        for method, value in (("sae_probe", 1.0), ("lda", 2.0), ("random_0", 3.0), ("random", 4.0))
    ]
    comparison = pd.DataFrame(compared, columns=["method", "trait", "measure", "estimate"]).assign(
        lower=lambda t: t["estimate"] - BELOW, upper=lambda t: t["estimate"] + ABOVE, difference=-7.0
    )
    prediction = pd.DataFrame(
        {"method": "sae_probe", "quantity": "point", "trait": names, "r2": [0.25, 0.75], "value": [2.0, 3.0]}
    ).assign(lower=lambda t: t["value"] - BELOW, upper=lambda t: t["value"] + ABOVE)
    declared = pd.DataFrame(
        {"condition_id": [f"sae_probe.{trait}.all.0.2" for trait in names], "outcome": ["calls", "asks"]}
    )
    controls = declared.assign(
        baseline_id="prompt.autonomy.none.0.0",
        estimand="mean_difference",
        estimate=[2.0, 3.0],
        lower=[1.9, 2.9],
        upper=[2.3, 3.3],
        p=0.011,
        p_corrected=0.022,
    )
    tools = declared.drop(columns="outcome").assign(
        quantity="calls",
        tool="ask_user",
        mean=2.0,
        baseline_mean=1.0,
        share=0.4,
        baseline_share=0.2,
        estimate=1.0,
        lower=0.9,
        upper=1.3,
        p=0.011,
        p_corrected=0.022,
    )
    design = conditions()
    keys = design["condition_id"].repeat(2).tolist()
    outcomes = pd.DataFrame(
        {"condition_id": keys, "scenario_id": ["s0", "s1"] * len(design), "calls": 1.0, "asks": 1.0}
    )
    turns = pd.DataFrame({"condition_id": ["unsteered"] * 3 + ["prompt.autonomy.none.0.0"], "tool": ["ask_user"] * 4})
    finding = Finding(
        condition_id="sae_probe.autonomy.all.0.2",
        outcome="calls",
        baseline_mean=1.25,
        mean=2.5,
        estimate=1.5,
        lower=1.4,
        upper=1.8,
        p=0.011,
        p_corrected=0.022,
        d_estimate=0.5,
        d_lower=0.4,
        d_upper=0.8,
        n_scenarios=12,
        rising=7,
        falling=3,
        wrong_way_estimate=0.25,
        wrong_way_lower=0.125,
        wrong_way_upper=0.375,
        margin=0.625,
        p_equivalence=0.066,
        smallest_detectable=0.75,
        verdict="moved",
        turned=Turned("sae_probe.autonomy.all.-0.2", 2.5, 2.4, 2.8, p=0.033, p_corrected=0.044),
        random=Rank(draws=19, as_large=2, p=0.15, lowest=-1.0, highest=2.0),
        breakage=Breakage(0.1, 0.0, 0.4, p_corrected=0.055),
    )
    summary = Findings(900, 15, 12, 1, 70, {"autonomy": finding}, ["deference"], None)
    tables = {
        "effects": effects(),
        "structure": structure,
        "comparison": comparison,
        "prediction": prediction,
        "controls": controls,
        "tools": tools,
    }
    gates = GateSettings(explained_variance=0.35, loss_recovered=0.7, dead_share=0.4)
    methods = ("sae_probe", "mean_difference", "raw_probe", "random")
    checks = training = pd.DataFrame()
    return Run(Path(), PLAN, gates, methods, manifest(), checks, summary, tables, design, training, turns, outcomes)


def bars(axis) -> list[tuple[float, float, float]]:
    """Horizontal lines: from, to, height."""
    lines = [line.get_xydata() for line in axis.lines if len(line.get_xydata()) == 2]
    return [(round(a[0], 6), round(b[0], 6), a[1]) for a, b in lines if a[1] == b[1]]


def points(axis) -> list[tuple[float, float]]:
    return [tuple(np.round(line.get_xydata()[0], 6)) for line in axis.lines if len(line.get_xydata()) == 1]


def errors(container) -> list[list[float]]:
    """Of an error bar: place, from, to."""
    return [[a[0], a[1], b[1]] for a, b in container.lines[2][0].get_segments()]


def drawn(value: float) -> tuple[float, float]:
    return round(value - BELOW, 6), round(value + ABOVE, 6)


@pytest.mark.slow
def test_dose_response(made):
    for axis, (trait, outcome) in zip(plots_effects.dose_response(made).axes, TRAITS.items(), strict=False):
        here = {container.get_label(): container for container in axis.containers}
        values = [effect(f"sae_probe.{trait}.all.{dose}", outcome, "mean_difference") for dose in (-0.2, 0.1, 0.2)]
        curve = [values[0], 0.0, *values[1:]]
        line = here["all tokens"].lines[0].get_xydata()
        np.testing.assert_allclose(line, np.c_[[-0.2, 0, 0.1, 0.2], curve])
        wanted = [[x, y - BELOW * (y != 0), y + ABOVE * (y != 0)] for x, y in line]
        np.testing.assert_allclose(errors(here["all tokens"]), wanted)
        assert here["given text only"].lines[0].get_ydata()[1] == effect(
            f"sae_probe.{trait}.prefill.0.2", outcome, "mean_difference"
        )
        # dots are moved aside, but no higher or lower
        (dots,) = [each for each in axis.collections if each.get_label() == "random directions"]
        assert dots.get_offsets()[:, 1].tolist() == [effect(f"random.{trait}.all.0.2", outcome, "mean_difference")]


def test_forest_has_each_control_in_its_own_row(made):
    for axis, (trait, outcome) in zip(plots_effects.forest(made).axes, TRAITS.items(), strict=True):
        names = {0: "sae_probe.{}.all.0.2", 1: "sae_probe.{}.all.-0.2", 2: "mean_difference.{}.all.0.2"}
        names[4] = "prompt.{}.none.0.0"
        wanted = {height: effect(name.format(trait), outcome, "cohens_d") for height, name in names.items()}
        assert {height: (low, high) for low, high, height in bars(axis)} == {h: drawn(v) for h, v in wanted.items()}
        assert points(axis) == [(round(value, 6), height) for height, value in wanted.items()]
        (dots,) = axis.collections
        assert dots.get_offsets().tolist() == [[effect(f"random.{trait}.all.0.2", outcome, "cohens_d"), 3]]


def test_each_kind_of_random_direction_has_a_row_of_dots(made):
    """Autonomy's direction is of the sphere, deference's as the corpus varies."""
    trait = made.conditions["trait"]
    drawn_so = (made.conditions["method"] == "random") & (trait == "deference")
    design = made.conditions.assign(method=made.conditions["method"].mask(drawn_so, "corpus_random"))
    compared = made.tables["comparison"]
    other = compared["method"].str.startswith("random") & (compared["trait"] == "deference")
    named = compared.assign(method=compared["method"].mask(other, "corpus_" + compared["method"]))
    run = replace(made, conditions=design, tables=made.tables | {"comparison": named})
    both = ["random directions of the sphere", "random directions as the corpus varies"]
    for figure, first in ((plots_effects.forest(run), 3), (plots_vectors.comparison(run), 2)):
        for kind, axis in enumerate(figure.axes):
            heights = [height for dots in axis.collections for _, height in dots.get_offsets().tolist()]
            assert heights == [first + kind]
        assert [label.get_text() for label in figure.axes[0].get_yticklabels()][first : first + 2] == both


def test_timing_is_at_the_declared_dose(made):
    for axis, (trait, outcome) in zip(plots_effects.timing(made).axes, TRAITS.items(), strict=True):
        values = [effect(f"sae_probe.{trait}.{timing}.0.2", outcome, "cohens_d") for timing in ("all", "prefill")]
        assert bars(axis) == [(*drawn(value), height) for height, value in enumerate(values)]
        assert points(axis) == [(round(value, 6), height) for height, value in enumerate(values)]


def test_breakage_is_of_broken_turns(made):
    (axis,) = plots_effects.breakage(made).axes
    for container, trait in zip(axis.containers, TRAITS, strict=True):
        names = [f"sae_probe.{trait}.all.{dose}" for dose in (-0.2, 0.1, 0.2)]
        values = [effect(name, "breakage", "mean_difference") for name in names]
        np.testing.assert_allclose(container.lines[0].get_ydata(), values)
        np.testing.assert_allclose([bar[1:] for bar in errors(container)], [drawn(value) for value in values])


def test_tools_are_counted_a_rollout(made):
    (axis,) = plots_effects.tools(made).axes
    labels = [label.get_text() for label in axis.get_yticklabels()]
    widths = dict(zip(labels, (bar.get_width() for bar in axis.containers[0]), strict=True))
    # three actions in two unsteered rollouts, one in the two of the prompt
    assert widths["Unsteered"] == 1.5
    assert widths["Autonomy, asked in the prompt"] == 0.5
    assert widths["Autonomy vector"] == 0


def test_cross_trait_has_vectors_down_and_outcomes_across(made):
    axis = plots_structure.cross_trait(made).axes[0]
    assert axis.images[0].get_array().tolist() == [[1, 2], [3, 4]]
    texts = {tuple(text.get_position()): text.get_text() for text in axis.texts}
    assert texts == {
        (x, y): f"{1 + 2 * y + x}.00\n{0.9 + 2 * y + x:.2f} to {1.3 + 2 * y + x:.2f}" for x in (0, 1) for y in (0, 1)
    }
    # a vector's own outcome is outlined
    assert [patch.get_xy() for patch in axis.patches] == [(-0.49, -0.48), (0.51, 0.52)]


def test_spectrum_is_observed_over_shuffled(made):
    (axis,) = plots_structure.spectrum(made).axes
    (container,) = axis.containers
    assert container.lines[0].get_xydata().tolist() == [[1, 9], [2, 5]]
    np.testing.assert_allclose(errors(container), [[1, 8.9, 9.3], [2, 4.9, 5.3]])
    band = next(each for each in axis.collections if each.get_label() == "conditions shuffled")
    low, high = band.get_paths()[0].get_extents().get_points()[:, 1]
    assert (low, high) == (pytest.approx(1.9), pytest.approx(3.3))


def test_prediction_is_effect_over_score(made):
    axis = plots_structure.prediction(made).axes[0]
    assert points(axis) == [(0.25, 2.0), (0.75, 3.0)]
    uprights = [line.get_xydata().tolist() for line in axis.lines if len(line.get_xdata()) == 2][1:]
    np.testing.assert_allclose(uprights, [[[0.25, 1.9], [0.25, 2.3]], [[0.75, 2.9], [0.75, 3.3]]])


def test_comparison_is_of_each_vectors_own_trait(made):
    for place, axis in enumerate(plots_vectors.comparison(made).axes):
        values = [1.0 + 10 * place, 2.0 + 10 * place]
        assert sorted(bars(axis)) == [(*drawn(value), height) for height, value in enumerate(values)]
        assert points(axis) == [(value, height) for height, value in enumerate(values)]
        assert axis.collections[0].get_offsets().tolist() == [[3.0 + 10 * place, 2]]


def shown(table) -> list[dict[str, str]]:
    return [dict(zip(table.headings, (cell.text for cell in row), strict=True)) for row in table.rows]


def test_the_declared_table(made):
    assert shown(tables_effects.declared(made)) == [
        {
            "Trait": "Autonomy",
            "Outcome": "tool calls",
            "Mean": "1.25 → 2.50",
            "Difference": "1.50 (1.40 to 1.80)",
            "d": "0.50 (0.40 to 0.80)",
            "p": "0.022",
            "Beyond turned round": "2.50 (2.40 to 2.80)",
            "p, turned": "0.044",
            "Up / down": "7 / 3",
            "Random ≥": "2 of 19",
            "Broken turns": "0.10 (0.00 to 0.40)",
            # nobody says when this made-up run succeeds, and all of its rollouts are alike
            "Success": "\N{EN DASH}",
            "At an end": "100 % / 100 %",
            "Verdict": "moved by its direction",
        }
    ]


def test_controls_and_tools_show_corrected_p(made):
    first = shown(tables_effects.controls(made))[0]
    assert (first["Vector"], first["Difference"], first["p"]) == ("Autonomy", "2.00 (1.90 to 2.30)", "0.022")
    first = shown(tables_response.tools(made))[0]
    assert (first["Share of actions"], first["A rollout"]) == ("20 % → 40 %", "1.00 → 2.00")
    assert (first["Difference"], first["p"]) == ("1.00 (0.90 to 1.30)", "0.022")
