"""A shard that is killed at any moment is gone on with, and ends with the bytes of one that never was."""

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import killed
import numpy as np
import pytest
import torch
from material import prompts, write
from tiny import llama

from trimtab.activations import store
from trimtab.activations.reader import Cache
from trimtab.artifacts.files import sha256
from trimtab.artifacts.locks import one_writer
from trimtab.errors import TrimtabError

KILLS = 100


@pytest.fixture(scope="module")
def processes():
    """Processes that start from one where torch is imported already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "warm"])
    with pytest.MonkeyPatch.context() as patch:
        # the server finds modules by the environment alone, and leaves out in silence what it doesn't find
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        start = run(context, print)
        assert ended(start) == 0
    return context


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Digest of the shard that nobody stopped."""
    path = tmp_path_factory.mktemp("whole") / "a.h5"
    killed.capture(path)
    return sha256(path)


def run(processes, target, *arguments):
    """Start a process, without waiting for it."""
    process = processes.Process(target=target, args=arguments)
    process.start()
    return process


def ended(process):
    process.join()
    return process.exitcode


@pytest.mark.slow
def test_a_hundred_random_kills(processes, whole, tmp_path):
    """Moments are drawn among the lines that run and not by the clock: a busy machine kills where a quiet one does."""
    path = tmp_path / "a.h5"
    random = np.random.default_rng(0)
    here, there = processes.Pipe()
    counting = run(processes, killed.count_lines, path, there)
    lines = here.recv()
    assert ended(counting) == 0
    path.unlink()
    endings, continued = [], 0
    for _ in range(KILLS):
        continued += (tmp_path / ".a.h5.part").exists()
        endings.append(ended(run(processes, killed.die_at_line, path, int(random.integers(lines)))))
        assert endings[-1] in (0, -signal.SIGKILL)
        if path.exists():
            assert sha256(path) == whole
            path.unlink()
    assert ended(run(processes, killed.capture, path)) == 0
    assert sha256(path) == whole
    assert sorted(tmp_path.iterdir()) == [path]
    assert continued > KILLS / 10


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("number", [0, 1, 2, 7, 13])
def test_a_kill_in_the_middle_of_a_write_loses_that_chunk_alone(processes, whole, tmp_path, number, share, caplog):
    path = tmp_path / "a.h5"
    assert ended(run(processes, killed.die_at_call, path, number, share)) == -signal.SIGKILL
    assert not path.exists()
    caplog.set_level("INFO")
    killed.capture(path)
    assert sha256(path) == whole
    # two layers: the chunk that both have
    rows = 8 * ((number + (share == 1)) // 2)
    said = f"{min(rows, 65)} of 65 rows are there from an earlier run"
    assert (said in caplog.text) == (rows > 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["posix_fallocate", "fsync", "replace"])
def test_a_kill_before_or_behind_the_rows(processes, whole, tmp_path, name):
    path = tmp_path / "a.h5"
    assert ended(run(processes, killed.die_while, path, name)) == -signal.SIGKILL
    assert not path.exists()
    killed.capture(path)
    assert sha256(path) == whole
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_two_kills_of_a_process_of_its_own(whole, tmp_path):
    path, part = tmp_path / "a.h5", tmp_path / ".a.h5.part"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(2):
        process = subprocess.Popen([sys.executable, killed.__file__, path], env=environment, stderr=subprocess.DEVNULL)
        while not part.exists() and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        process.wait()
        if path.exists():
            path.unlink()
    subprocess.run([sys.executable, killed.__file__, path], env=environment, check=True, stderr=subprocess.DEVNULL)
    assert sha256(path) == whole


def test_a_shard_that_is_whole_already_is_not_computed_again(tmp_path, monkeypatch):
    """A kill between the renaming and the workflow's note of it."""
    path = write(tmp_path / "a.h5", llama(), prompts())
    before = sha256(path)
    monkeypatch.setattr("trimtab.activations.reading.kept_rows", None)
    write(path, llama(), prompts())
    assert sha256(path) == before


@pytest.mark.slow
def test_what_is_left_of_other_inputs_is_thrown_away(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    reference = write(tmp_path / "reference.h5", llama(), prompts(seed=1))
    path = tmp_path / "a.h5"
    stopped(path, monkeypatch)
    write(path, llama(), prompts(seed=1))
    assert "is of other inputs, settings or code; starting again" in caplog.text
    assert sha256(path) == sha256(reference)


@pytest.mark.slow
def test_what_other_code_left_is_thrown_away(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    stopped(tmp_path / "a.h5", monkeypatch)
    monkeypatch.setattr("trimtab.activations.shards._code", lambda: "other")
    write(tmp_path / "a.h5", llama(), prompts())
    assert "starting again" in caplog.text


@pytest.mark.slow
def test_a_chunk_that_rotted_meanwhile_is_computed_again(tmp_path, monkeypatch):
    reference = write(tmp_path / "reference.h5", llama(), prompts())
    path, part = tmp_path / "a.h5", tmp_path / ".a.h5.part"
    stopped(path, monkeypatch)
    with store.h5py.File(part) as file:
        at = file["layers/3/rows"].id.get_chunk_info(0).byte_offset
    data = bytearray(part.read_bytes())
    data[at] ^= 1
    part.write_bytes(data)
    write(path, llama(), prompts())
    assert sha256(path) == sha256(reference)


def stopped(path, monkeypatch):
    """Leave a shard of `prompts()` two chunks long."""
    true, calls = store._write, []

    def fail(handle, parts, place):
        calls.append(1)
        if len(calls) > 4:
            raise KeyboardInterrupt
        true(handle, parts, place)

    with monkeypatch.context() as patch:
        patch.setattr(store, "_write", fail)
        with pytest.raises(KeyboardInterrupt):
            write(path, llama(), prompts())
    assert not path.exists()


@pytest.mark.slow
def test_one_writer_a_shard(processes, tmp_path):
    path = tmp_path / "a.h5"
    with (
        one_writer(path),
        pytest.raises(TrimtabError, match=r"a\.h5: another process is writing it"),
    ):
        killed.capture(path)
    killed.capture(path)
    assert path.exists()


def test_a_lock_dies_with_its_holder(tmp_path):
    path = tmp_path / "a.h5"
    holder = "import sys, time; from trimtab.artifacts.locks import one_writer; from pathlib import Path\n"
    holder += "with one_writer(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", holder, path], env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(TrimtabError, match="another process is writing it"), one_writer(path):
            pass
        process.kill()
    with one_writer(path):
        pass
    assert list(tmp_path.iterdir()) == []


# --- a full disk ---


def limited(path: Path, most: int, answer) -> None:
    """Capture where no file may grow beyond `most` bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    try:
        killed.capture(path)
    except TrimtabError as error:
        answer.send(str(error))
    else:
        answer.send("written")


@pytest.mark.slow
def test_a_disk_without_room_is_told_before_anything_is_computed(processes, whole, tmp_path):
    path = tmp_path / "a.h5"
    here, there = processes.Pipe()
    process = run(processes, limited, path, 8192, there)
    told = here.recv()
    assert ended(process) == 0
    assert told.startswith(f"{path}: can't be written (File too large); it takes 0 MB and ")
    assert "\n" not in told
    assert list(tmp_path.iterdir()) == []
    killed.capture(path)
    assert sha256(path) == whole


@pytest.mark.slow
def test_a_disk_that_fills_up_meanwhile_keeps_what_is_finished(whole, tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    true, calls = os.pwritev, []

    def pwritev(handle, parts, place):
        calls.append(1)
        if len(calls) == 9:
            raise OSError(28, "No space left on device")
        # as a file system may, when little room is left
        return true(handle, [parts[0][:5]], place)

    with monkeypatch.context() as patch:
        patch.setattr(store.os, "pwritev", pwritev)
        with pytest.raises(
            TrimtabError, match=r"can't be written \(No space left on device\); .* kept for the next run"
        ):
            killed.capture(path)
    assert not path.exists()
    killed.capture(path)
    assert sha256(path) == whole


def test_rows_that_are_no_numbers_are_refused(tmp_path):
    model = llama()
    model.model.layers[1].mlp.down_proj.weight[0] = torch.inf
    with pytest.raises(TrimtabError, match=r"layer 1: rows of a batch of .* hold NaN or infinity"):
        write(tmp_path / "a.h5", model, prompts())
    assert not (tmp_path / "a.h5").exists()


@pytest.mark.slow
def test_a_continued_shard_reads_as_any_other(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    stopped(path, monkeypatch)
    with (
        Cache.open(write(path, llama(), prompts())) as cache,
        Cache.open(write(tmp_path / "b.h5", llama(), prompts())) as b,
    ):
        for layer in cache.layers:
            assert torch.equal(cache.rows(layer), b.rows(layer))
