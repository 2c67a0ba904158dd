"""Lines that scripts write into the docs stand between their comments, once, however often they are written."""

import pytest
from block import Block

BLOCK = Block("thing", "docs/thing.py")
PAGE = "# Title\n\n<!-- thing: written by docs/thing.py -->\nold\n<!-- end of the thing -->\n\nMore.\n"


def test_later_lines_take_the_place_of_earlier_ones():
    once = BLOCK.within(PAGE, ["new", "lines"])
    assert once == PAGE.replace("old", "new\nlines")
    assert BLOCK.within(once, ["old"]) == PAGE
    assert BLOCK.of(PAGE) == "old\n"


def test_a_page_without_a_place_is_refused():
    with pytest.raises(SystemExit, match=r"docs/thing\.py: a page has no lines <!-- thing: written by"):
        BLOCK.within("# Title\n", ["new"])
