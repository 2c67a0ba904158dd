"""vLLM gives what `transformers` gives of a tiny Qwen3.5-MoE in bfloat16, by one worker and by two.

Rounding hides small pushes there: what each large one moves is compared, beside the logits themselves.
"""

import pytest
import torch
from cells import HYBRID, VOCABULARY
from tiny import qwen3_5_moe
from with_vllm import MARKS, Answers

from trimtab.forward.proof import TOLERANCE, relative

pytestmark = MARKS
LARGE = 0.2
"""Of what a push moves, as a share of the logits: ten times what rounding does."""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    model = qwen3_5_moe(vocab_size=VOCABULARY, **HYBRID).bfloat16()
    return Answers(tmp_path_factory.mktemp("hybrid"), model)


@pytest.fixture(scope="module", params=[1, 2])
def found(request, answers):
    return answers.by(f"{request.param}", "bfloat16", 200, {"tensor_parallel_size": request.param})


def written(reply):
    return [choice and choice.number for choice in reply.choices]


def test_logits_and_gates_are_those_of_transformers(found):
    for number, by_arm in enumerate(found):
        assert len(by_arm) > 48
        for arm, (mine, got, wanted, logits) in by_arm.items():
            if arm != "infinite":
                assert relative(logits, got) < TOLERANCE[torch.bfloat16], f"{arm}, round {number}"
            if written(mine) == written(wanted):
                assert [opening.tokens for opening in mine.openings] == [opening.tokens for opening in wanted.openings]


def test_a_large_push_moves_what_it_moves_in_transformers(found):
    """One that is missed or doubled differs by as much as it moves."""
    large = set()
    for number, by_arm in enumerate(found):
        _, mine, _, base = by_arm["unsteered"]
        for arm, (_, got, _, logits) in by_arm.items():
            if arm != "infinite" and relative(base, logits) > LARGE:
                large.add(arm)
                assert relative(logits - base, got - mine) < 0.5, f"{arm}, round {number}"
    assert len(large) > 10


def test_most_of_what_is_written_is_the_same(found):
    same = [written(mine) == written(wanted) for by_arm in found for mine, _, wanted, _ in by_arm.values()]
    assert sum(same) > len(same) / 2
