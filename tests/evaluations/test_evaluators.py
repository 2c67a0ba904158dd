"""Each evaluator by hand, and all of them: a push of zero gives exactly the unsteered rows."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import D_MODEL, llama

from trimtab.agent.points import Decisions
from trimtab.agent.scenario import Scenario
from trimtab.evaluations import evaluators, items
from trimtab.evaluations.contract import measure
from trimtab.evaluations.evaluators.held_out_text import entropy
from trimtab.evaluations.evaluators.multiple_choice import leads
from trimtab.evaluations.evaluators.off_target import divergence
from trimtab.evaluations.steered import Steered
from trimtab.prompts import resources
from trimtab.rollouts.conditions import Condition
from trimtab.rollouts.episode import Arm
from trimtab.settings.evaluations import names
from trimtab.steering.edits import added

OF_THE_MODEL = [name for name in names() if "turns" not in evaluators.needs(name)]
PRIMARY = {"autonomy": "proactive_calls", "deference": "asks"}
ASKED = "Decide by yourself."


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
        offsets={"start": dict.fromkeys(protocol.tools, 0.0)},
        points=decided.points,
        measured=decided.measured(PRIMARY),
        conditions=[*conditions],
        arms=[*conditions.values()],
    )


def through(name):
    """A few of an evaluator's items."""
    named = evaluators.items(name)
    if named == evaluators.SCENARIOS:
        return [*map(Scenario.of, resources.scenarios()[:3])]
    return items.read(resources.RESOURCES, named)[:3]


@pytest.fixture(scope="module")
def found(steered):
    return {name: measure(name, steered, through(name)) for name in OF_THE_MODEL}


def of(table, condition):
    return table[table["condition_id"] == condition].drop(columns="condition_id").reset_index(drop=True)


@pytest.mark.parametrize("name", OF_THE_MODEL)
def test_a_push_of_zero_gives_exactly_the_unsteered_rows(found, name):
    table = found[name]
    assert set(table["condition_id"]) == {"unsteered", "zero", "push", "back", "prompt"}
    assert len(of(table, "zero")) == len(through(name))
    pd.testing.assert_frame_equal(of(table, "zero"), of(table, "unsteered"), check_exact=True)
    # and what does something is seen to
    for other in ("push", "prompt"):
        assert not of(table, other).equals(of(table, "unsteered")), other


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
