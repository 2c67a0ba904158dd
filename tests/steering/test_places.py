"""Each timing touches the places that its name says, counted by hand."""

import pytest
import torch

from trimtab.steering import places
from trimtab.steering.places import ASSISTANT, SYSTEM, TOOL, USER, Places, check_timing, cue, given, touched, written

EPISODE = [
    *given(SYSTEM, 2),  # 0, 1
    *given(USER, 2, ends_prompt=True),  # 2, 3
    *cue(1, before=0, thinking=True),  # 4
    *written(3, thinking=True),  # 5, 6, 7
    *cue(1, before=3, ends_prompt=True, calls=True),  # 8
    *written(1, before=3),  # 9
    *given(TOOL, 1),  # 10
    *given(ASSISTANT, 1, ends_prompt=True),  # 11
    *written(2, calls=True),  # 12, 13
]


@pytest.mark.parametrize(
    ("timing", "tokens"),
    {
        "all": range(14),
        "none": [],
        "prefill": [0, 1, 2, 3, 10, 11],
        "decode": [4, 5, 6, 7, 8, 9, 12, 13],
        "last_prompt": [3, 11],
        "prefill_but_last": [0, 1, 2, 10],
        "last_cue": [8],
        "all_but_last_cue": [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13],
        "decode_1": [4, 5, 12],
        "decode_2": [4, 5, 6, 12, 13],
        "decode_4": [4, 5, 6, 7, 8, 9, 12, 13],
        "system": [0, 1],
        "user": [2, 3],
        "tool": [10],
        "assistant": [4, 5, 6, 7, 8, 9, 11, 12, 13],
        "thinking": [4, 5, 6, 7],
        "answer": [8, 9, 12, 13],
        "before_call": [8, 13],
    }.items(),
)
def test_an_episode_of_two_turns(timing, tokens):
    found = touched(timing, Places.of(torch.tensor([EPISODE])))
    assert found[0].nonzero()[:, 0].tolist() == list(tokens)


def test_a_truth_value_is_a_place():
    at = Places.of(torch.tensor([True, False]))
    assert touched("decode", at).tolist() == [True, False]
    assert touched("prefill", at).tolist() == [False, True]


def test_a_prompt_of_no_tokens_has_no_last_one():
    assert given(USER, 0, ends_prompt=True) == cue(0, before=2, ends_prompt=True) == []


@pytest.mark.parametrize("timing", ["sometimes", "decode_0", "decode_", "Decode", ""])
def test_an_unknown_timing_is_refused(timing):
    with pytest.raises(ValueError, match="expected one of all, prefill, decode, last_prompt"):
        check_timing(timing)


def test_names_in_the_list_of_timings_are_timings():
    for timing in (*places.TIMINGS[:-1], "decode_12"):
        check_timing(timing)
