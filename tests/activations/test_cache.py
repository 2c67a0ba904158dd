"""A cached row is the model's own, whatever batch it came in; a cache is whole or refused."""

import re
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from material import DESCRIBED, LAYERS, prompts, write
from tiny import ARCHITECTURES, llama

from trimtab.activations.check import info, problems
from trimtab.activations.checksum import fletcher32
from trimtab.activations.reader import Cache, require_all
from trimtab.artifacts.files import sha256
from trimtab.errors import TrimtabError
from trimtab.forward.capture import Prompt
from trimtab.forward.hooks import capture


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("family", ARCHITECTURES)
def test_a_shared_context_gives_the_rows_of_the_whole_prompt(tmp_path, family):
    model, these = ARCHITECTURES[family](), prompts(context=(4, 8, 15, 16, 23, 42))
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
        assert torch.equal(torch.from_numpy(stored[:]).view(torch.bfloat16), rows)


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
        fixed = {"model", "revision", "hook", "selection", "dtype", "provenance"}
        assert set(file.attrs) == fixed | {"format", "weights", "identity", "index_sha256"}
        assert all(file[f"layers/{layer}/rows"].fletcher32 for layer in LAYERS)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, 43, 7))
def test_any_piece_of_a_layer_is_what_hdf5_reads_there(tmp_path, start):
    path = write(tmp_path / "a.h5", llama(), prompts())
    with Cache.open(path) as cache, h5py.File(path) as file:
        assert cache.n_rows == 35
        for end in range(start, cache.n_rows + 1):
            assert np.array_equal(cache.rows(3, start, end), file["layers/3/rows"][start:end])


@pytest.mark.slow
@settings(max_examples=100)
@given(st.data(), st.sampled_from([np.uint16, np.float32]))
def test_the_checksum_is_hdf5s_own(data, dtype):
    shape = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 60)))
    most = data.draw(st.sampled_from([1, 2, 256, 65536]))
    values = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, most, shape).astype(dtype)
    if data.draw(st.booleans()):
        values = np.full(shape, 0xFFFF, np.uint16)
    with h5py.File("in memory", "w", driver="core", backing_store=False) as file:
        rows = file.create_dataset("rows", data=values, chunks=shape, fletcher32=True)
        assert fletcher32(values) == rows.id.read_direct_chunk((0, 0))[1][values.nbytes :]


@pytest.mark.slow
def test_the_same_prompts_give_the_same_bytes(tmp_path):
    one, two = (write(tmp_path / name, llama(), prompts()) for name in ("a.h5", "b.h5"))
    assert sha256(one) == sha256(two)


# --- what is refused ---


def test_a_whole_shard_has_no_problems_and_tells_what_it_is(tmp_path):
    path = write(tmp_path / "a.h5", llama(), prompts())
    assert list(problems(path)) == []
    told = info(path)
    for words in ("tiny", "1, 3", r"35 of 32 values", "7", "hidden_states[layer + 1]", "float32", '{"seed":1}', "MB"):
        assert words in told


def test_a_flipped_bit_is_noticed_by_reader_and_check(tmp_path):
    path = write(tmp_path / "a.h5", llama(), prompts())
    with h5py.File(path) as file:
        at = file["layers/1/rows"].id.get_chunk_info(2).byte_offset
    flip(path, at + 5)
    complaint = f"{path}: chunk 2 of layer 1 fails its checksum"
    with Cache.open(path) as cache, pytest.raises(TrimtabError, match=re.escape(complaint)):
        cache.rows(1)
    (line,) = problems(path)
    assert line.startswith(complaint)


@pytest.mark.slow
def test_no_flipped_bit_changes_what_is_read_unnoticed(tmp_path):
    path = write(tmp_path / "a.h5", llama(), prompts())
    whole = path.read_bytes()
    sound = everything(path)
    places = np.random.default_rng(0).choice(len(whole), 150, replace=False)
    noticed = 0
    for at in map(int, places):
        flip(path, at)
        if list(problems(path)):
            noticed += 1
        else:
            # room between the parts of the file, which nothing reads
            assert everything(path) == sound, f"byte {at}"
        path.write_bytes(whole)
    assert noticed > 75


def everything(path):
    with Cache.open(path) as cache:
        rows = [cache.rows(layer).numpy().tobytes() for layer in cache.layers]
        return rows, cache.prompt_ids, cache.offsets, sorted(cache.attributes.items())


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.999])
def test_a_truncated_file_is_a_one_line_error(tmp_path, share):
    path = write(tmp_path / "a.h5", llama(), prompts())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    (line,) = problems(path)
    assert line.startswith(f"{path}: not a readable cache")
    with pytest.raises(TrimtabError, match="not a readable cache"):
        Cache.open(path)


def test_a_file_that_is_no_cache_or_none_is_a_one_line_error(tmp_path):
    with pytest.raises(TrimtabError, match="not a readable cache"):
        Cache.open(tmp_path / "none.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = [1]
    with pytest.raises(TrimtabError, match="not a cache of format"):
        Cache.open(tmp_path / "other.h5")


@pytest.mark.slow
def test_an_unknown_layer_is_a_one_line_error(tmp_path):
    path = write(tmp_path / "a.h5", llama(), prompts())
    with Cache.open(path) as cache, pytest.raises(TrimtabError, match=r"layer 2 is not cached; cached are \[1, 3\]"):
        cache.rows(2)


@pytest.mark.slow
def test_rows_that_another_program_filtered_are_refused(tmp_path):
    path = write(tmp_path / "a.h5", llama(), prompts())
    with h5py.File(path, "r+") as file:
        rows = file["layers/1/rows"][:]
        del file["layers/1/rows"]
        file.create_dataset("layers/1/rows", data=rows, compression="gzip").attrs["dtype"] = "float32"
    with pytest.raises(TrimtabError, match="/layers/1/rows went through another program's HDF5 filters"):
        Cache.open(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [{"model": "other"}, {"revision": "abc"}, {"weights": {"model.safetensors": "beef"}}, {"dtype": "bfloat16"}],
)
def test_a_cache_of_another_model_is_refused(tmp_path, changes):
    path = write(tmp_path / "a.h5", llama(), prompts())
    require_all([path], DESCRIBED)
    (name,) = changes
    with pytest.raises(TrimtabError, match=rf"a\.h5: captured with {name} '.*'; the manifest says '.*'; delete it"):
        require_all([path], replace(DESCRIBED, **changes))


@pytest.mark.slow
def test_a_cache_of_another_hook_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("trimtab.activations.shards.hook_of", lambda described: "output of the attention")
    path = write(tmp_path / "a.h5", llama(), prompts())
    with pytest.raises(TrimtabError, match="captured with hook 'output of the attention'"):
        require_all([path], DESCRIBED)
