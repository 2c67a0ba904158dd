"""Each evaluator by hand, and all of them: a push of zero gives exactly the unsteered rows."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recorded import one_call, scenario
from tiny import D_MODEL, llama

from trimtab.agent.points import Decisions
from trimtab.agent.scenario import Scenario
from trimtab.evaluations import evaluators, items
from trimtab.evaluations.conclusions import Means
from trimtab.evaluations.contract import measure
from trimtab.evaluations.evaluators import (
    course_correction,
    cross_trait,
    depth,
    forced_language,
    fragility,
    robustness,
    self_correction,
    written_text,
)
from trimtab.evaluations.evaluators.held_out_text import entropy
from trimtab.evaluations.evaluators.multiple_choice import leads
from trimtab.evaluations.evaluators.off_target import divergence
from trimtab.evaluations.steered import Dictionary, Episodes, Steered
from trimtab.forward.sites import INPUT, Site
from trimtab.prompts import resources
from trimtab.rollouts.conditions import Condition
from trimtab.rollouts.episode import Arm
from trimtab.saes.sae import SAE, TopKActivation
from trimtab.settings.evaluations import names
from trimtab.steering.edits import added
from trimtab.steering.gates import Beyond
from trimtab.vectors.decisions import Situation

OF_THE_MODEL = [name for name in names() if "turns" not in evaluators.needs(name)]
PRIMARY = {"autonomy": "proactive_calls", "deference": "asks"}
SHORT = {"written_text": {"tokens": 8}, "forced_language": {"tokens": 8}}
ASKED = "Decide by yourself."


def dictionary(latents=64, k=8):
    """Of random latents."""
    decoder = torch.nn.functional.normalize(torch.randn(latents, D_MODEL, generator=torch.Generator().manual_seed(2)))
    return SAE(decoder.T.clone(), torch.zeros(latents), decoder, torch.zeros(D_MODEL), TopKActivation(k))


def condition(name, method="sae_probe", trait="autonomy", dose=0.4):
    return Condition(name, "study", method, trait, None, dose, "residual_share", "all", 1, "add")


@pytest.fixture(scope="module")
def steered(protocol):
    """Unsteered, hooks that add nothing, a push, the push turned round, and the trait asked for in the prompt."""
    model = llama(
        vocab_size=len(protocol.tokenizer), max_position_embeddings=2048, num_hidden_layers=3, initializer_range=0.3
    )
    push = torch.nn.functional.normalize(torch.randn(D_MODEL, generator=torch.Generator().manual_seed(1)), dim=0)
    decided = Decisions.read(resources.RESOURCES / "decisions.yaml")
    conditions = {
        condition("unsteered", "none", "", 0.0): Arm("unsteered"),
        condition("zero", "zero", "", 0.0): Arm("zero", added(1, push, 0.0)),
        condition("push"): Arm("push", added(1, push, 3.0)),
        condition("back", dose=-0.4): Arm("back", added(1, push, -3.0)),
        condition("prompt", "prompt", dose=0.0): Arm("prompt", instruction=ASKED),
    }
    return Steered(
        model=model,
        protocol=protocol,
        offsets={name: dict.fromkeys(protocol.tools, 0.0) for name in decided.points},
        points=decided.points,
        measured=decided.measured(PRIMARY),
        conditions=[*conditions],
        arms=[*conditions.values()],
        latents=pd.DataFrame({"layer": [1, 1, 1, 0], "q_templates": [0.01, 0.05, 0.4, 0.0]}),
        dictionaries={1: Dictionary(Site(1), dictionary())},
    )


def through(name):
    """A few of an evaluator's items."""
    named, *_ = evaluators.items(name)
    if named == evaluators.SCENARIOS:
        return [*map(Scenario.of, resources.scenarios()[:3])]
    return items.read(resources.RESOURCES, named)[:3]


def beside(name):
    return {kind: items.read(resources.RESOURCES, kind) for kind in evaluators.items(name)[1:]}


@pytest.fixture(scope="module")
def found(steered):
    return {
        name: measure(name, replace(steered, beside=beside(name), settings=SHORT.get(name, {})), through(name))
        for name in OF_THE_MODEL
    }


def of(table, condition):
    return table[table["condition_id"] == condition].drop(columns="condition_id").reset_index(drop=True)


@pytest.mark.parametrize("name", OF_THE_MODEL)
def test_a_push_of_zero_gives_exactly_the_unsteered_rows(found, name):
    table = found[name]
    assert set(table["condition_id"]) == {"unsteered", "zero", "push", "back", "prompt"}
    assert len(of(table, "zero")) == len(through(name))
    pd.testing.assert_frame_equal(of(table, "zero"), of(table, "unsteered"), check_exact=True)
    # and what does something is seen to; a prompt has no direction that could be read
    for other in ("push", *([] if name == "specificity" else ["prompt"])):
        assert not of(table, other).equals(of(table, "unsteered")), other


@pytest.mark.parametrize("name", [name for name in OF_THE_MODEL if "actions" in evaluators.needs(name)])
def test_a_trait_that_no_action_shows_has_no_rows(steered, name):
    table = measure(name, replace(steered, measured={}, beside=beside(name)), through(name))
    assert table.columns.tolist() == ["condition_id", "scenario_id", "seed", *evaluators.measures(name)]
    assert table.empty


def alone(steered, text):
    """Log-probabilities after each token of a text, by the model itself."""
    tokens = steered.protocol.as_text(text)
    with torch.inference_mode():
        logits = steered.model(torch.tensor([tokens])).logits[0]
    return tokens, torch.log_softmax(logits.double(), dim=-1)


def test_scores_of_a_text_are_the_models_own(steered, found):
    passage = through("held_out_text")[0]
    tokens, told = alone(steered, passage.given + passage.follows)
    first = len(steered.protocol.as_text(passage.given))
    missed = [-float(told[at - 1, tokens[at]]) for at in range(first, len(tokens))]
    spread = [-float((told[at - 1].exp() * told[at - 1]).sum()) for at in range(first, len(tokens))]
    row = of(found["held_out_text"], "unsteered").iloc[0]
    assert row["cross_entropy"] == pytest.approx(np.mean(missed), rel=1e-4)
    assert row["entropy"] == pytest.approx(np.mean(spread), rel=1e-4)


def test_the_trait_is_asked_for_before_the_text(steered, found):
    passage = through("off_target")[1]
    _, plain = alone(steered, passage.given)
    _, asked = alone(steered, f"{ASKED}\n{passage.given}")
    expected = float((plain[-1].exp() * (plain[-1] - asked[-1])).sum())
    assert of(found["off_target"], "prompt")["off_target_kl"][1] == pytest.approx(expected, rel=1e-3)


def test_entropy_by_hand():
    """Uniform over V: ln V (K30); certain: 0."""
    certain = torch.full((5,), -torch.inf).index_fill(0, torch.tensor(2), 0.0)
    both = entropy(torch.stack([torch.full((5,), -math.log(5)), certain]))
    assert both.tolist() == pytest.approx([math.log(5), 0.0], abs=1e-6)


def test_divergence_by_hand():
    """Of tanh-coupled pairs of tokens, log cosh(1/2) = 0.120115 (K12); of a distribution from itself, exactly 0."""
    even, moved = (torch.log_softmax(torch.tensor([[0.0, gap]]), dim=-1) for gap in (0.0, 1.0))
    assert float(divergence(moved[None], even)) == pytest.approx(math.log(math.cosh(0.5)), abs=1e-6)
    assert float(divergence(even[None], even)) == 0


def test_the_right_answers_lead_by_hand():
    scores = torch.tensor([[-1.0, -2.0, -1.5], [-3.0, -2.5, -9.0]])
    assert leads(scores).tolist() == [0.5, -0.5]


def test_an_answer_counts_by_its_mean_token(steered, found):
    question = through("multiple_choice")[0]
    given = f"Question: {question.question}\nAnswer:"
    scores = []
    for answer in question.answers:
        tokens, told = alone(steered, f"{given} {answer}")
        first = len(steered.protocol.as_text(given))
        scores.append(np.mean([float(told[at - 1, tokens[at]]) for at in range(first, len(tokens))]))
    row = of(found["multiple_choice"], "unsteered").iloc[0]
    assert row["lead"] == pytest.approx(scores[0] - max(scores[1:]), rel=1e-3)
    assert row["correct"] == float(scores[0] > max(scores[1:]))


def test_scenarios_that_move_the_other_way(found):
    table = found["anti_steerable"]
    push, back = of(table, "push"), of(table, "back")
    # the same push meant the other way round: what the edit moves is no mirror image, but its sign counts against it
    assert set(push["anti_steerable"]) <= {0.0, 1.0}
    assert ((push["moved"] < 0) == (push["anti_steerable"] == 1)).all()
    assert ((back["moved"] < 0) == (back["anti_steerable"] == 1)).all()
    assert (of(table, "unsteered")[["moved", "anti_steerable"]] == 0).all(axis=None)


def situation(task="Count the lines.", thought="Let me see."):
    return Situation("start", "s", [{"role": "user", "content": task}, {"role": "assistant", "content": thought}])


def test_suffixes_are_taken_in_turn_and_thoughts_replaced():
    some = [items.Passage(name, f"{name}.") for name in ("Stop", "Drop", "Quit")]
    twice = [robustness.asked_off([situation(), situation()], some, time) for time in (0, 1)]
    said = [[each.messages[0]["content"] for each in once] for once in twice]
    assert said == [
        ["Count the lines. Stop.", "Count the lines. Drop."],
        ["Count the lines. Quit.", "Count the lines. Stop."],
    ]
    (one,) = robustness.prefilled([situation()], some)
    assert [each["content"] for each in one.messages] == ["Count the lines.", "Stop."]


def test_what_is_read_alike_keeps_all_of_its_effect():
    """Ratio of identical conditions = 1."""
    rows = [("push", f"s{at}", 0, 0.1 * at, 0.1 * at, 0.05 * at) for at in range(1, 6)]
    table = pd.DataFrame(rows, columns=["condition_id", "scenario_id", "seed", *robustness.MEASURES])
    same, half = robustness.concluded(Means.of(table, 200, 0), [condition("push")])
    assert same.quantity, half.quantity == ("kept_asked_off", "kept_prefilled")
    assert same.values == pytest.approx(1.0)
    assert half.values == pytest.approx(0.5)


def test_edits_elsewhere_and_how_many_cells_keep_the_sign():
    push = added(1, torch.ones(4), 2.0)
    stack = torch.nn.ModuleList(torch.nn.ModuleDict({name: torch.nn.Identity()}) for name in ("mlp", "mlp", "other"))
    assert [edit.site.layer for edit in fragility.elsewhere(push, 1, stack)] == [2]
    assert fragility.elsewhere(push, 2, stack) is None
    assert fragility.elsewhere(push, -2, stack) is None
    # as in a model whose layers mix tokens by different modules
    within = added(Site(1, "mlp"), torch.ones(4), 2.0)
    assert [edit.site for edit in fragility.elsewhere(within, -1, stack)] == [Site(0, "mlp")]
    assert fragility.elsewhere(within, 1, stack) is None
    # a gate reads where it did, and must have read before the edit is due
    for read, there in ((Site(1), False), (Site(0), True), (Site(0, "mlp"), True), (Site(1, "mlp"), False)):
        (edit,) = push
        gated = (replace(edit, gate=Beyond((read,), torch.ones(4), 0.0)),)
        assert (fragility.elsewhere(gated, -1, stack) is not None) == there
        assert fragility.elsewhere(gated, 1, stack) is not None
    (edit,) = within
    for read, there in ((Site(0, "mlp"), True), (Site(0, "mixer"), False), (Site(0, "mlp", INPUT), False)):
        gated = (replace(edit, gate=Beyond((read,), torch.ones(4), 0.0)),)
        assert (fragility.elsewhere(gated, -1, stack) is not None) == there
    cells = [1.0, np.nan, 0.5, 2.0, -0.1, 0.3, 0.0, 0.2, 0.1]
    table = pd.DataFrame(
        [("push", "s", 0, *cells)], columns=["condition_id", "scenario_id", "seed", *fragility.MEASURES]
    )
    (told,) = fragility.concluded(Means.of(table, 50, 0), [condition("push")])
    # six of the eight that there are
    assert told.values == pytest.approx(6 / 8)


def test_a_push_of_twice_the_strength_is_the_stronger_condition(steered):
    """A cell is what the condition would be whose strength or layer is other."""
    there = through("fragility")
    own = replace(steered, beside=beside("fragility"))
    cells = of(measure("fragility", own, there), "push")
    strong = [Arm(arm.condition_id, tuple(replace(e, strength=2 * e.strength) for e in arm.edits)) for arm in own.arms]
    moved = of(measure("anti_steerable", replace(own, arms=strong), there), "push")["moved"]
    assert cells["moved_twice"].tolist() == pytest.approx(moved.tolist(), abs=1e-3)
    before = [Arm(arm.condition_id, fragility.elsewhere(arm.edits, -1, own.model.model.layers)) for arm in own.arms]
    moved = of(measure("anti_steerable", replace(own, arms=before), there), "push")["moved"]
    assert cells["moved_layer_before"].tolist() == pytest.approx(moved.tolist(), abs=1e-3)


def test_the_first_turn_is_the_first_decision_and_what_the_prompt_asks_for_is_all_in_the_cache(found):
    table = found["over_turns"]
    moved = of(found["anti_steerable"], "push")["moved"]
    assert of(table, "push")["moved_turn_1"].tolist() == pytest.approx(moved.tolist(), abs=1e-3)
    asked = of(table, "prompt")
    for turn in range(1, 5):
        whole = asked[f"moved_turn_{turn}"]
        assert whole.abs().min() > 1e-3
        assert asked[f"carried_turn_{turn}"].tolist() == pytest.approx(whole.tolist(), abs=1e-3)


def test_course_by_hand():
    """From (0, 0), asked for (1, 0), at (.5, .5): 0.7071, 0.5, 0.7071 (the paper's own case)."""
    start, goal = torch.zeros(2), torch.tensor([1.0, 0.0])
    found = course_correction.course(start, goal, torch.tensor([0.5, 0.5]))
    assert [float(each) for each in found] == pytest.approx([0.5**0.5, 0.5, 0.5**0.5])
    still = course_correction.course(start, goal, start)
    assert (float(still.error), float(still.miscalibration)) == (1, 1)
    assert still.side_effect.isnan()


@given(st.lists(st.floats(0, 1), min_size=9, max_size=9))
def test_the_error_is_what_is_missed_along_the_way_and_beside_it(numbers):
    start, goal, reached = torch.tensor(numbers, dtype=torch.float64).split(3)
    length, moved = float((goal - start).norm()), float((reached - start).norm())
    if length > 1e-3 and moved > 1e-3:
        found = course_correction.course(start, goal, reached)
        parts = (float(found.miscalibration) * length) ** 2 + (float(found.side_effect) * moved) ** 2
        assert float(found.error) ** 2 == pytest.approx(parts, abs=1e-9)


def test_attributes_of_a_text_by_hand():
    text = "The cat sat on the mat. It was happy."
    # nine words, two sentences, syllables 1 1 1 1 1 1, 1 1 2
    assert written_text.grade(text) == pytest.approx(0.39 * 9 / 2 + 11.8 * 10 / 9 - 15.59)
    # the, on and the against it
    assert written_text.formality(text) == pytest.approx((100 * (3 - 1) / 9 + 100) / 2)
    assert written_text.length(text) == 9
    assert [written_text.syllables(word) for word in ("table", "make", "idea", "the", "agree", "rhythm")] == [
        2,
        1,
        2,
        1,
        2,
        1,
    ]
    assert written_text.repeated("a b c a b c") == pytest.approx(1 - 3 / 4)
    assert written_text.repeated("a b c d") == 0
    assert np.isnan(written_text.repeated("a b"))
    assert [np.isnan(of(" . ")) for of in (written_text.grade, written_text.formality, written_text.diversity)] == [
        True
    ] * 3


def test_diversity_by_hand():
    """Stretches of `a a`: after two words one in two is different, so each stretch is two words long."""
    assert written_text.diversity("a a a a a a") == 2
    # no word twice: the stretch doesn't end, and is as long as the text
    assert written_text.diversity("one two three four") == 4
    # a b a: 2/3 < 0.72 ends a stretch; of the rest, b: all different
    assert written_text.diversity("a b a b") == 4


def test_shares_of_a_matrix_by_hand():
    """Identity: all of it on the diagonal; all alike: one in n; a draw without any effect has none."""
    three = np.stack([np.eye(3), np.ones((3, 3)), np.zeros((3, 3))])
    assert cross_trait.diagonal_share(three)[:2].tolist() == [1, pytest.approx(1 / 3)]
    assert np.isnan(cross_trait.diagonal_share(three)[2])


def test_the_matrix_is_in_spreads_of_unsteered_outcomes():
    traits = ["autonomy", "deference"]
    conditions = [condition("a"), condition("d", trait="deference"), condition("lone", method="lda")]
    unsteered = [(0.0, 10.0), (2.0, 30.0)]
    shifts = {"unsteered": (0, 0), "a": (1, 10), "d": (0, -20), "lone": (9, 9)}
    rows = [
        (name, f"s{at}", 0, x + dx, y + dy) for name, (dx, dy) in shifts.items() for at, (x, y) in enumerate(unsteered)
    ]
    means = Means.of(pd.DataFrame(rows, columns=["condition_id", "scenario_id", "seed", *traits]), 20, 0)
    # spreads are sqrt 2 and 10 sqrt 2: rows (1, 1) and (0, -2) of them over sqrt 2
    found = {(each.quantity, each.subject): float(each.values[0]) for each in cross_trait.concluded(means, conditions)}
    assert found == {
        ("diagonal_share", "sae_probe.all.+0.4.add"): pytest.approx(5 / 6),
        ("own_share", "a"): pytest.approx(1 / 2),
        ("own_share", "d"): pytest.approx(1.0),
    }


def test_outcomes_of_episodes_are_the_rollouts_own():
    turns = one_call("ask_user", {})
    episodes = Episodes([condition("c")], turns, PRIMARY)
    assert measure("cross_trait", episodes, [scenario("file_read")]).to_dict("records") == [
        {"condition_id": "c", "scenario_id": "s", "seed": 0, "autonomy": 0.0, "deference": 1.0}
    ]


def test_attempts_by_hand():
    assert self_correction.attempts("Count the sheep. Wait, the task is lines. I count lines.") == [
        "Count the sheep.",
        " Wait, the task is lines. I count lines.",
    ]
    assert len(self_correction.attempts("Sorry, I can't wait to see actual sheep.")) == 1
    assert len(self_correction.attempts("Two.\nActually three.\nOn second thought, four.")) == 3
    assert self_correction.relevance("Count these lines", "Count the lines of a file") == pytest.approx(2 / 3)
    assert self_correction.relevance("no", "Count") == 0


def test_a_later_attempt_counts_where_it_has_more_of_the_task():
    row = one_call("ask_user", {}).iloc[0]
    said = {
        "better": "Sheep graze. Wait, count lines.",
        "worse": "Count lines. Wait, sheep graze.",
        "one": "Count lines.",
    }
    turns = pd.DataFrame([row.to_dict() | {"condition_id": name, "thought": text} for name, text in said.items()])
    episodes = Episodes([condition(name) for name in said], turns, PRIMARY)
    told = measure("self_correction", episodes, [replace(scenario("file_read"), task="Count the lines.")])
    assert told.set_index("condition_id").drop(columns=["scenario_id", "seed"]).T.to_dict("list") == {
        "better": [2, 1, 1],
        "one": [1, 0, 0],
        "worse": [2, 1, 0],
    }


def test_languages_are_told_apart():
    """Each answer, by an identifier that has not seen it."""
    parallel = items.read(resources.RESOURCES, "languages")
    for at, one in enumerate(parallel):
        languages = forced_language.Languages.of([*parallel[:at], *parallel[at + 1 :]])
        assert {name: languages.of_text(text) for name, text in one.answers.items()} == {
            name: name for name in one.answers
        }
    assert languages.of_text("12 ... ?") == ""
    assert forced_language.grams("A b") == [" a ", "a b", " b "]


def test_harmonic_mean_by_hand():
    both = np.array([0.8, 0.0, 0.5, 0.0]), np.array([0.5, 0.7, 0.0, 0.0])
    assert forced_language.harmonic(*both).tolist() == [pytest.approx(0.615385, abs=1e-6), 0, 0, 0]


def test_relevance_is_a_rank_among_references():
    lift = torch.tensor([[1.0, 0.5, 0.2, 1.5], [0.0, 0.0, 0.0, 0.0]])
    assert forced_language.raised(lift).tolist() == [pytest.approx(2 / 3), 0.5]


def test_latents_are_counted_at_the_layer_of_the_condition(found):
    table = found["depth"]
    # two of three at layer 1 have a q of 0.05 or less
    assert of(table, "push")["concept_latents"].tolist() == [2, 2, 2]
    assert of(table, "unsteered")["concept_latents"].isna().all()
    moved = of(found["anti_steerable"], "push")["moved"]
    assert of(table, "push")["steerability"].tolist() == pytest.approx(moved.tolist(), abs=1e-3)


def test_rank_correlation_by_hand():
    """Same order, turned round, one pair swapped of three, and a tie in everything."""
    index = np.array([[1.0, 2.0, 3.0]] * 4)
    counts = np.array([[10.0, 20.0, 90.0], [3.0, 2.0, 1.0], [2.0, 1.0, 3.0], [5.0, 5.0, 5.0]])
    found = depth.rank_correlation(index, counts)
    assert found[:3].tolist() == pytest.approx([1, -1, 0.5])
    assert np.isnan(found[3])


def test_depth_goes_over_traits():
    known = {"a": (1.0, 1.0), "b": (2.0, 4.0), "c": (3.0, 9.0), "lone": (1.0, 1.0)}
    rows = [(name, f"s{at}", 0, moved, count) for name, (moved, count) in known.items() for at in range(3)]
    means = Means.of(pd.DataFrame(rows, columns=["condition_id", "scenario_id", "seed", *depth.MEASURES]), 10, 0)
    conditions = [condition(name, trait=f"trait_{name}") for name in "abc"] + [condition("lone", method="lda")]
    (told,) = depth.concluded(means, conditions)
    assert told.subject == "sae_probe.all.+0.4.add"
    assert told.values == pytest.approx(1)
