"""What `make organism` found, in docs/organism.md: each organism's claims, and what its methods recover and leak.

`python docs/organism.py results` writes what stands between two comments, from the runs that the Makefile names;
numbers are those of organisms.html.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from block import ROOT, Block, as_markdown

from trimtab.artifacts import files
from trimtab.organism.page import claimed, of_methods
from trimtab.organism.tables import Organisms, Table, Training

PAGE = Path(__file__).with_suffix(".md")
BLOCK = Block("trainings", "docs/organism.py")
DOSE, METHOD = 1.0, "sae_probe"
"""As the Makefile asks of the page."""
KEPT = ("recovered", "leak (median trait)", "largest leak")


def runs(results: Path) -> Organisms:
    """The trainings that are there of each organism, the first one's with rollouts."""
    (names,) = re.findall(r"^ORGANISMS := (.+)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    found: dict[str, Sequence[Training]] = {}
    for name in names.split():
        first = results / name
        others = sorted(results.glob(f"{name}.*"), key=lambda path: int(path.suffix[1:]))
        tables = [first / "organism/recovery.csv", *(other / "organism/answers.csv" for other in others)]
        found[name] = [Training(pd.read_csv(table), _processor(table.parents[1])) for table in tables]
    return found


def _processor(run: Path) -> str:
    return str(files.read_json(run / "model/training.provenance.json")["processor"])


def lines(organisms: Organisms) -> Iterator[str]:
    for claims, methods in zip(
        claimed(organisms, DOSE, METHOD).tables, of_methods(organisms, DOSE).tables, strict=True
    ):
        yield f"\n### {claims.caption}\n"
        yield from kept(claims, claims.head[:2])
        yield f"\nVectors at dose {DOSE:g}, in shares of the residual norm, and all tokens:\n"
        yield from kept(methods, [methods.head[0], *(name for name in KEPT if name in methods.head)])


def kept(table: Table, columns: Sequence[str]) -> Iterator[str]:
    """Some columns of a table of the page."""
    places = [table.head.index(name) for name in columns]
    yield from as_markdown(columns, ([row[at].text for at in places] for row in table.rows))


if __name__ == "__main__":
    BLOCK.write(PAGE, lines(runs(Path(sys.argv[1]))))
