"""The bench of intervals and probes: its contenders come to the same results."""

import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def estimates():
    sys.path.insert(0, str(FOLDER))
    import estimates

    yield estimates
    sys.path.remove(str(FOLDER))


@pytest.mark.slow
def test_contenders_come_to_the_same_results(estimates):
    size = estimates.SMALL._replace(scenarios=30, draws=4000)
    found = {}
    for work in estimates.intervals(size, found).values():
        assert work() == size.columns
    found["Trimtab intervals"] = found["Trimtab"]
    for work in estimates.probes(size, found).values():
        assert work() == len(estimates.PENALTIES)
    estimate, width, widening, outputs = estimates.alike(size, found).values()
    assert estimate < 1e-9
    # two sets of draws
    assert width == pytest.approx(widening, rel=0.05)
    assert outputs < 1e-4


def test_intervals_are_wider_by_the_t_of_few_scenarios(estimates):
    assert estimates.widening(50) == pytest.approx(1.0357, abs=1e-4)
    assert estimates.widening(10_000) == pytest.approx(1, abs=1e-3)
