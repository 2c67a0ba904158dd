"""A cached row is the model's own, whatever batch it came in; a cache is whole or refused."""

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import D_MODEL, FAMILIES, VOCABULARY, llama

from trimtab.activations.capture import Prompt, batches
from trimtab.activations.reader import Cache, shuffled_batches
from trimtab.activations.shards import write_shard
from trimtab.errors import TrimtabError
from trimtab.files import sha256
from trimtab.residual import capture

SETTINGS = {"token_budget": 24, "chunk_rows": 8}
DESCRIBED = {"model": "tiny", "revision": None, "dtype": "float32", "d_model": D_MODEL}
LAYERS = [1, 3]


def prompts(seed=0, count=7, context=()):
    random = np.random.default_rng(seed)
    return [Prompt(f"p{i}", random.integers(VOCABULARY, size=3 + i).tolist(), context) for i in range(count)]


def write(path, model, these, selection="all", dtype="float32"):
    described = {**DESCRIBED, "dtype": dtype}
    write_shard(path, model, these, LAYERS, selection, described, SETTINGS, {"seed": 1})
    return path


def test_an_off_by_nothing_layer(tmp_path):
    """The rows are hidden_states[layer + 1] of the same model, first tokens left out."""
    model, these = llama(), prompts()
    with Cache.open(write(tmp_path / "a.h5", model, these)) as cache:
        assert cache.layers == LAYERS
        for at, name in enumerate(cache.prompt_ids):
            tokens = next(p.tokens for p in these if p.id == name)
            states = model(torch.tensor([tokens]), output_hidden_states=True).hidden_states
            rows = cache.rows(1, cache.offsets[at], cache.offsets[at + 1])
            torch.testing.assert_close(rows, states[2][0, 1:])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_shared_context_gives_the_rows_of_the_whole_prompt(tmp_path, family):
    model, these = FAMILIES[family](), prompts(context=(4, 8, 15, 16, 23, 42))
    with Cache.open(write(tmp_path / "a.h5", model, these, "last")) as cache:
        for at, name in enumerate(cache.prompt_ids):
            prompt = next(p for p in these if p.id == name)
            whole = capture(model, [1], input_ids=torch.tensor([[*prompt.context, *prompt.tokens]]))[1]
            torch.testing.assert_close(cache.rows(1, at, at + 1)[0], whole[0, -1], rtol=1e-4, atol=1e-5)


def test_bfloat16_rows_come_back_bit_for_bit(tmp_path):
    model, these = llama().bfloat16(), [Prompt("only", [3, 1, 4, 1, 5])]
    path = write(tmp_path / "a.h5", model, these, dtype="bfloat16")
    rows = capture(model, [1], input_ids=torch.tensor([these[0].tokens]))[1][0, 1:]
    with Cache.open(path) as cache:
        assert torch.equal(cache.rows(1), rows.float())
    with h5py.File(path) as file:
        stored = file["layers/1/rows"]
        assert stored.dtype == np.uint16
        assert stored.attrs["dtype"] == "bfloat16"


def test_the_layout_is_the_documented_one(tmp_path):
    these = prompts()
    with h5py.File(write(tmp_path / "a.h5", llama(), these)) as file:
        offsets = file["index/offset"][:]
        ids = [name.decode() for name in file["index/prompt_id"][:]]
        assert sorted(ids) == sorted(p.id for p in these)
        assert offsets[-1] == sum(len(p.tokens) - 1 for p in these) == len(file["layers/3/rows"])
        for at, name in enumerate(ids):
            tokens = next(p.tokens for p in these if p.id == name)
            assert file["tokens/id"][offsets[at] : offsets[at + 1]].tolist() == tokens[1:]
            assert file["tokens/position"][offsets[at] : offsets[at + 1]].tolist() == list(range(1, len(tokens)))
        assert set(file.attrs) == {"model", "revision", "hook", "selection", "dtype", "provenance"}


def test_the_same_prompts_give_the_same_bytes(tmp_path):
    one, two = (write(tmp_path / name, llama(), prompts()) for name in ("a.h5", "b.h5"))
    assert sha256(one) == sha256(two)


def test_nothing_is_left_of_a_shard_that_failed(tmp_path):
    with pytest.raises(TrimtabError, match="prompt short: 1 tokens"):
        write(tmp_path / "a.h5", llama(), [*prompts(), Prompt("short", [1])])
    assert list(tmp_path.iterdir()) == []


def test_a_flipped_bit_is_noticed(tmp_path):
    path = write(tmp_path / "a.h5", llama(), prompts())
    with h5py.File(path) as file:
        at = file["layers/1/rows"].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[at + 5] ^= 1
    path.write_bytes(data)
    with Cache.open(path) as cache, pytest.raises(TrimtabError, match="rows of layer 1 fail their checksum"):
        cache.rows(1)


def test_a_truncated_file_and_an_unknown_layer_are_one_line_errors(tmp_path):
    path = write(tmp_path / "a.h5", llama(), prompts())
    with Cache.open(path) as cache, pytest.raises(TrimtabError, match=r"layer 2 is not cached; cached are \[1, 3\]"):
        cache.rows(2)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(TrimtabError, match="not a readable HDF5 file"):
        Cache.open(path)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(2, 40), min_size=1, max_size=30), st.integers(10, 100))
def test_batches_hold_every_prompt_once_within_the_budget(lengths, budget):
    these = [Prompt(f"p{i}", [1] * n) for i, n in enumerate(lengths)]
    planned = list(batches(these, budget))
    assert sorted(p.id for b in planned for p in b) == sorted(p.id for p in these)
    for batch in planned:
        assert len(batch) == 1 or len(batch) * max(len(p.tokens) for p in batch) <= budget


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 200), batch=st.integers(1, 16), seed=st.integers(0, 3))
def test_an_epoch_serves_every_kept_row_once(tmp_path_factory, rows, batch, seed):
    folder = tmp_path_factory.mktemp("cache")
    model = llama()
    paths = [write(folder / f"{i}.h5", model, [Prompt(f"{i}/{p.id}", p.tokens) for p in prompts(i)]) for i in range(2)]
    keep = {f"{i}/p{n}" for i in range(2) for n in (1, 4, 6)}
    served = torch.cat(list(shuffled_batches(paths, 1, batch, seed, keep, rows)))
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
    again = torch.cat(list(shuffled_batches(paths, 1, batch, seed, keep, rows)))
    assert torch.equal(served, again)


def test_no_kept_row_is_an_error(tmp_path):
    path = write(tmp_path / "a.h5", llama(), prompts())
    with pytest.raises(TrimtabError, match="no row belongs"):
        next(shuffled_batches([path], 1, 4, 0, {"nobody"}, 10))
