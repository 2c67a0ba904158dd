"""Copies near by are read as the shards themselves, hold no more than one layer, and don't stay."""

import subprocess

import pytest
from material import LAYERS, prompts, write
from tiny import llama

from trimtab.activations.reader import Cache
from trimtab.activations.scratch import SCRATCH, near
from trimtab.errors import TrimtabError


@pytest.fixture
def shards(tmp_path):
    # long enough for holes, which are whole blocks of the file system
    many = [prompts(seed, count=150) for seed in (0, 1)]
    return [write(tmp_path / f"{at}.h5", llama(), these, token_budget=2000) for at, these in enumerate(many)]


@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS)
def test_a_copy_reads_as_its_shard(shards, tmp_path, monkeypatch, layer):
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv(SCRATCH, str(tmp_path / "scratch/$SLURM_JOB_ID"))
    with near(shards, layer) as copies:
        assert all(copy.is_relative_to(tmp_path / "scratch/77") for copy in copies)
        for shard, copy in zip(shards, copies, strict=True):
            with Cache.open(shard) as one, Cache.open(copy) as other:
                assert one.rows(layer).equal(other.rows(layer))
                assert one.tokens() == other.tokens()
            taken, whole = (path.stat().st_blocks for path in (copy, shard))
            assert taken < 0.7 * whole
    assert list((tmp_path / "scratch/77").iterdir()) == []


@pytest.mark.slow
def test_without_a_place_the_shards_themselves_are_read(shards, monkeypatch):
    monkeypatch.delenv(SCRATCH, raising=False)
    with near(shards, LAYERS[0]) as these:
        assert these == shards


@pytest.mark.slow
def test_no_room_is_one_clear_line(shards, tmp_path, monkeypatch):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("a disk of its own takes root and the right to mount")
    try:
        monkeypatch.setenv(SCRATCH, str(disk))
        with pytest.raises(TrimtabError, match=r"TRIMTAB_SCRATCH: .*can't be written \(No space left on device\)"):
            near(shards, LAYERS[0]).__enter__()
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)
