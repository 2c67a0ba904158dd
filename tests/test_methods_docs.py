"""What docs/methods.md says of every method is what the table beside it says, and no method is missing."""

import pandas as pd
import pytest
from project import ROOT, script_of_docs

from trimtab.vectors import methods


@pytest.fixture(scope="module")
def docs():
    return script_of_docs("methods")


@pytest.fixture(scope="module")
def table(docs):
    return pd.read_csv(docs.TABLE)


def test_the_page_is_that_of_the_table(docs, table):
    page = docs.PAGE.read_text()
    assert docs.BLOCK.within(page, docs.shown(table, pd.read_csv(docs.LEAGUE))) == page
    # one figure by hand
    (own,) = table[(table["method"] == "mean_difference") & (table["trait"] == "autonomy")].to_dict("records")
    assert f"| mean difference | {own['estimate']:.2f} ({own['lower']:.2f} to {own['upper']:.2f}) |" in page


def test_every_method_was_compared_or_says_why_not(table):
    controls = {*methods.members("controls")}
    for trait, own in table.groupby("trait"):
        there = {*own.loc[own["estimate"].notna(), "method"], *own.loc[own["why"].notna(), "method"]}
        assert {*methods.known()} - controls - {methods.IMPORTED} - there == set(), trait


def test_a_run_without_a_method_has_it_in_its_own_line(docs):
    rows = pd.DataFrame(
        {
            "method": ["seal", "seal", "pca", "pca"],
            "trait": ["autonomy", "deference"] * 2,
            "estimate": [None, None, 0.25, 0.5],
            "lower": [None, None, 0.125, 0.25],
            "upper": [None, None, 0.375, 0.75],
            "random_as_large": [None, None, 1, 2],
            "random_draws": [None, None, 99, 99],
            "seconds": [None, None, 2.0, 4.0],
            "forwards": [None, None, 8, 8],
            "backwards": [None, None, 0, 0],
            "why": ["no pauses", "no pauses", None, None],
        }
    )
    league = pd.DataFrame(
        {"truth": ["five_axes"], "column": ["recovered"], "method": ["pca"], "estimate": [0.875], "lower": [0.5]}
    )
    heads, _, row, _, left_out = docs.shown(rows, league)
    assert heads.startswith("| method | autonomy (95 %) | deference (95 %) | random as good | needs | seconds |")
    assert row == ("| PCA | 0.25 (0.12 to 0.38) | 0.50 (0.25 to 0.75) | 1/99, 2/99 |  | 3 | 8 | 0 | 0.88 |  |")
    assert left_out == "- Left out: SEAL (autonomy), SEAL (deference): no pauses"


def test_the_docs_lead_there():
    assert "(methods.md)" in (ROOT / "docs/literature.md").read_text()
    assert "methods.md" in (ROOT / "mkdocs.yml").read_text()
