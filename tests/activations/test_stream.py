"""A stream serves what a cache would, in an order that is found again from any place in it, and holds little of it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from material import DESCRIBED, LAYERS, SETTINGS, prompts, write
from tiny import llama

from trimtab.activations import stream
from trimtab.activations.reader import Cache
from trimtab.activations.stream import Stream, _passages
from trimtab.errors import TrimtabError
from trimtab.forward.capture import Prompt

DOCUMENTS = [Prompt(f"{i}/{p.id}", p.tokens) for i in range(3) for p in prompts(i)]
ROWS = sum(len(p.kept("all")) for p in DOCUMENTS)


@pytest.fixture(scope="module")
def model():
    return llama()


def opened(model, batch, seed=0, documents=lambda: DOCUMENTS):
    return Stream(model, documents, LAYERS, DESCRIBED, SETTINGS, batch, seed)


def windows_of(patch, rows):
    patch.setattr(stream, "WINDOW_ROWS", rows)


@pytest.mark.slow
@settings(max_examples=25)
@given(
    rows=st.integers(1, 2 * ROWS),
    batch=st.integers(1, 16),
    done=st.integers(0, 30),
    window=st.sampled_from([1, 20, 64]),
)
def test_started_in_the_middle_it_serves_what_is_left(model, rows, batch, done, window):
    with pytest.MonkeyPatch.context() as patch:
        windows_of(patch, window)
        whole = list(opened(model, batch).batches(rows))
        rest = list(opened(model, batch).batches(rows, start=done * batch))
    assert sum(len(piece[LAYERS[0]]) for piece in whole) == rows
    assert [len(piece[LAYERS[0]]) for piece in whole[:-1]] == [batch] * (len(whole) - 1)
    for piece, again in zip(whole[done:], rest, strict=True):
        assert all(piece[layer].equal(again[layer]) for layer in LAYERS)


@pytest.mark.slow
@pytest.mark.parametrize("window", [20, 64, 1000])
def test_the_rows_are_those_of_a_cache_of_each_passage(model, tmp_path, window):
    """Whoever stores the passages one by one, and reads them window by window, has each window's rows to the bit."""
    with pytest.MonkeyPatch.context() as patch:
        windows_of(patch, window)
        source = opened(model, 4)
        size = source.window
        stored = {layer: [] for layer in LAYERS}
        for number, passage in enumerate(_passages(DOCUMENTS, size)):
            with Cache.open(write(tmp_path / f"{number}.h5", model, passage)) as cache:
                for layer in LAYERS:
                    stored[layer].append(cache.rows(layer))
        served = list(source.batches(ROWS))
    for layer in LAYERS:
        wanted, found = torch.cat(stored[layer]), torch.cat([piece[layer] for piece in served])
        assert len(found) == len(wanted) == ROWS
        for start in range(0, ROWS, size):
            ours, theirs = found[start : start + size], wanted[start : start + size]
            assert sorted(ours.tolist()) == sorted(theirs.tolist())
            # mixed, and the same way in all layers
            assert not ours.equal(theirs)
    first, last = (torch.cat([piece[layer] for piece in served]) for layer in LAYERS)
    places = [(row == torch.cat(stored[LAYERS[0]])).all(1).nonzero()[0].item() for row in first]
    assert last.equal(torch.cat(stored[LAYERS[1]])[places])


@pytest.mark.slow
def test_another_seed_is_another_order_and_another_epoch_too(model, monkeypatch):
    windows_of(monkeypatch, ROWS)
    first, second = torch.cat([piece[1] for piece in opened(model, ROWS).batches(2 * ROWS)]).split(ROWS)
    other = torch.cat([piece[1] for piece in opened(model, ROWS, seed=1).batches(ROWS)])
    assert not first.equal(second)
    assert not first.equal(other)
    assert sorted(first.tolist()) == sorted(other.tolist())


@pytest.mark.slow
def test_no_more_documents_are_read_than_a_window_takes(model):
    read = []

    def documents():
        for number in range(10**9):
            read.append(number)
            yield Prompt(str(number), [1 + number % 90] * 9)

    with pytest.MonkeyPatch.context() as patch:
        windows_of(patch, 64)
        batches = opened(model, 8, documents=documents).batches(10**9)
        for _ in range(8 * 5):
            next(batches)
    # eight rows each, 64 a window; a passage may be read ahead
    assert len(read) <= 6 * 8


def test_a_corpus_without_documents_is_one_clear_line(model):
    with pytest.raises(TrimtabError, match="no prompts to capture"):
        next(opened(model, 4, documents=list).batches(8))
