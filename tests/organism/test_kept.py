"""Organisms that were trained once are kept: whole or not at all, and each under what it was trained from."""

import pytest

from trimtab.organism.kept import kept


def writing(text):
    return lambda folder: (folder / "weights").write_text(text) and None


def refused(folder):
    raise AssertionError("trained again")


def test_the_same_settings_train_once(tmp_path):
    first = kept(tmp_path / "store", {"seed": 1}, writing("one"))
    assert kept(tmp_path / "store", {"seed": 1}, refused) == first
    assert (first / "weights").read_text() == "one"
    other = kept(tmp_path / "store", {"seed": 2}, writing("two"))
    assert (other / "weights").read_text() == "two"


def test_a_training_that_fails_keeps_nothing(tmp_path):
    with pytest.raises(AssertionError):
        kept(tmp_path / "store", {"seed": 1}, refused)
    assert list((tmp_path / "store").iterdir()) == []


def test_of_two_that_train_at_once_the_first_stays(tmp_path):
    def slower(folder):
        kept(tmp_path, {"seed": 1}, writing("first"))
        writing("second")(folder)

    assert (kept(tmp_path, {"seed": 1}, slower) / "weights").read_text() == "first"
