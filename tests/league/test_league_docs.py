"""The docs' league is that of the rows beside it: its table, what two pages say, and a page that fetches nothing."""

import re

import pandas as pd
import pytest
from project import script_of_docs

from trimtab.league.columns import EFFECT
from trimtab.league.table import ALL, league


@pytest.fixture(scope="module")
def docs():
    return script_of_docs("league")


@pytest.fixture(scope="module")
def rows(docs):
    return pd.read_csv(docs.GALLERY / "rows.csv")


@pytest.mark.slow
def test_the_table_is_made_of_its_rows(docs, rows):
    shipped = pd.read_csv(docs.GALLERY / "league.csv")
    again = league(rows).table.reset_index(drop=True)
    pd.testing.assert_frame_equal(again, shipped, check_dtype=False, rtol=1e-6)


def test_what_the_pages_say_is_what_the_rows_say(docs, rows):
    for page, lines in docs.pages().items():
        assert docs.BLOCK.within(page.read_text(), lines) == page.read_text()
    # one figure of the table by hand
    own = rows[(rows["method"] == "mean_difference") & (rows["truth"] == "five_axes")]
    (line,) = (line for line in docs.pages()[docs.ROOT / "docs/league.md"] if line.startswith("| mean difference |"))
    assert line.startswith(f"| mean difference | {own[EFFECT].mean():.2f} (")
    assert rows["organism"].nunique() >= 10
    assert rows["method"].nunique() >= 30


def test_the_page_is_small_and_fetches_nothing(docs):
    page = docs.GALLERY / "league.html"
    assert page.stat().st_size < 2_000_000
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page.read_text())
    assert (docs.ROOT / "docs" / docs.PICTURE).read_text() in page.read_text() or "<svg" in page.read_text()
    assert ALL in set(pd.read_csv(docs.GALLERY / "league.csv")["truth"])
