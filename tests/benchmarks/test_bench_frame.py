"""The benches' page says what the rounds gave."""

import importlib.util
import itertools
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


def module(name):
    spec = importlib.util.spec_from_file_location(f"bench_{name}", FOLDER / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(autouse=True)
def benches_can_be_imported(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.fixture
def rounds():
    return module("rounds")


def test_contenders_take_turns_after_a_first_call_that_counts_nowhere(rounds):
    clock = itertools.count()
    calls = []
    contenders = {name: lambda name=name: calls.append(name) or {"a": 6.0, "b": 2.0}[name] for name in "ab"}
    rates = rounds.race("read", "rows/s", contenders, 3, lambda: float(next(clock)))
    assert calls == ["a", "b", "a", "b", "b", "a", "a", "b"]
    assert [(each.contender, each.values) for each in rates] == [("a", [6.0] * 3), ("b", [2.0] * 3)]


def test_a_ratio_is_taken_within_each_round():
    record = {
        "title": "Reading",
        "about": ["Nothing else ran."],
        "machine": {"processor": "abacus", "cores": 2, "load": 0.1},
        "versions": {"trimtab": "0.1.0"},
        "rates": [
            {"task": "read", "contender": "ours", "unit": "rows/s", "values": [200.0, 900.0, 400.0]},
            {"task": "read", "contender": "theirs", "unit": "rows/s", "values": [100.0, 300.0, 400.0]},
        ],
        "claims": [
            {"task": "read", "contender": "ours", "against": "theirs", "at_least": 1.5},
            {"task": "read", "contender": "theirs", "against": "ours", "at_least": 0.7},
            {"task": "read", "contender": "theirs", "against": "ours", "at_least": None},
        ],
        "checks": {"largest difference": 0.001234},
    }
    page = module("table").page({"reading": record})
    assert "| read | ours | 400 (200 to 900) rows/s |" in page
    assert "| read | ours / theirs | 2 (1 to 3) | 1.5 or more: reached |" in page
    assert "| read | theirs / ours | 0.5 (0.333 to 1) | 0.7 or more: missed |" in page
    assert "| read | theirs / ours | 0.5 (0.333 to 1) |  |" in page
    assert "- largest difference: 0.00123" in page
