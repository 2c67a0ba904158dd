"""vLLM gives what `transformers` gives: each change, timing, gate and site, in float32."""

import pytest
from cells import ARMS, SHAPE, VOCABULARY
from stand_in import same
from tiny import llama
from with_vllm import MARKS, Answers

from trimtab.forward.proof import relative

pytestmark = MARKS
CLOSE = 2e-5
"""Relative difference of logits in float32; a push that is missed or doubled makes more than a hundredth."""

WAYS = {
    # room for half the requests of a round: others wait, and what they are given held the numbers of those before
    "alone": (4, {}),
    # a prompt in two passes or three, beside parts of others
    "in short passes": (100, {"max_num_batched_tokens": 32, "max_num_seqs": 8}),
    "by two workers": (100, {"tensor_parallel_size": 2}),
}
"""Megabytes for keys and values, and what vLLM is given beside them."""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    return Answers(tmp_path_factory.mktemp("cells"), llama(vocab_size=VOCABULARY, **SHAPE))


@pytest.fixture(scope="module", params=WAYS)
def found(request, answers):
    return answers.by(request.param, "float32", *WAYS[request.param])


@pytest.mark.parametrize("arm", ARMS)
def test_logits_choices_and_gates_are_those_of_transformers(found, arm):
    for number, by_arm in enumerate(found):
        mine, got, wanted, logits = by_arm[arm]
        if arm == "infinite":
            assert not logits.isfinite().any()
            assert not got.isfinite().any()
        else:
            assert relative(logits, got) < CLOSE, f"round {number}"
        same(mine, wanted)


@pytest.mark.parametrize("arm", [arm for arm in ARMS if arm not in ("unsteered", "timing none", "infinite")])
def test_what_is_compared_is_not_the_unsteered(found, arm):
    """Else an edit that neither engine makes would pass. What only later tokens show is seen in what is written."""
    moved = [
        relative(by_arm["unsteered"][3], by_arm[arm][3]) > 100 * CLOSE
        or by_arm[arm][2].choices != by_arm["unsteered"][2].choices
        for by_arm in found
    ]
    assert any(moved)
