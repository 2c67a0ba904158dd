"""Digests of large files: read once, and again whenever the content may have changed."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from trimtab.artifacts import files, fingerprint
from trimtab.errors import TrimtabError


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    return path


@pytest.fixture
def read(monkeypatch):
    """The files that were read."""
    seen = []
    true = files.sha256

    def counted(path):
        seen.append(path.name)
        return true(path)

    monkeypatch.setattr(files, "sha256", counted)
    return seen


@pytest.fixture
def later(monkeypatch):
    """A minute from now."""
    now = time.time
    monkeypatch.setattr(fingerprint.time, "time", lambda: now() + 60)


def test_the_digest_is_the_contents(path):
    assert fingerprint.sha256(path) == hashlib.sha256(b"one").hexdigest()


def test_a_file_that_stays_is_read_once(path, read, later):
    assert len({fingerprint.sha256(path) for _ in range(3)}) == 1
    assert read == ["weights"]


def test_a_file_of_a_moment_ago_is_read_each_time(path, read):
    """It may change again before the file system's clock ticks."""
    fingerprint.sha256(path)
    fingerprint.sha256(path)
    assert read == ["weights", "weights"]


def test_another_content_of_the_same_size_and_time_is_seen(path, later):
    before = path.stat()
    first = fingerprint.sha256(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert fingerprint.sha256(path) != first


def test_a_file_put_in_its_place_is_seen(path, later):
    first = fingerprint.sha256(path)
    other = path.with_name("other")
    other.write_bytes(b"two")
    other.replace(path)
    assert fingerprint.sha256(path) == hashlib.sha256(b"two").hexdigest() != first


def test_a_memory_that_is_spoilt_is_only_slow(path, read, later):
    first = fingerprint.sha256(path)
    for memory in Path(fingerprint.FOLDER).iterdir():
        memory.write_text('{"path": 1}')
    assert fingerprint.sha256(path) == first
    assert read == ["weights", "weights"]


def test_a_file_that_can_not_be_read_is_one_line(path):
    """Not even by root: a process's memory without an address."""
    with pytest.raises(TrimtabError, match=r"^/proc/self/mem: can't be read \(Input/output error\)$"):
        fingerprint.sha256(Path("/proc/self/mem"))


def test_a_folders_digest_is_of_names_and_contents(tmp_path, path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("a")
    first = fingerprint.digest(folder)
    (folder / ".hidden").write_text("x")
    assert fingerprint.digest(folder) == first
    (folder / "a").rename(folder / "b")
    second = fingerprint.digest(folder)
    (folder / "b").write_text("b")
    assert len({first, second, fingerprint.digest(folder)}) == 3
    assert fingerprint.digest(folder, ["*.txt"]) == fingerprint.digest(folder, ["*.json"])
    (folder / "deeper").mkdir()
    before, flat = fingerprint.digest(folder), fingerprint.digest(folder, ["*"])
    (folder / "deeper/c").write_text("c")
    assert fingerprint.digest(folder) != before
    assert fingerprint.digest(folder, ["*"]) == flat
    assert fingerprint.digest(tmp_path / "nothing") == ""
