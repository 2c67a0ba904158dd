"""The gallery's page is what its script writes of the files beside it, and they are small and fetch nothing."""

import re

import pytest
from project import script_of_docs

from trimtab.report.ending import headline


@pytest.fixture(scope="module")
def gallery():
    return script_of_docs("gallery")


def test_the_page_is_of_the_report_beside_it(gallery):
    found = headline((gallery.FOLDER / gallery.REPORT).read_text())
    assert gallery.PAGE.read_text() == "\n".join(gallery.lines(found)) + "\n"
    assert {path.name for path in gallery.FOLDER.glob("*.html")} == {gallery.REPORT, *gallery.OTHERS}
    assert {path.stem for path in gallery.FOLDER.glob("*.svg")} == set(gallery.SHOWN)


def test_pages_are_small_and_fetch_nothing(gallery):
    for page in gallery.FOLDER.glob("*.html"):
        assert page.stat().st_size < 2_000_000
        assert not re.search(r'(?:src|href)="(?:https?:)?//', page.read_text())
