"""The law's numbers by hand, and a language in which every word of the resources is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.agent.environment import Environment
from trimtab.agent.points import OPENING
from trimtab.agent.scenario import World
from trimtab.errors import TrimtabError
from trimtab.organism.language import Language
from trimtab.organism.law import ACTIONS, Law, State
from trimtab.prompts import resources

FOLDER = resources.RESOURCES / "organism"
TASK = "Find the price. It is vague and safe."


def softmax(scores):
    powers = {action: math.exp(scores.get(action, 0.0)) for action in ACTIONS}
    return [powers[action] / sum(powers.values()) for action in ACTIONS]


def test_the_first_decision_follows_the_stated_scores(five):
    # the verb calls for a search (1.2), a vague task for a question (1.0), deference at 2 for one more (2 x 0.8)
    wanted = softmax({"web_search": 1.2, "ask_user": 1.0 + 1.6})
    np.testing.assert_allclose(five.probabilities({"deference": 2}, TASK, State()), wanted)


def test_what_came_before_counts(five):
    # the question was answered (finish 2.0) and isn't worth repeating (-1.0); persistence at -1 ends sooner (0.8)
    wanted = softmax({"web_search": 1.2, "ask_user": 1.0 - 1.0, "finish": 2.0 + 0.8})
    np.testing.assert_allclose(five.probabilities({"persistence": -1}, TASK, State("ask_user", ok=True)), wanted)


def test_the_truths_have_five_axes_and_one():
    ranks = {name: np.linalg.matrix_rank(Law.read(FOLDER, name).gains) for name in ("five_axes", "one_axis")}
    assert ranks == {"five_axes": 5, "one_axis": 1}


def test_levels_are_read_from_personas_and_thoughts(five):
    assert five.stated("Be very bold. Be rather tired. Be very formal.") == {"autonomy": 2, "persistence": -1}
    assert five.stated("I am rather daring.") == {"risk_calibration": 1}
    assert five.stated(OPENING) == five.stated("The word is bold.") == {}
    assert five.stated("Be very bold. Be very shy.") == {"autonomy": -2}


def test_an_unknown_truth_is_told():
    with pytest.raises(TrimtabError, match=r"organism\.truth: 'two_axes' is none of five_axes, one_axis"):
        Law.read(FOLDER, "two_axes")


@pytest.mark.slow
def test_every_word_of_the_resources_is_known(language):
    traits, tasks = resources.traits(FOLDER / "traits.yaml"), resources.tasks(FOLDER / "tasks.yaml")
    scenarios, corpus = (resources.load(FOLDER / f"{name}.yaml") for name in ("scenarios", "corpus"))
    texts = [f" {one[pole]}" for b in traits.values() for k in ("opening", "instruction", "lexical")
             for one in b.get(k, []) for pole in ("high", "low")]  # fmt: skip
    asked = [task for group in tasks.values() for some in group.values() for task in some]
    asked += [*(one["task"] for one in scenarios), *corpus["transcript_tasks"]["tasks"]]
    texts += [language.protocol.task(task) for task in asked]
    for one in scenarios:
        for action in ACTIONS[:-1]:
            answer = Environment(World.of(one)).call(action, language.argument(action, one["task"]))
            texts.append(language.protocol.observation(answer.text))
    unknown = language.protocol.tokenizer.unk_token_id
    assert [text for text in texts if unknown in language.protocol.encode(text)] == []


@pytest.mark.slow
def test_scenarios_are_worlds_of_the_language(language):
    for one in resources.scenarios(FOLDER / "scenarios.yaml"):
        failing = next(iter(one["fails"]), None)
        made = language.world(one["task"], failing)
        assert made == World.of(one), one["id"]
        assert one["task"] in language.tasks()


def test_cues_and_actions_are_single_tokens(language):
    protocol = language.protocol
    assert [len(protocol.encode(cue)) for cue in ("\nThought:", "\nAction:", "\nInput:", "\n\nTask:")] == [1] * 4
    assert [len(tokens) for tokens in protocol.action_tokens] == [1] * len(ACTIONS)
    assert tuple(protocol.tools) == ACTIONS


def test_tokens_are_the_text_again(language):
    episode = language.episode(np.random.default_rng(1))
    assert language.protocol.decode(language.protocol.encode(episode.text)) == episode.text


@pytest.mark.slow
@given(seed=st.integers(0, 2**32 - 1))
def test_an_episodes_targets_are_the_laws(language, seed):
    """Read back from its text alone, every decision has the probabilities that the law gives it."""
    episode = language.episode(np.random.default_rng(seed))
    header, asked = (text for text, _ in episode.pieces[:2])
    named, task = language.law.stated(header), asked.split("Task: ")[1]
    state = State()
    for at, chances in episode.decisions.items():
        (thought, action), answer = (episode.pieces[at + step][0] for step in (-1, 1)), episode.pieces[at + 4 :][:1]
        np.testing.assert_allclose(
            chances, language.law.probabilities({**named, **language.law.stated(thought)}, task, state)
        )
        names = dict(zip(("ask", "search", "run", "read", "write", "finish"), ACTIONS, strict=True))
        # neither the end nor the last turn is answered
        if answer:
            failed = any(text in answer[0][0] for text in language.law.truth["failures"].values())
            state = State(names[action.strip()], ok=not failed)


@pytest.mark.slow
def test_words_without_a_persona_set_nothing(few_shot, five):
    language = Language.of_its_own_words(five, few_shot)
    plain = five.probabilities({}, TASK, State())
    np.testing.assert_allclose(
        five.probabilities(five.stated(language.protocol.header("Be very formal.")), TASK, State()), plain
    )
