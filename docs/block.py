"""Lines that a script writes into a page of these docs, between two comments, of which the first names the script."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Block(NamedTuple):
    name: str
    script: str
    """Its path in the repository."""

    @property
    def begin(self) -> str:
        return f"<!-- {self.name}: written by {self.script} -->\n"

    @property
    def end(self) -> str:
        return f"<!-- end of the {self.name} -->"

    def of(self, page: str) -> str:
        """What stands between the comments."""
        return self._parts(page)[1]

    def within(self, page: str, lines: Iterable[str]) -> str:
        """The page with these lines in place of those before."""
        before, _, after = self._parts(page)
        return "".join([before, self.begin, *(f"{line}\n" for line in lines), self.end, after])

    def write(self, page: Path, lines: Iterable[str]) -> None:
        page.write_text(self.within(page.read_text(encoding="utf-8"), lines), encoding="utf-8")

    def _parts(self, page: str) -> tuple[str, str, str]:
        before, begin, rest = page.partition(self.begin)
        between, end, after = rest.partition(self.end)
        if not (begin and end):
            raise SystemExit(f"{self.script}: a page has no lines {self.begin.strip()} and {self.end}")
        return before, between, after


def as_markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table."""
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    yield from (f"| {' | '.join(row)} |" for row in rows)
