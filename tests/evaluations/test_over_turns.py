"""An effect over the turns of an episode: planted ones that stay, fade and add up, each computed anew in NumPy."""

import numpy as np
import pandas as pd
import pytest
import torch
from chat import byte_tokenizer
from tiny import D_MODEL, llama

from trimtab.agent import protocols
from trimtab.agent.points import Decisions
from trimtab.agent.scenario import Scenario
from trimtab.evaluations.conclusions import Means
from trimtab.evaluations.contract import measure
from trimtab.evaluations.evaluators import over_turns
from trimtab.evaluations.evaluators.over_turns import later, parted
from trimtab.evaluations.steered import Steered
from trimtab.prompts import resources
from trimtab.rollouts.conditions import Condition
from trimtab.rollouts.episode import Arm
from trimtab.steering.edits import added
from trimtab.steering.places import ASSISTANT, USER, Places

PUSH = torch.nn.functional.normalize(torch.randn(D_MODEL, generator=torch.Generator().manual_seed(1)), dim=0)
LENGTH = 6.0
TIMINGS = ("all", "user", "assistant")
SHOWS = ("web_search", "code_execute", "file_read", "file_write")
"""Actions of the trait, as its declared outcome counts them."""


def condition(name):
    return Condition(name, "study", "sae_probe", "autonomy", None, 0.4, "residual_share", "all", 0, "add")


def held(protocol, model, arms):
    decided = Decisions.read(resources.RESOURCES / "decisions.yaml")
    return Steered(
        model=model,
        protocol=protocol,
        offsets={name: dict.fromkeys(protocol.tools, 0.1) for name in decided.points},
        points=decided.points,
        measured=decided.measured({"autonomy": "proactive_calls"}),
        conditions=[condition(arm.condition_id) for arm in arms],
        arms=arms,
    )


def uniform(protocol, mixed=True):
    """A model that adds to each token how much of the push the tokens up to it have on average, and nothing else: its
    second layer attends to all alike. Without mixing, what a token says depends on this token alone."""
    model = llama(
        vocab_size=len(protocol.tokenizer),
        max_position_embeddings=2048,
        num_hidden_layers=2,
        num_key_value_heads=4,
        initializer_range=0.3,
    )
    first, second = model.model.layers
    for layer in (first, second):
        layer.mlp.down_proj.weight.zero_()
    first.self_attn.o_proj.weight.zero_()
    second.self_attn.q_proj.weight.zero_()
    # no word has any of the push, which speaks for what the trait's actions have in common
    words, says = model.model.embed_tokens.weight, model.lm_head.weight
    words -= torch.outer(words @ PUSH, PUSH)
    says -= torch.outer(says @ PUSH, PUSH)
    says[[first for tool, first in zip(protocol.tools, protocol.firsts, strict=True) if tool in SHOWS]] += PUSH
    second.self_attn.v_proj.weight.copy_(torch.outer(PUSH, PUSH))
    second.self_attn.o_proj.weight.copy_(torch.eye(D_MODEL) * mixed)
    return model


def normed(rows, eps=1e-6):
    return rows / np.sqrt((rows**2).mean(-1, keepdims=True) + eps)


def log_odds(model, steered, tokens, touched):
    """Of the trait's actions after these tokens, some of which are pushed, without the project's code."""
    weight = {name: each.double().numpy() for name, each in model.state_dict().items()}
    rows = weight["model.embed_tokens.weight"][tokens] + LENGTH * np.outer(touched, PUSH.double().numpy())
    value, out = (weight[f"model.layers.1.self_attn.{name}_proj.weight"] for name in "vo")
    last = rows[-1] + out @ (value @ normed(rows).mean(0))
    logits = weight["lm_head.weight"] @ normed(last)
    scores = np.exp(logits[steered.protocol.firsts])
    shows = np.isin(steered.protocol.tools, SHOWS)
    return np.log(scores[shows].sum() / scores[~shows].sum())


def by_numpy(model, steered, there, timing, until_then):
    """Change of log-odds in one conversation."""
    header, ((before, last),) = parted(steered, Arm(""), [there])
    pieces = [header, *before, *last]
    at = Places.of(torch.tensor([place for piece in pieces for place in piece.places]))
    touched = {"all": at.role >= 0, "user": at.role == USER, "assistant": at.role == ASSISTANT}[timing].numpy().copy()
    if until_then:
        touched[sum(len(piece.tokens) for piece in [header, *before]) :] = False
    tokens = [token for piece in pieces for token in piece.tokens]
    pushed, plain = (log_odds(model, steered, tokens, each) for each in (touched, np.zeros(len(tokens))))
    return pushed - plain


@pytest.fixture(scope="module")
def scenarios():
    return [Scenario.of(row) for row in resources.scenarios()[:2]]


@pytest.fixture(scope="module")
def mixing(protocol):
    """Pushes of all tokens, of the task's alone and of the agent's own, in the model that takes means."""
    return held(protocol, uniform(protocol), [Arm(timing, added(0, PUSH, LENGTH, timing)) for timing in TIMINGS])


@pytest.fixture(scope="module")
def found(mixing, scenarios):
    return measure("over_turns", mixing, scenarios).set_index(["condition_id", "scenario_id"])


@pytest.mark.parametrize("timing", TIMINGS)
def test_effects_of_each_turn_are_what_numpy_says(mixing, found, scenarios, timing):
    for one, there in zip(scenarios, mixing.situations("autonomy", scenarios), strict=True):
        for turn in range(4):
            late = later(mixing, there, one, turn)
            for name, until_then in (("moved", False), ("carried", True)):
                expected = by_numpy(mixing.model, mixing, late, timing, until_then)
                assert found.loc[(timing, one.id), f"{name}_turn_{turn + 1}"] == pytest.approx(expected, abs=2e-4)


def test_a_push_that_touches_the_task_alone_fades_as_the_episode_grows(found):
    """Its share of all tokens falls; from the second turn on all that is left is in the cache."""
    rows = found.loc["user"]
    moved = rows[[f"moved_turn_{turn}" for turn in range(1, 5)]].abs().to_numpy()
    assert (np.diff(moved, axis=1) < 0).all()
    assert rows[[f"carried_turn_{turn}" for turn in range(2, 5)]].to_numpy() == pytest.approx(
        rows[[f"moved_turn_{turn}" for turn in range(2, 5)]].to_numpy(), abs=2e-4
    )
    assert (rows["carried_turn_1"] == 0).all()


def test_a_push_of_the_agents_own_tokens_adds_up_in_the_cache(found):
    """Nothing of it is there before the first turn, and more of it before each later one."""
    carried = found.loc["assistant"][[f"carried_turn_{turn}" for turn in range(1, 5)]].abs().to_numpy()
    assert (carried[:, 0] == 0).all()
    assert (np.diff(carried, axis=1) > 0).all()


def test_an_effect_that_no_token_hands_on_is_the_same_in_all_turns(protocol, scenarios):
    constant = held(protocol, uniform(protocol, mixed=False), [Arm("push", added(0, PUSH, LENGTH))])
    (row, *_) = measure("over_turns", constant, scenarios).to_dict("records")
    moved = [row[f"moved_turn_{turn}"] for turn in range(1, 5)]
    assert abs(moved[0]) > 0.1
    assert moved == pytest.approx([moved[0]] * 4, abs=1e-4)
    assert row["moved_slope"] == pytest.approx(0, abs=1e-4)
    assert [row[f"carried_turn_{turn}"] for turn in range(1, 5)] == [0] * 4


def test_slopes_are_least_squares(found):
    for name in ("moved", "carried"):
        turns = found[[f"{name}_turn_{turn}" for turn in range(1, 5)]].to_numpy()
        fitted = [np.polyfit(range(1, 5), one, 1)[0] for one in turns]
        assert found[f"{name}_slope"].tolist() == pytest.approx(fitted, abs=1e-9)


def test_a_scenario_with_too_little_to_look_at_lacks_the_later_turns(mixing, scenarios):
    world = scenarios[0].world
    (path, text), *_ = world.files.items()
    small = Scenario("small", "Do it.", type(world)({path: text}, (), world.code, world.user, {}), "coding", None, {})
    row = measure("over_turns", mixing, [small]).iloc[0]
    assert row[["moved_turn_1", "moved_turn_2", "carried_turn_2"]].notna().all()
    assert row[["moved_turn_3", "moved_turn_4", "carried_turn_3", "moved_slope", "carried_slope"]].isna().all()


@pytest.mark.parametrize("name", ["few_shot", "few_shot_at_once", "native"])
def test_every_protocol_tells_earlier_turns_as_it_told_them_alone(name, protocol, scenarios):
    tokenizer = byte_tokenizer() if name == "native" else protocol.tokenizer
    spoken = protocols.read(resources.RESOURCES / f"{name}.yaml", tokenizer)
    steered = held(spoken, None, [])
    (there,) = steered.situations("autonomy", scenarios[:1])
    late = later(steered, there, scenarios[0], 3)
    assert [each["role"] for each in late.messages] == ["user", *["assistant", "tool"] * 3, "assistant"]
    header, ((before, last),) = parted(steered, Arm(""), [late])
    assert [header, *before] == spoken.prompt(late.messages[:-2])
    assert [header, *before, *last] == spoken.prompt(late.messages)
    assert scenarios[0].world.documents[0].title in spoken.decode(before[-1].tokens)


def test_what_is_kept_and_what_came_through_the_cache():
    """One that stays and one that halves each turn, all or half of it in the cache."""
    turns = [f"{name}_turn_{turn}" for name in ("moved", "carried") for turn in range(1, 5)]
    effects = {"stays": [2, 2, 2, 2, 0, 1, 1, 1], "halves": [8, 4, 2, 1, 0, 4, 2, 1]}
    rows = [(name, f"s{at}", 0, *map(float, values)) for name, values in effects.items() for at in range(3)]
    means = Means.of(pd.DataFrame(rows, columns=["condition_id", "scenario_id", "seed", *turns]), 20, 0)
    told = over_turns.concluded(means, [condition("stays"), condition("halves")])
    assert {(each.quantity, each.subject): float(each.values[0]) for each in told} == {
        ("kept_in_the_fourth_turn", "stays"): 1,
        ("share_of_it_through_the_cache", "stays"): 0.5,
        ("kept_in_the_fourth_turn", "halves"): 0.125,
        ("share_of_it_through_the_cache", "halves"): 1,
    }
