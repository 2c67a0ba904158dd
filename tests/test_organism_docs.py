"""What docs/organism.md says of trainings is what the page of organisms in the gallery says."""

import html
import re

from project import ROOT, script_of_docs


def test_every_number_of_the_docs_stands_on_the_page():
    docs = script_of_docs("organism")
    page = html.unescape(re.sub(r"<[^>]+>", "\n", (ROOT / "docs/gallery/organisms.html").read_text()))
    said = {" ".join(line.split()) for line in page.splitlines()}
    block = docs.BLOCK.of(docs.PAGE.read_text())
    rows = [line.strip("| ").split(" | ") for line in block.splitlines() if line.startswith("| ")]
    cells = {cell.strip() for row in rows for cell in row if cell.strip()}
    assert len(cells) > 100
    assert cells - said == set()
    # five trainings of each of three organisms
    assert re.findall(r"^### (\S+), (\d+) trainings", block, flags=re.MULTILINE) == [
        (name, "5") for name in ("organism", "organism-one-axis", "organism-attention")
    ]
