"""A shard that is asked to stop keeps its rows, and the next attempt ends with the bytes of an undisturbed one."""

import os

import pytest
from material import prompts, write
from tiny import llama

from trimtab.artifacts.files import sha256
from trimtab.jobs import stopping


@pytest.fixture
def asked(monkeypatch):
    """The signal has come; undone after the test."""
    monkeypatch.setattr(stopping, "_asked", False)
    stopping.listen()
    os.kill(os.getpid(), stopping.SIGNAL)
    assert stopping.asked()


@pytest.mark.slow
def test_rows_are_kept_and_gone_on_with(tmp_path, asked, monkeypatch, caplog):
    caplog.set_level("INFO")
    model, path = llama(), tmp_path / "a.h5"
    with pytest.raises(stopping.Stopped, match=r"stopped before the time limit, as asked \(SIGURG\): \d+ of \d+ rows"):
        write(path, model, prompts())
    assert not path.exists()
    monkeypatch.setattr(stopping, "_asked", False)
    write(path, model, prompts())
    assert "rows are there from an earlier run" in caplog.text
    assert sha256(path) == sha256(write(tmp_path / "b.h5", model, prompts()))


def test_a_job_that_is_all_but_done_ends_well(tmp_path, asked):
    assert write(tmp_path / "a.h5", llama(), prompts(), token_budget=1000).exists()
