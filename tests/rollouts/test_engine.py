"""An episode is its scenario's, its arm's and its seed's: no batch company, hook or padding has a say in it."""

import itertools
from dataclasses import asdict

import numpy as np
import pytest
import torch
from short import SHORT
from tiny import D_MODEL, gemma3, qwen3_5_moe

from trimtab.agent.calibration import Calibration, action_scores
from trimtab.agent.environment import Environment
from trimtab.agent.few_shot import ACTION, INPUT, THOUGHT
from trimtab.agent.names import FINISH
from trimtab.agent.turn import rows
from trimtab.artifacts import files
from trimtab.rollouts.draws import COUPLINGS
from trimtab.rollouts.engine import Engine
from trimtab.rollouts.episode import Arm
from trimtab.settings.rollouts import EpisodeSettings
from trimtab.steering.batch import GrowingBatch
from trimtab.steering.edits import added
from trimtab.steering.steering import Steering

SEED, RUN = 5, 0
DIRECTION = torch.nn.functional.one_hot(torch.tensor(3), D_MODEL).float()
UNSTEERED = Arm("unsteered")
ARMS = [
    UNSTEERED,
    Arm("all", added(1, DIRECTION, 8.0, "all")),
    Arm("decode", added(2, DIRECTION, -8.0, "decode")),
    Arm("prefill", added(1, DIRECTION, 8.0, "prefill")),
    Arm("prompt", instruction="Ask the user before every step, and never guess."),
]
PLACED = [Arm("last", added(2, DIRECTION, 60.0, "last_prompt")), Arm("user", added(2, DIRECTION, 60.0, "user"))]
ALL = [*ARMS, *PLACED]
PROBABILITIES = ["p_ask_user", "p_web_search", "p_code_execute", "p_file_read", "p_file_write", "p_finish"]
COLUMNS = {
    "condition_id", "scenario_id", "seed", "turn", "prompt", "thought", "tool", "argument", "observation", "ok",
    "tokens", "finish_reason", *PROBABILITIES,
}  # fmt: skip


def same(records, others, ignoring=()):
    """Whether two runs are the same: texts and numbers exactly, probabilities to rounding."""
    assert len(records) == len(others)
    for one, two in zip(records, others, strict=True):
        exact = set(one) - set(PROBABILITIES) - set(ignoring)
        assert {key: one[key] for key in exact} == {key: two[key] for key in exact}
        assert [one[p] for p in PROBABILITIES] == pytest.approx([two[p] for p in PROBABILITIES], rel=1e-6)


def without_id(records):
    return [{key: value for key, value in record.items() if key != "condition_id"} for record in records]


@pytest.fixture(scope="module")
def records(engine, scenarios):
    """All arms and scenarios in one batch."""
    return rows(engine.run(ALL, scenarios, SEED, RUN))


def of(records, arm=None, scenario=None):
    return [r for r in records if arm in (None, r["condition_id"]) and scenario in (None, r["scenario_id"])]


@pytest.mark.slow
def test_the_sample_holds_what_the_tests_below_need(records, scenarios):
    """Episodes of different lengths, lines that end early and lines that don't, arms that differ."""
    lengths = {len(of(records, arm.condition_id, s.id)) for arm in ALL for s in scenarios}
    assert len(lengths) > 1
    assert {r["finish_reason"] for r in records} == {"call", "finish", "turns"}
    assert {r["thought_ended"] for r in records} == {True, False}
    stories = {str(without_id(of(records, arm.condition_id))) for arm in ALL}
    assert len(stories) == len(ALL)


@pytest.mark.slow
def test_a_record_has_all_columns(records):
    assert all(set(record) >= COLUMNS for record in records)


def test_records_come_by_arm_scenario_and_turn(records, scenarios):
    place = [[arm.condition_id for arm in ALL].index, [s.id for s in scenarios].index]
    keys = [(place[0](r["condition_id"]), place[1](r["scenario_id"]), r["turn"]) for r in records]
    assert keys == sorted(set(keys))
    assert len({key[:2] for key in keys}) == len(ALL) * len(scenarios)


@pytest.mark.slow
@pytest.mark.parametrize("arm", ALL, ids=lambda arm: arm.condition_id)
def test_batch_company_changes_nothing(engine, scenarios, records, arm):
    for scenario in scenarios:
        same(rows(engine.run([arm], [scenario], SEED, RUN)), of(records, arm.condition_id, scenario.id))


@pytest.mark.slow
def test_a_batch_in_another_order_gives_the_same_episodes(engine, scenarios, records):
    turned = rows(engine.run(ALL[::-1], scenarios[::-1], SEED, RUN))
    for arm, scenario in itertools.product(ALL, scenarios):
        same(of(turned, arm.condition_id, scenario.id), of(records, arm.condition_id, scenario.id))


@pytest.mark.slow
@pytest.mark.parametrize("timing", ["all", "prefill", "decode", "none"])
def test_a_push_of_length_zero_gives_the_unsteered_turns_bit_for_bit(engine, scenarios, timing):
    zero = Arm("zero", added(1, DIRECTION, 0.0, timing))
    clean, hooked = (rows(engine.run([arm], scenarios, SEED, RUN)) for arm in (UNSTEERED, zero))
    assert without_id(hooked) == without_id(clean)


def counted(engine, model, arms, scenarios):
    """Tokens that go through the first and the last layer in a run."""
    counts, handles = {}, []
    for at, layer in ((0, model.model.layers[0]), (-1, model.model.layers[-1])):

        def count(module, inputs, output, at=at):
            counts[at] = counts.get(at, 0) + output.shape[:2].numel()

        # a part of the layer: what was computed already comes back from the layer itself, hooks and all
        handles.append(layer.input_layernorm.register_forward_hook(count))
    rows(engine.run(arms, scenarios, SEED, RUN))
    for handle in handles:
        handle.remove()
    return counts[0], counts[-1]


@pytest.mark.slow
def test_what_arms_begin_with_is_computed_once(engine, model, protocol, scenarios):
    """All of it for arms that steer nothing there, and the layers before the first steered one for all with its text.

    Two arms out of three that steer nothing at the beginning save it whole; of the two others each saves one layer.
    """
    late = [
        UNSTEERED,
        Arm("decode", added(1, DIRECTION, 8.0, "decode")),
        Arm("last", added(1, DIRECTION, 8.0, "last_prompt")),
    ]
    early = [Arm("all", added(1, DIRECTION, 8.0, "all")), Arm("prefill", added(1, DIRECTION, 8.0, "prefill"))]
    alone = [counted(engine, model, [arm], scenarios) for arm in [*late, *early]]
    first, last = counted(engine, model, [*early, *late], scenarios)
    header = len(protocol.header_tokens())
    beginning = header + sum(len(segment.tokens) - 1 for s in scenarios for segment in protocol.asked(s.task))
    assert last == sum(tokens for _, tokens in alone) - 2 * beginning
    assert first == sum(tokens for tokens, _ in alone) - 4 * beginning


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["recurrent", "padded"])
def test_what_rows_of_other_kinds_begin_with_is_computed_once(kind, protocol, scenarios):
    """Two arms that steer from their first token on: the layers before read one text a scenario."""
    shape = {"vocab_size": len(protocol.tokenizer), "max_position_embeddings": 2048}
    model = qwen3_5_moe(**shape) if kind == "recurrent" else gemma3(**shape)
    engine = Engine(model, protocol, SHORT, dict.fromkeys(protocol.tools, 0.0))
    arms = [Arm(timing, added(2, DIRECTION, 8.0, timing)) for timing in ("all", "prefill")]
    first, last = counted(engine, model, arms, scenarios)
    cue = len(protocol.fields(SHORT.limits)[0].cue)
    tasks = [sum(len(segment.tokens) for segment in protocol.asked(s.task)) + cue for s in scenarios]
    fed = len(tasks) * max(tasks) if kind == "padded" else sum(tasks)
    assert last - first == len(protocol.header_tokens()) + fed


@pytest.mark.slow
def test_noise_belongs_to_the_scenario_and_run_not_to_the_condition(engine, scenarios):
    twins = rows(engine.run([UNSTEERED, Arm("twin")], scenarios, SEED, RUN))
    assert without_id(of(twins, "unsteered")) == without_id(of(twins, "twin"))
    assert rows(engine.run([UNSTEERED], scenarios, SEED, RUN)) == rows(engine.run([UNSTEERED], scenarios, SEED, RUN))


@pytest.mark.slow
@pytest.mark.parametrize("coupling", COUPLINGS)
def test_under_each_coupling_steering_alone_tells_conditions_apart(model, protocol, scenarios, coupling):
    """The twin and the push of nothing say what is said unsteered, alone or in company, and a push doesn't."""
    coupled = SHORT.model_copy(update={"coupling": coupling})
    engine = Engine(model, protocol, coupled, dict.fromkeys(protocol.tools, 0.0))
    zero = Arm("zero", added(1, DIRECTION, 0.0))
    found = rows(engine.run([UNSTEERED, Arm("twin"), zero, ARMS[1]], scenarios, SEED, RUN))
    unsteered, twin, hooked, pushed = (without_id(of(found, name)) for name in ("unsteered", "twin", "zero", "all"))
    same(twin, unsteered)
    same(hooked, unsteered)
    same(without_id(rows(engine.run([UNSTEERED], scenarios, SEED, RUN))), unsteered)
    assert str(pushed) != str(unsteered)


@pytest.mark.slow
def test_another_run_or_seed_draws_anew(engine, scenarios, records):
    first = [r["argument"] for r in of(records, "unsteered")]
    for seed, run in ((SEED, 1), (SEED + 1, RUN)):
        again = rows(engine.run([UNSTEERED], scenarios, seed, run))
        assert [r["argument"] for r in again] != first
        assert {r["seed"] for r in again} == {run}


@pytest.mark.slow
def test_every_turn_draws_anew(model, protocol, scenarios):
    """So hot that all tokens are equally likely, a thought is its random numbers: no two turns may write the same."""
    hot = SHORT.model_copy(update={"temperature": 1e6})
    hottest = Engine(model, protocol, hot, dict.fromkeys(protocol.tools, 0.0))
    turns = rows(hottest.run([UNSTEERED], scenarios, SEED, RUN))
    assert len(turns) > len(scenarios)
    for scenario in scenarios:
        thoughts = [turn["thought"] for turn in of(turns, scenario=scenario.id)]
        assert len(set(thoughts)) == len(thoughts)


def test_a_finished_episode_leaves_and_the_others_go_on(records, scenarios):
    for arm, scenario in itertools.product(ARMS, scenarios):
        episode = of(records, arm.condition_id, scenario.id)
        *before, last = episode
        assert [r["turn"] for r in episode] == list(range(len(episode)))
        assert {r["finish_reason"] for r in before} <= {"call"}
        assert FINISH not in {r["tool"] for r in before}
        assert (last["finish_reason"] == "finish") == (last["tool"] == FINISH)
        assert last["tool"] == FINISH or last["turn"] == 2


def test_observations_are_the_environments_own(records, scenarios):
    """Replaying the recorded calls gives the recorded answers, and each answer is the next turn's prompt."""
    for arm, scenario in itertools.product(ARMS, scenarios):
        environment, given_text = Environment(scenario.world), scenario.task
        for record in of(records, arm.condition_id, scenario.id):
            assert record["prompt"] == given_text
            if record["tool"] == FINISH:
                assert (record["observation"], record["ok"]) == ("", True)
                continue
            answer = environment.call(record["tool"], record["argument"])
            assert (record["observation"], record["ok"]) == (answer.text, answer.ok)
            given_text = answer.text


def test_lines_stay_lines_within_their_limits(records, protocol):
    for record in records:
        assert "\n" not in record["thought"] + record["argument"]
        name = len(protocol.action_tokens[protocol.tools.index(record["tool"])])
        assert name <= record["tokens"] <= name + 6 + 4


def test_action_probabilities_sum_to_one(records):
    for record in records:
        assert sum(record[p] for p in PROBABILITIES) == pytest.approx(1, abs=1e-5)
        assert all(0 < record[p] < 1 for p in PROBABILITIES)


def fed(engine, model, arm, scenario):
    """The tokens that an episode of its own was made of, in order, and its records."""
    chunks = []
    handle = model.register_forward_pre_hook(
        lambda module, words, named: chunks.append(named["input_ids"][0].tolist()), with_kwargs=True
    )
    try:
        records = rows(engine.run([arm], [scenario], SEED, RUN))
    finally:
        handle.remove()
    return chunks, records


@pytest.mark.slow
@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.condition_id)
def test_an_episode_is_one_text_steered_where_its_timing_says(engine, model, protocol, scenarios, arm):
    """The first choice of action, from one pass over the whole text cut by hand into what was given and written."""
    chunks, records = fed(engine, model, arm, scenarios[0])
    tokens = [token for chunk in chunks for token in chunk]
    asked = protocol.header_tokens(arm.instruction) + protocol.encode(protocol.task(scenarios[0].task))
    assert tokens[: len(asked)] == asked
    written = tokens[len(asked) :]
    cues = [protocol.encode(cue) for cue in (THOUGHT, ACTION, INPUT)]
    assert written[: len(cues[0])] == cues[0]
    end = next(at for at in range(len(written)) if written[at : at + len(cues[1])] == cues[1]) + len(cues[1])
    assert protocol.decode(written[len(cues[0]) : end - len(cues[1])]).strip() == records[0]["thought"]
    chosen = protocol.action_tokens[protocol.tools.index(records[0]["tool"])]
    assert written[end : end + len(chosen) + len(cues[2])] == chosen + cues[2]

    batch = GrowingBatch(model, Steering([arm.edits], model.device), 1)
    roles = [False] * len(asked) + [True] * end
    logits = batch.advance([asked + written[:end]], [roles])[0]
    expected = torch.softmax(logits[[tokens[0] for tokens in protocol.action_tokens]], dim=0)
    assert [records[0][p] for p in PROBABILITIES] == pytest.approx(expected.tolist(), rel=1e-3)


@pytest.mark.slow
def test_calibration_is_subtracted_before_the_choice(model, protocol, scenarios, records):
    bias = dict(zip(protocol.tools, (0.5, -1.0, 2.0, 0.0, -0.25, 1.0), strict=True))
    shifted = Engine(model, protocol, SHORT.model_copy(update={"max_turns": 1}), bias).run(
        [UNSTEERED], scenarios, SEED, RUN
    )
    for record, plain in zip(rows(shifted), [r for r in of(records, "unsteered") if r["turn"] == 0], strict=True):
        assert record["thought"] == plain["thought"]
        weights = np.array([plain[f"p_{tool}"] * np.exp(-bias[tool]) for tool in protocol.tools])
        assert [record[f"p_{tool}"] for tool in protocol.tools] == pytest.approx(
            list(weights / weights.sum()), rel=1e-3
        )


@pytest.mark.slow
def test_a_hundred_nats_of_bias_decide_the_action(model, protocol, scenarios):
    for wanted in ("ask_user", FINISH):
        bias = {tool: 0.0 if tool == wanted else 100.0 for tool in protocol.tools}
        turns = Engine(
            model,
            protocol,
            EpisodeSettings(max_turns=2, thought_tokens=2, input_tokens=2, temperature=0.8, coupling="gumbel"),
            bias,
        ).run(ARMS[:2], scenarios[:2], SEED, RUN)
        assert {turn.tool for turn in turns} == {wanted}
        assert len(turns) == (4 if wanted == FINISH else 8)


@pytest.mark.slow
def test_calibration_scores_are_the_models_own_on_each_task_alone(model, protocol):
    tasks = {
        "data": ["Add up the rows."],
        "coding": ["Rename it.", "Find out why the build of the site is slow today."],
    }
    scores = action_scores(model, protocol, tasks)
    for row, task in enumerate([*tasks["coding"], *tasks["data"]]):
        thought = {"role": "assistant", "content": "Let me see what this task needs."}
        segments = protocol.prompt([{"role": "user", "content": task}, thought])
        logits = model(torch.tensor([[t for s in segments for t in s.tokens]])).logits[0, -1]
        expected = logits.float().log_softmax(0)[[tokens[0] for tokens in protocol.action_tokens]]
        torch.testing.assert_close(scores[row], expected, rtol=1e-4, atol=1e-4)
    measured = Calibration.of(scores, protocol.tools)
    assert measured.tasks == 3
    assert list(measured.mean_log_probability) == protocol.tools
    assert list(measured.mean_log_probability.values()) == pytest.approx(scores.double().mean(0).tolist())


def test_calibrations_mean_by_hand():
    scores = torch.tensor([[-1.0, -4.0], [-3.0, -4.0]])
    measured = Calibration.of(scores, ["ask_user", "finish"])
    assert measured.mean_log_probability == {"ask_user": -2.0, "finish": -4.0}
    assert measured.standard_deviation == pytest.approx({"ask_user": 2**0.5, "finish": 0.0})
    assert measured.bias == measured.mean_log_probability


def test_a_weight_makes_an_action_so_many_times_as_likely_at_every_point():
    """On a task whose scores are the mean ones."""
    scores, later = torch.tensor([[-1.0, -4.0], [-3.0, -4.0]]), torch.tensor([[-5.0, -1.0], [-4.0, -2.0]])
    measured = Calibration.of(scores, ["ask_user", "finish"], {"ask_user": 3.0}, {"late": later})
    for point, means in {"start": scores, "late": later}.items():
        own = torch.tensor(list(measured.offsets[point].values()))
        assert torch.softmax(means.mean(0) - own, 0).tolist() == pytest.approx([0.75, 0.25])
    assert measured.bias == measured.offsets["start"]
    # of each task: at the start, scores 1 above and below the mean of asking
    odds = [each["ask_user"] / each["finish"] for each in measured.chances["start"]]
    assert odds == pytest.approx([3 * np.e, 3 / np.e])
    assert measured.mean_log_probability == {"ask_user": -2.0, "finish": -4.0}


def test_a_calibration_is_read_as_it_was_written(tmp_path):
    made = Calibration.of(torch.tensor([[-1.0, -4.0], [-3.0, -4.0]]), ["ask_user", "finish"])
    files.write_json(tmp_path / "calibration.json", {**asdict(made), "provenance": {"seed": 3}})
    assert Calibration.read(tmp_path / "calibration.json") == made
