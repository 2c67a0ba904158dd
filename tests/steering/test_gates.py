"""Gates: what opens them, what they remember, and that neither depends on how tokens are cut into passes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import D_MODEL, llama

from trimtab.forward.sites import Site
from trimtab.steering import places
from trimtab.steering.batch import GrowingBatch
from trimtab.steering.changes import Add
from trimtab.steering.edits import Edit, added
from trimtab.steering.gated import Opening
from trimtab.steering.gates import ANY, FIRST, NOTHING, REMEMBERS, Beyond, Logistic, Network, Trigger
from trimtab.steering.memory import at_first, scanned
from trimtab.steering.steering import Steering

CPU = torch.device("cpu")
AXIS = torch.nn.functional.one_hot(torch.tensor(3), D_MODEL).float()


# --- by hand ---


def test_what_opens_each_kind():
    ids, rows = torch.tensor([4, 7, 9]), torch.tensor([[1.0, 0.0], [0.0, 2.0], [-1.0, -1.0]])
    assert Trigger(torch.tensor([7, 8]))(ids, None).tolist() == [0, 1, 0]
    at = (Site(1),)
    weight = torch.tensor([1.0, 1.0])
    assert Beyond(at, weight, -1.5)(ids, rows).tolist() == [0, 1, 0]
    expected = 1 / (1 + torch.exp(-torch.tensor([0.5, 1.5, -2.5])))
    torch.testing.assert_close(Logistic(at, weight, -0.5)(ids, rows), expected)
    # two units that are |x|: relu(x) + relu(-x)
    network = Network(at, torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.zeros(2), torch.ones(2), -1.0)
    torch.testing.assert_close(network(ids, rows), torch.sigmoid(torch.tensor([0.0, -1.0, 0.0])))


def test_a_gate_that_reads_needs_rows():
    with pytest.raises(ValueError, match="given none"):
        Beyond((Site(0),), torch.ones(2), 0.0)(torch.tensor([1]), None)


def scan(how, said, row, written, deciding, memory=None):
    rows = max(row) + 1
    before = at_first(how, rows, CPU) if memory is None else torch.tensor(memory)
    opened, after = scanned(
        how, torch.tensor(said), torch.tensor(row), torch.tensor(written), torch.tensor(deciding), before
    )
    return opened.tolist(), after.tolist()


def test_without_memory_each_token_is_by_itself():
    assert scan(NOTHING, [1.0, 0.0, 0.5], [0, 0, 1], [False] * 3, [False] * 3)[0] == [1.0, 0.0, 0.5]


def test_any_given_token_opens_all_that_follow_and_no_written_one_does():
    said, row = [0.0, 0.5, 0.25, 1.0, 0.0, 0.75], [0, 0, 0, 0, 1, 1]
    written = [False, False, False, True, False, True]
    assert scan(ANY, said, row, written, [False] * 6) == ([0.0, 0.5, 0.5, 0.5, 0.0, 0.0], [0.5, 0.0])
    # and what a row's memory holds stays open
    assert scan(ANY, said, row, written, [False] * 6, [0.0, 1.0]) == ([0.0, 0.5, 0.5, 0.5, 1.0, 1.0], [0.5, 1.0])


def test_the_first_deciding_token_decides_for_ever():
    said, row = [1.0, 0.0, 1.0, 1.0], [0, 0, 0, 1]
    deciding = [False, True, True, False]
    assert scan(FIRST, said, row, [False] * 4, deciding) == ([0.0, 0.0, 0.0, 0.0], [0.0, -1.0])
    assert scan(FIRST, [0.0, 0.7, 0.0, 1.0], row, [False] * 4, deciding)[0] == pytest.approx([0.0, 0.7, 0.7, 0.0])
    # a decision of an earlier pass holds from the first token on
    assert scan(FIRST, said, row, [False] * 4, deciding, [0.25, -1.0])[0] == [0.25, 0.25, 0.25, 0.0]


# --- what must always hold ---


@pytest.mark.slow
@pytest.mark.parametrize("how", REMEMBERS)
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_scan_in_pieces_is_the_scan_of_the_whole(how, data):
    rows = data.draw(st.integers(1, 4))
    count = data.draw(st.integers(1, 20))
    draw = lambda kind: torch.tensor(data.draw(st.lists(kind, min_size=count, max_size=count)))  # noqa: E731
    said, row = draw(st.sampled_from([0.0, 0.25, 0.3, 1.0])), draw(st.integers(0, rows - 1))
    written, deciding = draw(st.booleans()), draw(st.booleans())
    start = at_first(how, rows, CPU)
    whole, end = scanned(how, said, row, written, deciding, start)
    cut = data.draw(st.integers(0, count))
    parts, memory = [], start
    for part in (slice(0, cut), slice(cut, count)):
        opened, memory = scanned(how, said[part], row[part], written[part], deciding[part], memory)
        parts.append(opened)
    assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(memory, end)
    # and of each row alone
    for one in range(rows):
        own = row == one
        alone, _ = scanned(how, said[own], row[own] * 0, written[own], deciding[own], at_first(how, 1, CPU))
        assert torch.equal(alone, whole[own])


def at(tokens, cut):
    """Places of a prompt's tokens, of which those from `cut` on are written."""
    return [*places.given(places.USER, cut, ends_prompt=True), *places.written(tokens - cut)]


GATES = {
    "trigger": lambda how: Trigger(torch.tensor([7, 11]), how),
    "projection": lambda how: Beyond((Site(0),), AXIS, 0.02, how),
    "two layers": lambda how: Logistic((Site(0), Site(1)), torch.cat([40 * AXIS, -40 * AXIS]), 0.1, how),
    "network": lambda how: Network((Site(0),), torch.stack([40 * AXIS, -AXIS]), torch.zeros(2), torch.ones(2), -1, how),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", REMEMBERS)
@pytest.mark.parametrize("name", GATES)
def test_batched_and_cut_is_alone_and_whole(name, how):
    """Rows with gates of their own, fed in three rounds beside others, give what each gives in one pass alone."""
    model = llama()
    generator = torch.Generator().manual_seed(5)
    texts = [torch.randint(2, 40, (length,), generator=generator).tolist() for length in (9, 7, 8)]
    gate = GATES[name](how)
    edits = [
        (Edit(Site(2), Add(AXIS), 6.0, "all", gate),),
        added(1, AXIS, 2.0),
        (Edit(Site(1), Add(AXIS), 3.0, gate=gate),),
    ]
    if name != "trigger":
        edits[2] = ()
    where = [at(len(text), 5) for text in texts]
    steering = Steering(edits, CPU)
    batch = GrowingBatch(model, steering, 3)
    for cut in (slice(0, 3), slice(3, 6), slice(6, None)):
        last = batch.advance([text[cut] for text in texts], [own[cut] for own in where])
    for text, own, place, found, counted in zip(texts, edits, where, last, steering.openings([0, 1, 2]), strict=True):
        by_itself = Steering([own], CPU)
        alone = GrowingBatch(model, by_itself, 1).advance([text], [place])[0]
        torch.testing.assert_close(found, alone, rtol=1e-3, atol=1e-4)
        # a reading may be rounded otherwise, a thousandth a token
        (expected,) = by_itself.openings([0])
        assert [each.tokens for each in counted] == [each.tokens for each in expected] == [len(text)] * len(counted)
        assert [each.open for each in counted] == pytest.approx([each.open for each in expected], abs=0.01)


def test_memory_goes_with_its_row_when_rows_are_repeated_and_left_out():
    model = llama()
    gate = Trigger(torch.tensor([7]), ANY)
    edits = [(Edit(Site(1), Add(AXIS), 6.0, "decode", gate),)] * 2
    steering = Steering(edits, CPU)
    batch = GrowingBatch(model, steering, 2)
    # the first row's prompt holds the trigger, the second's doesn't
    batch.advance([[5, 7, 6], [5, 8, 6]], [at(3, 3)] * 2)
    both = steering.select([0, 1], repeats=2)
    batch.repeat(2, both)
    assert both.memory()["gate.0"].tolist() == [1, 1, 0, 0]
    last = both.select([1, 2])
    batch.select([1, 2], last)
    assert last.memory()["gate.0"].tolist() == [1, 0]
    found = batch.advance([[9], [9]], [places.written(1)] * 2)
    for row, prompt in enumerate(([5, 7, 6], [5, 8, 6])):
        alone = GrowingBatch(model, Steering([edits[0] if row == 0 else ()], CPU), 1)
        torch.testing.assert_close(found[row], alone.advance([[*prompt, 9]], [at(4, 3)])[0], rtol=1e-3, atol=1e-4)


def test_a_gate_behind_its_edit_is_told():
    steering = Steering([(Edit(Site(0), Add(AXIS), 1.0, gate=Beyond((Site(2),), AXIS, 0.0)),)], CPU)
    with pytest.raises(ValueError, match=r"the gate of the edit at 0 reads at 2, which no pass reaches before"):
        GrowingBatch(llama(), steering, 1).advance([[3, 4]], [[0, 0]])


# --- how often they were open ---


def test_openings_are_counted_at_the_tokens_of_the_timing():
    """Of three written tokens one is the trigger; the given one is none of the timing's, the other row has none."""
    gate, other = Trigger(torch.tensor([7])), Trigger(torch.tensor([5]))
    edits = (Edit(Site(1), Add(AXIS), 2.0, "decode", gate), Edit(Site(2), Add(AXIS), 0.0, gate=other))
    steering = Steering([edits, (), edits[:1]], CPU)
    row = torch.tensor([[0, 0, 0, 0, 0, 1, -1]])
    ids = torch.tensor([[7, 5, 7, 6, 5, 7, 7]])
    where = torch.tensor([[*places.given(places.USER, 2), *places.written(3), *places.written(1), 0]])
    steering.locate(row, where, ids)
    assert steering.openings([0, 1, 2]) == [[Opening(1, 3), Opening(2, 5)], [], [Opening(0, 0)]]
    steering.locate(row, where, ids)
    assert steering.openings([0]) == [[Opening(2, 6), Opening(4, 10)]]
    # repeated rows have seen what the one did, and go on by themselves
    later = steering.select([0, 0])
    later.remember(steering, [0, 0])
    later.locate(torch.tensor([[1]]), torch.tensor([places.written(1)]), torch.tensor([[7]]))
    assert later.openings([1, 0]) == [[Opening(3, 7), Opening(4, 11)], [Opening(2, 6), Opening(4, 10)]]


def test_a_gate_between_closed_and_open_counts_as_far_as_it_was_open():
    steering = Steering([(Edit(Site(0), Add(AXIS), 1.0, gate=Logistic((Site(0),), AXIS, 0.0)),)], CPU)
    stream = torch.zeros(1, 3, D_MODEL)
    stream[0, :, 3] = torch.tensor([0.0, 1.0, -2.0])
    steering.locate(
        torch.zeros(1, 3, dtype=torch.long), torch.zeros(1, 3, dtype=torch.long), torch.zeros(1, 3, dtype=torch.long)
    )
    steering.edited(Site(0), stream)
    ((seen,),) = steering.openings([0])
    assert (seen.open, seen.tokens) == (pytest.approx(0.5 + 0.731 + 0.119), 3)


@pytest.mark.parametrize("how", REMEMBERS)
def test_a_row_that_overflows_opens_nothing_and_is_nobody_elses_matter(how):
    """A scan looks at all rows at once, and a number that is none would go from row to row."""
    gate = Logistic((Site(0),), AXIS, 0.0, how)
    steering = Steering([(Edit(Site(0), Add(AXIS), 1.0, gate=gate),)] * 2, CPU)
    stream = torch.zeros(1, 4, D_MODEL)
    stream[0, 0] = float("nan")
    where = torch.tensor([[*places.given(places.USER, 2, ends_prompt=True)] * 2])
    steering.locate(torch.tensor([[0, 0, 1, 1]]), where, torch.zeros(1, 4, dtype=torch.long))
    steering.edited(Site(0), stream)
    broken, sound = (seen.open for (seen,) in steering.openings([0, 1]))
    # what is decided at a prompt's last token is not known before it
    assert sound == (0.5 if how == FIRST else 1.0)
    assert broken == 0.5
