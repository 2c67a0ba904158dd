"""Logits that are not finite end their episode as a breakage of its own, and are nobody else's."""

import pandas as pd
import pytest
import torch
from chat import byte_tokenizer
from short import SHORT
from tiny import D_MODEL, gemma3, llama, qwen3_5_moe

from trimtab.agent import protocols
from trimtab.agent.names import NUMERICAL, UNPARSED
from trimtab.agent.turn import rows, turns_of
from trimtab.errors import TrimtabError
from trimtab.prompts import resources
from trimtab.rollouts import draws
from trimtab.rollouts.batch_size import Rows
from trimtab.rollouts.engine import Engine
from trimtab.rollouts.episode import Arm
from trimtab.rollouts.episode_files import Cells, complete
from trimtab.rollouts.outcomes import outcomes
from trimtab.settings.rollouts import EpisodeSettings
from trimtab.steering.edits import added

AXIS = torch.nn.functional.one_hot(torch.tensor(3), D_MODEL).float()
SOUND = [Arm("unsteered"), Arm("some", added(1, AXIS, 4.0, "all"))]
HOT = Arm("hot", added(1, AXIS, 1e39, "all"))
"""Longer than float32 holds."""
LATE = Arm("late", added(1, AXIS, 1e39, "decode"))
"""Sound until the agent writes."""


def test_rows_with_any_number_that_is_none():
    nan, inf = float("nan"), float("inf")
    assert draws.finite(torch.tensor([[1.0, 2.0], [nan, 1.0], [1.0, nan], [inf, 1.0], [1.0, -inf]])) == [
        True,
        *[False] * 4,
    ]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["packed", "padded", "recurrent"])
def test_an_overflow_breaks_its_own_episode_alone(kind, engine, protocol, scenarios):
    shape = {"vocab_size": len(protocol.tokenizer), "max_position_embeddings": 2048}
    if kind != "packed":
        # experts have no float64
        model = gemma3(**shape).double() if kind == "padded" else qwen3_5_moe(**shape)
        engine = Engine(model, protocol, SHORT, dict.fromkeys(protocol.tools, 0.0))
    together = rows(engine.run([SOUND[0], HOT, SOUND[1], LATE], scenarios, 5, 0))
    alone = rows(engine.run(SOUND, scenarios, 5, 0))
    kept = [row for row in together if row["condition_id"] in ("unsteered", "some")]
    assert NUMERICAL not in {row["fault"] for row in kept}
    if kind != "recurrent":
        # in float32 a draw may show the rounding of the batch's shape
        said = [[(row["thought"], row["tool"], row["argument"]) for row in some] for some in (kept, alone)]
        assert said[0] == said[1]
    for arm in (HOT, LATE):
        broken = [row for row in together if row["condition_id"] == arm.condition_id]
        # one turn each: nothing can follow
        assert [row["turn"] for row in broken] == [0] * len(scenarios)
        assert {(row["tool"], row["fault"], row["finish_reason"], row["ok"]) for row in broken} == {
            (UNPARSED, NUMERICAL, NUMERICAL, False)
        }


@pytest.mark.slow
def test_what_an_overflow_is_counted_as(engine, scenarios, tmp_path):
    table = pd.DataFrame(rows(engine.run([*SOUND, HOT], scenarios, 5, 0)))
    table.to_parquet(tmp_path / "turns.parquet")
    back = pd.read_parquet(tmp_path / "turns.parquet")
    measured = outcomes(back, scenarios).set_index("condition_id")
    hot = measured.loc["hot"]
    assert (hot[["breakage", "numerical", "turns"]] == 1).all(axis=None)
    assert (hot[["finished", "unparsed_calls", "calls"]] == 0).all(axis=None)
    assert hot[["p_ask", "p_act"]].isna().all(axis=None)
    assert (measured.loc[["unsteered", "some"], "numerical"] == 0).all()
    # a turn without chances stays one without, though the table has columns for them
    assert all(turn.chances == {} for turn in turns_of(back) if turn.condition_id == "hot")


@pytest.mark.slow
def test_an_overflow_goes_through_the_files_of_episodes(engine, scenarios, tmp_path):
    arms = [SOUND[0], HOT]
    made = rows(complete(Cells(tmp_path, "code"), engine, arms, scenarios, 5, 0, Rows(2, 3), "test"))
    assert made == rows(complete(Cells(tmp_path, "code"), engine, arms, scenarios, 5, 0, Rows(2, 3), "test"))
    assert NUMERICAL in {row["fault"] for row in made}


@pytest.mark.slow
def test_natively_a_cut_reply_is_an_overflow_and_no_answer(scenarios):
    tokenizer = byte_tokenizer()
    protocol = protocols.read(resources.RESOURCES / "native.yaml", tokenizer)
    model = llama(vocab_size=len(tokenizer), max_position_embeddings=8192, initializer_range=0.25)
    short = EpisodeSettings(max_turns=2, reply_tokens=8, temperature=0.8, coupling="gumbel")
    engine = Engine(model, protocol, short, dict.fromkeys(protocol.tools, 0.0))
    table = pd.DataFrame(rows(engine.run([HOT, LATE], scenarios, 0, 0)))
    assert set(table["fault"]) == {NUMERICAL}
    # the token behind the prompt was drawn before anything was steered
    assert (table.set_index("condition_id").loc["late", "tokens"] == 1).all()
    assert (outcomes(table, scenarios)[["breakage", "numerical"]] == 1).all(axis=None)


def test_a_model_that_overflows_unsteered_is_an_error_in_one_line(protocol, scenarios):
    model = llama(vocab_size=len(protocol.tokenizer), max_position_embeddings=2048)
    model.lm_head.weight[7] = float("inf")
    engine = Engine(model, protocol, SHORT, dict.fromkeys(protocol.tools, 0.0))
    with pytest.raises(
        TrimtabError, match=r"condition unsteered: the unsteered model's logits are NaN or infinite"
    ) as error:
        engine.run([Arm("unsteered")], scenarios, 5, 0)
    assert "\n" not in str(error.value)
