"""The gate that opens where a task goes with its text: sums by hand, which tokens count, and however a row is cut."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.forward.sites import Site
from trimtab.steering.changes import Add
from trimtab.steering.edits import Edit
from trimtab.steering.gated import Opening
from trimtab.steering.places import ASSISTANT, SYSTEM, TOOL, USER, Places, written
from trimtab.steering.places import given as told
from trimtab.steering.retrieval import Retrieved, opened
from trimtab.steering.steering import Steering

IDS, WEIGHTS = torch.tensor([3, 5, 8]), torch.tensor([[4.0, 1.0], [0.0, 3.0], [2.0, 2.0]])
FIRST, SECOND = (Retrieved(IDS, WEIGHTS, own) for own in (0, 1))
CPU = torch.device("cpu")


def task(ids):
    """A user's text, after which the agent goes on."""
    return torch.tensor(ids), Places.of(torch.tensor(told(USER, len(ids), ends_prompt=True)))


@pytest.mark.parametrize(
    ("ids", "first", "second"),
    [
        ([3, 5], True, False),  # 4 against 1 + 3, and of equals the first
        ([3, 5, 5], False, True),  # 4 against 7
        ([3, 3, 5, 5, 5], False, True),  # 8 against 11
        ([8], True, False),
        ([1, 2, 9], False, False),  # no token counts
    ],
)
def test_the_larger_sum_opens_and_only_one(ids, first, second):
    assert [bool(opened(gate, *task(ids))) for gate in (FIRST, SECOND)] == [first, second]


def test_only_the_users_first_text_counts_and_the_gate_opens_at_its_end_for_good():
    """A header of 5s and 5s that come later would open the second."""
    where = [*told(SYSTEM, 2), *told(USER, 2, ends_prompt=True), *written(2), *told(TOOL, 2, ends_prompt=True)]
    where += [*told(USER, 1, ends_prompt=True), *written(1)]
    ids = torch.tensor([5, 5, 3, 1, 5, 5, 5, 5, 5, 5])
    row = torch.zeros_like(ids)
    for gate, stands in ((FIRST, [0, 0, 0, *[1] * 7]), (SECOND, [0] * 10)):
        found, memory = gate.scanned(gate(ids), row, Places.of(torch.tensor(where)), gate.at_first(1, CPU))
        assert found.tolist() == stands
        assert memory.tolist() == [[4.0, 1.0, 1.0]]
    # a cue of the assistant's, where nobody has asked anything yet, decides nothing
    early = [*told(ASSISTANT, 1), *told(USER, 1, ends_prompt=True)]
    found, _ = SECOND.scanned(SECOND(ids[:2]), row[:2], Places.of(torch.tensor(early)), SECOND.at_first(1, CPU))
    assert found.tolist() == [0, 1]


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 13), st.integers(1, 13))
def test_no_cut_of_the_rows_into_passes_opens_another_gate(seed, one, other):
    """Three rows in one pass, and the same tokens in three, in which rows end and begin anywhere."""
    drawn = torch.Generator().manual_seed(seed)
    places = torch.tensor([*told(USER, 3, ends_prompt=True), *written(1), *told(USER, 1, ends_prompt=True)] * 3)
    row, ids = torch.arange(3).repeat_interleave(5), torch.randint(2, 9, (15,), generator=drawn)
    # one row after the other, or all side by side
    order = torch.arange(15) if seed % 2 else torch.arange(15).reshape(3, 5).T.flatten()
    gate = Retrieved(IDS, torch.randint(0, 4097, (3, 4), generator=drawn).float(), seed % 4)

    def scan(part, memory):
        at = Places.of(places[order][part])
        return gate.scanned(gate(ids[order][part]), row[order][part], at, memory)

    whole, end = scan(slice(None), gate.at_first(3, CPU))
    cuts, memory, parts = sorted({0, one, other, 15}), gate.at_first(3, CPU), []
    for start, stop in pairwise(cuts):
        opened_here, memory = scan(slice(start, stop), memory)
        parts.append(opened_here)
    assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(memory, end)


def test_in_a_batch_each_row_has_its_own_text():
    edits = [(Edit(Site(0), Add(torch.eye(2)[at]), 1.0, gate=gate),) for at, gate in enumerate((FIRST, SECOND))]
    steering = Steering([edits[0] + edits[1]] * 3, CPU)
    where = torch.tensor([told(USER, 2, ends_prompt=True)] * 3)
    steering.locate(torch.arange(3)[:, None].expand(3, 2), where, torch.tensor([[3, 1], [5, 1], [1, 1]]))
    assert steering.edited(Site(0), torch.zeros(3, 2, 2))[:, 1].tolist() == [[1, 0], [0, 1], [0, 0]]
    # repeated rows go on with what the one has seen
    later = steering.select([1, 0])
    later.remember(steering, [1, 0])
    later.set_memory(later.memory())
    later.locate(torch.tensor([[0], [1]]), torch.tensor([written(1)] * 2), torch.tensor([[3], [5]]))
    assert later.edited(Site(0), torch.zeros(2, 1, 2))[:, 0].tolist() == [[0, 1], [1, 0]]
    assert later.openings([0]) == [[Opening(0, 3), Opening(2, 3)]]
