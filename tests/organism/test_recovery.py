"""What is said of a known truth, on models whose answers are known too."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from recorded import record
from scipy import stats

from trimtab.forward.hooks import hooked
from trimtab.forward.sites import Site
from trimtab.organism.answers import clopper_pearson
from trimtab.organism.decisions import TIMINGS, Reader, prompts_of
from trimtab.organism.language import Language
from trimtab.organism.law import Law, State
from trimtab.organism.page import page
from trimtab.organism.questions import ABOVE_NULL, AXES, CHANCE, COLUMNS, KL, MOVED, READ, REPORTED, ROLLOUT_AXES, SHARE
from trimtab.organism.recovery import Recovery
from trimtab.organism.reported import axes_found, effects_found, true_axes
from trimtab.organism.ruler import Ruler
from trimtab.organism.tables import Training
from trimtab.organism.train import action_tokens, build
from trimtab.prompts import resources
from trimtab.steering.edits import added
from trimtab.steering.places import Places, touched
from trimtab.vectors.artifact import Vector

FOLDER = resources.RESOURCES / "organism"
OWN = {
    "autonomy": "file_write",
    "tool_use_eagerness": "web_search",
    "persistence": "finish",
    "risk_calibration": "code_execute",
    "deference": "ask_user",
}
STRUCTURE = pd.DataFrame(
    [
        ("made", "effect", "x", 0.3, 0.1, 0.5),
        ("made", "effect", "y", 0.3, 0.1, 0.5),
        ("made", "participation_ratio", np.nan, 1.7, 1.2, 2.2),
        ("made", "axes", np.nan, 1.0, np.nan, np.nan),
        ("relabelled", "share", np.nan, 0.6, 0.4, 0.8),
        ("random", "participation_ratio", np.nan, 2.0, 1.0, 3.0),
    ],
    columns=["matrix", "quantity", "vector", "value", "lower", "upper"],
)
TASKS = ["Find the price. It is vague and safe.", "Note the poem. It is clear and risky."]


def test_a_shift_by_one_level_is_one_level(law):
    ruler = Ruler(law)
    for trait, gain in zip(law.traits, law.gains, strict=True):
        # log-probabilities are scores but for a constant
        assert ruler.own(trait, ruler.levels(gain + 3.0)) == pytest.approx(1)


def test_axes_are_named_by_their_traits(five):
    assert Ruler(five).names() == five.traits


def test_traits_of_one_axis_share_it_with_their_sign(few_shot):
    ruler = Ruler(Law.read(FOLDER, "one_axis"))
    assert ruler.names() == ["act or ask"]
    assert ruler.place["autonomy"] == (0, 1)
    assert ruler.place["deference"] == (0, -1)


def test_timings_touch_their_tokens(language):
    [prompt] = prompts_of(language, ["Be very bold."], TASKS[:1])
    own = [part.written for part in prompt for _ in part.tokens]
    given, decision = own.index(True), len(own) - 1
    at = Places.of(torch.tensor([place for part in prompt for place in part.places]))
    found = {name: touched(timing, at).nonzero()[:, 0].tolist() for name, timing in TIMINGS.items()}
    assert found == {
        "all": [*range(len(own))],
        "prefill": [*range(given)],
        "decode": [*range(given, len(own))],
        "last given token": [given - 1],
        "decision token": [decision],
        "all but the decision token": [*range(decision)],
    }


@pytest.fixture(scope="module")
def model(language):
    return build(len(language.protocol.tokenizer), "hybrid", seed=1).eval().requires_grad_(False)


@pytest.mark.slow
@pytest.mark.parametrize("mixer", ["hybrid", "attention"])
@pytest.mark.parametrize("timing", TIMINGS)
def test_decisions_are_those_of_each_prompt_alone_with_the_push_added_by_hand(language, mixer, timing):
    model = build(len(language.protocol.tokenizer), mixer, seed=1).eval().requires_grad_(False)
    prompts = prompts_of(language, ["Be very bold. Be rather wild.", ""], TASKS)
    unit = torch.nn.functional.normalize(torch.ones(64), dim=0)
    found = Reader(model, language, prompts, 1).decisions([(), added(1, unit, 3.0, TIMINGS[timing])])
    for at, prompt in enumerate(prompts):
        tokens = [token for part in prompt for token in part.tokens]
        own = [part.written for part in prompt for _ in part.tokens]
        places, given, last = torch.arange(len(own)), own.index(True), len(own) - 1
        # by counting tokens, apart from the marks that timings read
        chosen = {
            "all": places >= 0,
            "prefill": places < given,
            "decode": places >= given,
            "last given token": places == given - 1,
            "decision token": places == last,
            "all but the decision token": places < last,
        }[timing]
        for row, length in enumerate([0.0, 3.0]):
            # a function that binds now: hooks run within this turn of the loop
            with hooked(model, {Site(1): lambda stream, size=length: stream + size * chosen[:, None] * unit}):  # noqa: B023
                logits = model(input_ids=torch.tensor([tokens])).logits[0, -1]
            alone = torch.log_softmax(logits[action_tokens(language)].double(), dim=-1)
            np.testing.assert_allclose(found[row, at], alone, atol=1e-5)


def test_a_push_after_the_last_layer_at_other_tokens_does_nothing(language, model):
    reader = Reader(model, language, prompts_of(language, ["", ""], TASKS), 3)
    pushes = [added(3, torch.ones(64), 1.0, timing) for timing in ("all_but_last_cue", "last_cue")]
    clean, elsewhere, here = reader.decisions([(), *pushes])
    np.testing.assert_array_equal(elsewhere, clean)
    assert np.abs(here - clean).max() > 1e-3


@pytest.mark.slow
def test_a_direction_along_a_traits_readout_is_its_own(language, model, tmp_path, five, monkeypatch):
    """The table of a model with random weights: every question has an answer, and the page shows it."""
    monkeypatch.setattr("trimtab.organism.recovery.PERSONAS", 100)
    monkeypatch.setattr("trimtab.organism.recovery.DIRECTIONS", 4)
    unit = torch.nn.functional.normalize(torch.ones(64), dim=0)
    vectors = [Vector(tmp_path, record(method="made", trait=trait), unit, torch.zeros(64)) for trait in five.traits]
    recovery = Recovery(model, language, TASKS, {2: 4.0}, seed=1)
    table = recovery.table(vectors, [0.5, 1.0], 1.0, "made")
    assert list(table.columns) == COLUMNS
    assert table["estimate"].notna().all()
    # other methods are compared at one dose, and read their own trait alone
    other = recovery.table(
        [replace(each, record=record(method="other", trait=each.trait)) for each in vectors], [0.5, 1.0], 1.0, "made"
    )
    assert set(other.query("method == 'other' and question != @AXES")["dose"].dropna()) == {1.0}
    assert set(other[other["question"] == READ]["target"] == other[other["question"] == READ]["trait"]) == {True}
    moved = table[(table["question"] == MOVED) & (table["method"] == "persona")]
    assert moved.groupby("trait")["truth"].sum().to_dict() == dict.fromkeys(five.traits, 4.0)
    axes = table[table["question"] == AXES].set_index("method")
    # one direction for all traits moves one axis; the truth's five are not quite equal in size
    assert axes["estimate"]["made"] == pytest.approx(1)
    assert axes["truth"]["made"] == pytest.approx(4.31, abs=0.01)
    assert set(table[table["question"] == SHARE]["timing"]) == set(TIMINGS)
    assert table[table["question"] == READ]["estimate"].abs().max() <= 1
    # the truth of a persona is the law's, at +2 and at -2
    chances = table[(table["question"] == CHANCE) & (table["method"] == "persona")].set_index("trait")
    assert chances["target"].to_dict() == OWN
    high, low = ([five.probabilities({"deference": level}, task, State())[0] for task in TASKS] for level in (2, -2))
    assert chances["truth"]["deference"] == pytest.approx(np.mean(high) - np.mean(low))
    assert true_axes(table) == axes["truth"]["made"]
    without_rollouts = table
    table = pd.concat([table, pd.DataFrame(axes_found(STRUCTURE, "made", 4.31), columns=COLUMNS)])
    shown = page({"organism": [Training(table, "AVX2")], "other": [Training(table, "AVX2")]}, 1.0, "made")
    assert "Which tokens carry the decision?" in shown
    assert "all but the decision token" in shown
    assert "organism: one training (AVX2)" in shown
    assert "They say nothing of another training" in shown
    assert "<svg" not in shown
    # further trainings have no rollouts
    further = [Training(without_rollouts.assign(estimate=factor * without_rollouts["estimate"]), kind)
               for factor, kind in ((1.5, "AVX2"), (2.0, "AVX512"))]  # fmt: skip
    shown = page({"organism": [Training(table, "AVX2"), *further], "other": [Training(table, "AVX2")]}, 1.0, "made")
    assert "organism: 3 trainings (AVX2 and AVX512); other: one training (AVX2)" in shown
    assert "What is claimed, over trainings" in shown
    distance = float(table[(table["question"] == KL) & (table["method"] == "model")]["estimate"].iloc[0])
    values = [distance, 1.5 * distance, 2 * distance]
    interval = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert "{:.3g} [{:.3g}, {:.3g}]".format(np.mean(values), *interval) in shown
    assert ", ".join(f"{value:.3g}" for value in values) in shown
    # each method's recovery, over trainings
    assert "What does each method recover, and what leaks?" in shown
    own = table.query("question == @SHARE and dose == 1.0 and timing == 'all'")["estimate"].mean()
    values = [own, 1.5 * own, 2 * own]
    interval = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert "{:.2f} [{:.2f}, {:.2f}]".format(np.mean(values), *interval) in shown
    # what the rollouts say is still the first training's
    assert "1.7 [1.2, 2.2]" in shown


def test_exact_intervals_of_shares():
    # 0 of 10: 1 - (0.025)^(1/10)
    assert clopper_pearson(0, 10) == (0.0, 0.0, pytest.approx(0.3085, abs=1e-4))
    assert clopper_pearson(10, 10) == (1.0, pytest.approx(0.6915, abs=1e-4), 1.0)


def test_reported_effects_are_counted_on_each_traits_primary_outcome():
    conditions = pd.DataFrame(
        {"condition_id": ["a", "b", "c"], "method": ["random", "random", "none"], "trait": ["x", "y", ""],
         "timing": ["all", "all", "none"], "dose": [1.0, 1.0, 0.0]}
    )  # fmt: skip
    rows = [("a", "asks", 0.01), ("a", "calls", 0.5), ("b", "asks", 0.01), ("b", "calls", 0.5), ("c", "asks", 0.01)]
    effects = pd.DataFrame(rows, columns=["condition_id", "outcome", "p_corrected"]).assign(
        estimand="mean_difference", baseline_id="unsteered", method="percentile"
    )
    (row,) = effects_found(effects, conditions, {"x": "asks", "y": "calls"})
    assert (row["question"], row["method"], row["estimate"], row["n"]) == (REPORTED, "random", 0.5, 2)


def test_axes_of_the_rollouts_are_those_of_the_structure_table():
    rows = pd.DataFrame(axes_found(STRUCTURE, "made", 4.3))
    found = rows.set_index(["question", "method"])[["estimate", "truth", "n"]].T.to_dict("list")
    assert found == {
        (ROLLOUT_AXES, "made"): [1.7, 4.3, 2],
        (ROLLOUT_AXES, "random"): [2.0, 4.3, 2],
        (ABOVE_NULL, "made"): [1.0, 4.3, 2],
    }


@pytest.mark.slow
def test_a_truth_of_one_axis_does_not_make_its_measure_one(few_shot, tmp_path, monkeypatch):
    """Participation is that of the actions as they moved, not of the law's axis."""
    monkeypatch.setattr("trimtab.organism.recovery.PERSONAS", 100)
    monkeypatch.setattr("trimtab.organism.recovery.DIRECTIONS", 2)
    one = Law.read(FOLDER, "one_axis")
    language = Language.of_its_own_words(one, few_shot)
    model = build(len(language.protocol.tokenizer), "hybrid", seed=1).eval().requires_grad_(False)
    units = torch.linalg.qr(torch.randn(64, 5, generator=torch.Generator().manual_seed(1)))[0].T
    vectors = [
        Vector(tmp_path, record(method="made", trait=trait, layer=3), unit, torch.zeros(64))
        for trait, unit in zip(one.traits, units, strict=True)
    ]
    table = Recovery(model, language, TASKS, {3: 4.0}, seed=1).table(vectors, [1.0], 1.0, "made")
    axes = table[table["question"] == AXES].set_index("method")
    assert axes["truth"]["made"] == pytest.approx(1)
    assert axes["estimate"]["made"] > 1.5
