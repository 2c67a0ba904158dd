"""The page of a small league: what it says of winners, ties and methods that are missing, and the picture's front."""

import pandas as pd
import pytest
from league_tables import DOSE, TRUTHS, law, tables

from trimtab.league.agreement import Agreement
from trimtab.league.columns import EFFECT, HARM
from trimtab.league.numbers import numbers
from trimtab.league.page import page, said
from trimtab.league.picture import picture, points
from trimtab.league.table import league
from trimtab.league.winners import Purpose
from trimtab.report.figures import save


@pytest.fixture(scope="module")
def rows():
    left_out = [("lda", trait) for trait in ("autonomy", "deference", "persistence")]
    parts = [
        numbers(tables(truth, seed, left_out), law(truth), DOSE)
        .reset_index()
        .assign(truth=truth, organism=f"{truth}.{seed}")
        for truth in TRUTHS
        for seed in (1, 2)
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.slow
def test_the_page_of_a_small_league(rows, tmp_path):
    found = league(rows)
    save(lambda: picture(found.table, "all"), tmp_path, "league")
    missing = pd.DataFrame([("lda", "autonomy", "no <pair> is of one mean")], columns=["method", "trait", "why"])
    agreements = {"smollm2": [Agreement("Kendall's tau", 0.25, -0.1, 0.5, 4)]}
    text = page(rows, found, missing, tmp_path / "league.svg", agreements, kl=0.2, dose=DOSE)
    assert "4 organisms: 2 of the truth five_axes and 2 of the truth one_axis; 6 methods" in text
    assert "none can be told" in text
    assert "0 of 4</td><td>no &lt;pair&gt; is of one mean" in text
    assert "0.25 [-0.10, 0.50]" in text
    assert "make league METHODS=mine.yaml" in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    mean = rows[rows["method"] == "behaviour"][EFFECT].mean()
    assert f"<td>{mean:.2f} [" in text


def test_a_winner_and_a_tie_are_said_apart():
    alone = Purpose("to move", EFFECT, ["pca"], candidates=9, p=0.001)
    assert said(alone) == "PCA (of 9 methods; Friedman p 0.001)."
    # Nemenyi alone names nobody
    assert Purpose("to move", EFFECT, ["pca"], candidates=9, p=0.3).winner is None
    several = said(Purpose("to move", EFFECT, ["pca", *["lda"] * 8], candidates=9, p=0.001))
    assert several.startswith("none can be told; 9 of 9 methods can't be told from the best: PCA, ")
    assert several.endswith("and 3 more.")


def test_the_front_is_what_no_other_method_beats_in_both():
    numbers_of = {"pca": (1.0, 0.5), "lda": (0.8, 0.1), "raw_probe": (0.7, 0.2), "random": (0.0, -1.0)}
    # the last is far ahead in the one organism that has it
    numbers_of["cast"] = (9.0, -9.0)
    rows = [
        {"truth": "all", "method": method, "column": column, "organisms": 1 if method == "cast" else 2}
        | dict.fromkeys(("estimate", "lower", "upper"), value)
        for method, values in numbers_of.items()
        for column, value in zip((EFFECT, HARM), values, strict=True)
    ]
    found = points(pd.DataFrame(rows), "all")["front"]
    assert found.to_dict() == {"pca": True, "lda": True, "raw_probe": False, "random": False}
