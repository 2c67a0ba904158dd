"""How cost grows: slopes, what they show of a promise, and that every kind of work runs at its least size."""

import sys
from pathlib import Path

import packaged
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benches():
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


@pytest.fixture
def growth(benches):
    import growth

    return growth


def curve(growth, cost, promised, grow):
    return growth.Curve("capture", "tokens", cost, promised, {size: [grow(size)] * 3 for size in (8, 1, 2, 4)})


def test_a_power_of_the_size_is_its_own_slope(growth):
    found = growth.slope(curve(growth, growth.TIME, 1.0, lambda size: 3 * size**1.5))
    assert found == pytest.approx((1.5, 1.5, 1.5, 1.5))


def test_a_part_that_does_not_grow_shows_in_the_interval_and_at_the_end(growth):
    found = growth.slope(curve(growth, growth.TIME, 1.0, lambda size: 1 + size))
    assert found.lower < found.value < found.upper
    assert found.value < found.last == pytest.approx(0.847997)


@pytest.mark.parametrize(
    ("interval", "promised", "said"),
    [
        ((0.9, 1.05), 1.0, "kept"),
        ((1.12, 1.3), 1.0, "broken"),
        ((0.9, 1.3), 1.0, "open"),
        ((-0.3, 0.05), 0.0, "kept"),
        ((0.2, 0.5), 0.0, "broken"),
    ],
)
def test_an_interval_shows_what_is_promised_the_opposite_or_neither(growth, interval, promised, said):
    assert growth.verdict(growth.Slope(sum(interval) / 2, *interval, last=1.0), promised) == said


def test_the_table_and_the_picture_tell_both_costs(growth, tmp_path):
    curves = [
        curve(growth, growth.TIME, 1.0, lambda size: 0.5 * size),
        curve(growth, growth.MEMORY, 0.0, lambda size: 20.0),
    ]
    head = ["capture, by tokens"]
    assert growth.rows(curves) == [
        [*head, "processor time", "0.5 s at 1 to 4 s at 8", "1.00 (1.00 to 1.00)", "1.00", "linear at most: kept"],
        [*head, "peak memory", "20 MiB at 1 to 20 MiB at 8", "0.00 (0.00 to 0.00)", "0.00", "flat: kept"],
    ]
    growth.picture(curves, tmp_path / "one.svg")
    growth.picture(curves, tmp_path / "two.svg")
    drawn = (tmp_path / "one.svg").read_text(encoding="utf-8")
    assert drawn == (tmp_path / "two.svg").read_text(encoding="utf-8")
    assert all(label in drawn for label in ("processor time, s", "peak memory, MiB", "tokens"))


@pytest.mark.slow
def test_every_kind_of_work_runs(benches, tmp_path):
    import scaling
    import stage_works

    toy = stage_works.written_toy(tmp_path / "toy", packaged.tokenizer())
    for name, axis in scaling.AXES.items():
        scratch = tmp_path / name
        scratch.mkdir()
        axis.make(toy, scratch, axis.least)()
        assert name == "width" or any(scratch.iterdir())
