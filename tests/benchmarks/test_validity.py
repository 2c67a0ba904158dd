"""The page of simulations: each part runs, misses are called misses, and docs/validity.md is of the parts there are."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def validity():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import validity

        yield validity
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def skeleton(page: str) -> list[str]:
    """All of a page that no figure can change: its sections, what they say, tables' heads and first cells."""
    opening, rest = page.split("## What does not hold")
    lines = (opening + rest[rest.index("![") :]).splitlines()
    heads = {at - 1 for at, line in enumerate(lines) if line.startswith("| ---")}
    return [
        line if at in heads or not line.startswith("|") else line.split("|")[1].strip() for at, line in enumerate(lines)
    ]


@pytest.mark.slow
def test_every_part_runs_and_the_page_in_docs_is_of_these_parts(validity, tmp_path):
    found = validity.simulated(list(validity.PARTS), times=0)
    validity.write(found, tmp_path / "validity.md")
    made = (tmp_path / "validity.md").read_text(encoding="utf-8")
    assert all(f"## {part.title}\n" in made for part in validity.PARTS.values())
    assert (tmp_path / "figures/coverage.svg").read_text(encoding="utf-8").count("<svg") == 1
    assert "nan" not in made
    in_docs = (ROOT / "docs/validity.md").read_text(encoding="utf-8")
    assert skeleton(in_docs) == skeleton(made)
    assert (ROOT / "docs/figures/coverage.svg").exists()
    # the page in docs is of a whole run, this one of two experiments a row
    assert "| 2 |" in made
    assert "| 2 |\n" not in in_docs


@pytest.mark.slow
def test_a_part_comes_again_with_the_same_figures(validity):
    once, again = (validity.simulated(["familywise"], times=0) for _ in range(2))
    assert once == again


def test_figures_carry_their_error_and_say_what_they_miss(validity):
    from simulations.frame import Part, mean, missed, share, table

    # (90 + 1) / 102 of 100
    nine = share([True] * 90 + [False] * 10, least=0.95)
    assert (nine.value, nine.error) == (0.9, pytest.approx(np.sqrt(91 / 102 * 11 / 102 / 100)))
    assert not nine.missed
    assert str(nine) == "0.900 ± 0.031"
    eight = share([True] * 80 + [False] * 20, least=0.95)
    assert str(eight) == "**0.800 ± 0.040**"
    assert share([False] * 100, most=0.05).error > 0
    assert mean([1.0, 2.0, 3.0]).error == pytest.approx(1 / np.sqrt(3))
    rows = [{"n": "7", "held": nine, "experiments": "100"}, {"n": "8", "held": eight, "experiments": "100"}]
    assert table(rows).splitlines()[-1] == "| 8 | **0.800 ± 0.040** | 100 |"
    part = Part("x", "Intervals", "", lambda times: rows)
    assert missed(part, rows) == ["- Intervals: held is 0.800 ± 0.040, promised at least .95 (n 8)"]


@pytest.mark.slow
def test_an_unknown_part_is_one_line():
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/validity.py"), "weather"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("benchmarks/validity.py: no part 'weather'; expected some of real_shape, ")
    assert done.stderr.count("\n") == 1
