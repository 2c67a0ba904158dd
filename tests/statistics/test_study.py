"""The study's published table is a known answer: its 0/1 outcomes can be rebuilt from the means."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from trimtab.statistics.corrections import corrected
from trimtab.statistics.study import PUBLISHED, study, unpaired


def share(ones: int, n: int = 50) -> np.ndarray:
    return np.r_[np.ones(ones), np.zeros(n - ones)]


@pytest.mark.parametrize(
    ("treated", "baseline", "d", "p"),
    [
        # autonomy vector: means .92 against .54, published 0.938 (2.1e-5), and -0.938 for deference, .08 against .46
        (46, 27, "0.938", "2.1e-05"),
        (4, 23, "-0.938", "2.1e-05"),
        # tool-use vector: .84 against .54, published 0.679 (.0013), and -0.679
        (42, 27, "0.679", "1.3e-03"),
        (8, 23, "-0.679", "1.3e-03"),
    ],
)
def test_published_table_to_the_printed_digit(treated, baseline, d, p):
    found = unpaired(share(treated), share(baseline))
    assert f"{found.d:.3f}" == d
    assert f"{found.p:.1e}" == p


def test_the_table_of_a_run():
    rows = []
    for condition, ones in (("unsteered", 27), ("autonomy", 46)):
        for scenario, value in enumerate(share(ones)):
            rows.append(
                {
                    "condition_id": condition,
                    "scenario_id": scenario,
                    "study_autonomy": value,
                    "study_deference": 1 - value,
                    "study_tool_use": 1.0,
                    "study_persistence": value * 2,
                    "study_risk": np.nan,
                }
            )
    conditions = pd.DataFrame(
        {"condition_id": ["unsteered", "autonomy"], "method": "x", "trait": "autonomy", "dose": 1, "timing": "all"}
    )
    table = study(pd.DataFrame(rows), conditions, "unsteered").set_index("proxy_of")
    published = PUBLISHED.set_index(["vector", "trait"]).loc[("autonomy", "autonomy")]
    assert round(table.loc["autonomy", "d"], 3) == published["published_d"]
    assert table.loc["deference", "d"] == pytest.approx(-table.loc["autonomy", "d"])
    assert np.isnan(table.loc["tool_use_eagerness", "d"])
    assert table.loc["tool_use_eagerness", "p"] == 1
    assert np.isnan(table.loc["risk_calibration", "p"])


def test_study_agrees_with_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.poisson(2, 40).astype(float), rng.poisson(3, 50).astype(float)
    assert unpaired(a, b).p == pytest.approx(stats.mannwhitneyu(a, b).pvalue)


def test_corrections_by_hand():
    p = np.array([0.01, 0.04, np.nan, 0.03])
    assert corrected(p, "holm") == pytest.approx([0.03, 0.06, np.nan, 0.06], nan_ok=True)
    assert corrected(p, "fdr_bh") == pytest.approx([0.03, 0.04, np.nan, 0.04], nan_ok=True)
