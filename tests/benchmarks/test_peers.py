"""Peers' environments are locked whole: each line is one version, and none is another than Trimtab's own lock has."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def pins(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    found = [re.fullmatch(r"([\w.-]+)==([\w.!+]+)", line) for line in lines]
    assert all(found), [line for line, each in zip(lines, found, strict=True) if not each]
    return {re.sub(r"[-_.]+", "-", each[1]).lower(): each[2] for each in found}


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("peers-*.txt")), ids=lambda path: path.stem)
def test_every_line_pins_one_version_that_the_lock_does_not_pin_otherwise(path):
    lock = pins(ROOT / "envs/lock.txt")
    own = pins(path)
    assert {name: version for name, version in own.items() if name in lock and lock[name] != version} == {}
