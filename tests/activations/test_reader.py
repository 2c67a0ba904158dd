"""Shuffled batches: every kept row once an epoch, at memory that doesn't grow with the cache."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from material import prompts, write
from tiny import llama

from trimtab.activations import shuffle
from trimtab.activations.layout import Layout
from trimtab.activations.reader import Cache
from trimtab.activations.shuffle import shuffled_batches
from trimtab.activations.store import shard
from trimtab.errors import TrimtabError
from trimtab.forward.capture import Prompt


def two_shards(tmp_path_factory):
    """Paths of two shards, and which of their prompts are asked for."""
    folder, model = tmp_path_factory.mktemp("cache"), llama()
    paths = [write(folder / f"{i}.h5", model, [Prompt(f"{i}/{p.id}", p.tokens) for p in prompts(i)]) for i in range(2)]
    return paths, {f"{i}/p{n}" for i in range(2) for n in (1, 4, 6)}


@pytest.mark.slow
@settings(max_examples=20)
@given(rows=st.integers(1, 200), batch=st.integers(1, 16), seed=st.integers(0, 3), blocks=st.sampled_from([1, 2, 16]))
def test_an_epoch_serves_every_kept_row_once(tmp_path_factory, rows, batch, seed, blocks):
    paths, keep = two_shards(tmp_path_factory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shuffle, "BLOCK_ROWS", 8)
        patch.setattr(shuffle, "BUFFER_BLOCKS", blocks)
        served = torch.cat(list(shuffled_batches(paths, 1, batch, seed, keep, rows)))
        again = torch.cat(list(shuffled_batches(paths, 1, batch, seed, keep, rows)))
    assert torch.equal(served, again)
    assert len(served) == rows
    kept = []
    for path in paths:
        with Cache.open(path) as cache:
            kept.append(cache.rows(1)[torch.from_numpy(cache.row_mask(keep))])
    wanted = torch.cat(kept)
    matches = (served[:, None] == wanted[None]).all(-1)
    assert matches.any(1).all()
    # what doesn't fill a batch waits for the next epoch
    assert matches[: len(wanted) // batch * batch].sum(0).max() <= 1


@pytest.mark.slow
@settings(max_examples=20)
@given(rows=st.integers(1, 400), batch=st.integers(1, 16), done=st.integers(0, 30), blocks=st.integers(1, 9))
def test_started_in_the_middle_it_serves_what_is_left(tmp_path_factory, rows, batch, done, blocks):
    paths, keep = two_shards(tmp_path_factory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shuffle, "BLOCK_ROWS", 8)
        patch.setattr(shuffle, "BUFFER_BLOCKS", blocks)
        whole = list(shuffled_batches(paths, 1, batch, 0, keep, rows))
        rest = list(shuffled_batches(paths, 1, batch, 0, keep, rows, start=done * batch))
    assert [piece.tolist() for piece in rest] == [piece.tolist() for piece in whole[done:]]


@pytest.mark.slow
def test_no_kept_row_is_an_error(tmp_path):
    path = write(tmp_path / "a.h5", llama(), prompts())
    with pytest.raises(TrimtabError, match="no row belongs"):
        next(shuffled_batches([path], 1, 4, 0, {"nobody"}, 10))


@pytest.mark.slow
def test_shards_of_other_rows_are_not_mixed(tmp_path):
    one = write(tmp_path / "a.h5", llama(), prompts())
    two = write(tmp_path / "b.h5", llama().bfloat16(), prompts(), dtype="bfloat16")
    with pytest.raises(TrimtabError, match=r"b\.h5: rows of 32 x torch.bfloat16; .*a\.h5 has 32 x torch.float32"):
        next(shuffled_batches([one, two], 1, 4, 0, None, 10))


@pytest.mark.slow
def test_nothing_stays_open_behind_a_reader_that_stops_early(tmp_path, monkeypatch):
    opened = []
    true = Cache.open
    monkeypatch.setattr(Cache, "open", lambda path: opened.append(true(path)) or opened[-1])
    path = write(tmp_path / "a.h5", llama(), prompts())
    batches = shuffled_batches([path], 1, 4, 0, None, 10_000)
    next(batches)
    batches.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        opened[0].rows(1)


@pytest.mark.slow
def test_memory_is_that_of_the_buffer_however_long_the_cache(tmp_path):
    rows, width, size = 122_880, 512, 1024
    layout = Layout(
        layers=[0],
        d_model=width,
        dtype=torch.bfloat16,
        chunk_rows=size,
        prompt_ids=["only"],
        offsets=np.array([0, rows]),
        tokens=np.zeros(rows, np.int32),
        positions=np.zeros(rows, np.int32),
        attributes={"identity": "test", "format": "trimtab activations 2"},
    )
    with shard(tmp_path / "long.h5", layout) as writer:
        for start in range(0, rows, size):
            writer.append(start, {0: torch.full((size, width), float(start + 1))})
    buffer = shuffle.BLOCK_ROWS * shuffle.BUFFER_BLOCKS * width * 2
    assert 2 * buffer < (tmp_path / "long.h5").stat().st_size
    sum(len(piece) for piece in shuffled_batches([tmp_path / "long.h5"], 0, 256, 0, None, 4096))
    before = reset_peak()
    assert sum(len(piece) for piece in shuffled_batches([tmp_path / "long.h5"], 0, 256, 0, None, 2 * rows)) == 2 * rows
    assert peak() - before < 2.5 * buffer


def reset_peak():
    """Let the kernel count the largest resident size from now on; the present one, in bytes."""
    with open("/proc/self/clear_refs", "w") as stream:
        stream.write("5")
    return peak()


def peak():
    with open("/proc/self/status") as stream:
        return next(int(line.split()[1]) * 1024 for line in stream if line.startswith("VmHWM"))
