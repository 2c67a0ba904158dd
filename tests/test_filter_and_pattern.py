"""The picture of filter and pattern is drawn from what it says."""

import numpy as np
import pytest
from project import script_of_docs


@pytest.fixture(scope="module")
def page():
    return script_of_docs("filter_and_pattern")


def test_the_pattern_is_the_difference_of_means_and_the_filter_is_not(page):
    points, pole = page.rows()
    gap = points[pole == 1].mean(axis=0) - points[pole == -1].mean(axis=0)
    found = page.directions(points, pole)
    np.testing.assert_allclose(found["pattern"], gap / np.linalg.norm(gap), atol=1e-12)
    np.testing.assert_allclose(found["pattern"], [1, 0], atol=0.03)
    np.testing.assert_allclose(found["filter"], [0.5**0.5, -(0.5**0.5)], atol=0.03)


@pytest.mark.slow
def test_the_figure_is_what_is_drawn(page, tmp_path):
    page.draw(tmp_path / "drawn.svg")
    assert (tmp_path / "drawn.svg").read_bytes() == page.FIGURE.read_bytes()
