"""What a finished run says in a terminal: where its page is, and what that found, in the page's own words."""

import html
import re
from pathlib import Path

HEADLINE = re.compile(r'<section id="abstract".*?<p><strong>(.*?)</strong></p>', re.DOTALL)
"""The declared tests' outcome, in the page."""


def headline(page: str) -> str | None:
    """The outcome of the declared tests, or None of a text that is no report's page."""
    found = HEADLINE.search(page)
    return None if found is None else html.unescape(found[1])


def ending(page: Path, since: float) -> list[str]:
    """Lines for the end of a run that began at `since` (seconds of the epoch); none if it made no page."""
    if not page.is_file() or page.stat().st_mtime < since:
        return []
    found = headline(page.read_text(encoding="utf-8"))
    return ["", *([found] if found else []), f"The report is {page}"]
