"""How docs/declared.py ranks methods on development data, and what its page says of the best."""

import numpy as np
import pandas as pd
import pytest
from project import script_of_docs


@pytest.fixture(scope="module")
def declared():
    return script_of_docs("declared")


@pytest.fixture
def told():
    """Two traits; `gradient` has no null of its own, and `pca` does most but nothing beyond its null."""
    rows = []
    for method, trait, moved, over_null, p, over_random in [
        ("behaviour", "a", 0.9, 0.6, 0.01, 0.7),
        ("behaviour", "b", 0.5, 0.2, 0.30, 0.1),
        ("pca", "a", 2.0, 0.1, 0.90, 1.9),
        ("pca", "b", 2.0, -0.1, 0.90, 1.9),
        ("gradient", "a", 3.0, None, None, 2.5),
        ("gradient", "b", 3.0, None, None, 2.5),
    ]:
        both = {"method": method, "trait": trait, "estimate": moved}
        for kind, gain in (("random", over_random + 0.05), ("corpus_random", over_random)):
            rows.append({**both, "null": kind, "without": "direction", "gain": gain, "p_corrected": 0.001})
        if over_null is not None:
            row = {"null": f"shuffled_{method}", "without": "trait", "gain": over_null, "p_corrected": p}
            rows.append({**both, **row})
    return pd.DataFrame(rows)


def test_the_best_does_most_beyond_its_own_null(declared, told):
    found = declared.ranked(told)
    assert list(found.index) == ["behaviour", "pca", "gradient"]
    best = found.loc["behaviour"]
    assert [*best[["moved", "over_null", "over_random", "shown"]]] == pytest.approx([0.7, 0.4, 0.4, 1])
    assert found.loc["pca", "shown"] == 0
    assert np.isnan(found.loc["gradient", "over_null"])
    assert found.loc["gradient", "over_random"] == pytest.approx(2.5)


def test_the_page_says_which_is_best_and_which_is_declared(declared, told):
    table = declared.ranked(told)
    same = declared.page(table, "behaviour", 0.1, 2)
    assert "The best of them is behaviour, which the default experiment declares." in same
    assert "| Behaviour | +0.70 | +0.40 | +0.40 | 1 |" in same
    assert "| +3.00 | none made | +2.50 | 0 |" in same
    other = declared.page(table, "pca", 0.1, 2)
    assert "The best of them is behaviour; the default experiment declares" in other
