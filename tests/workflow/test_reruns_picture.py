"""The picture of what a change reruns is of the tables that are tested, and so is the number that the page says."""

import re

from drawn import FILE, svg
from project import ROOT
from test_reruns import CODE, CONFIG, PACKAGES


def test_the_picture_is_of_the_tables() -> None:
    assert FILE.read_text() == svg()


def test_the_page_says_how_many_changes_it_shows() -> None:
    (said,) = re.findall(r"!\[(\d+) of these changes", (ROOT / "docs/reruns.md").read_text())
    assert int(said) == sum(map(len, (CONFIG, CODE, PACKAGES)))
