"""The two parts of the corpus: documents that dictionaries are trained on, and documents that are held out.

`trimtab.prompts.corpus` divides it; here its rows are read again, for jobs that need one part.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trimtab.artifacts import files

TRAIN, HELD_OUT = "train", "held_out"


def rows_of(corpus: Path, split: str) -> Iterator[dict[str, Any]]:
    """Rows of corpus.jsonl that are of one part, in its order, one at a time."""
    return (row for row in files.each_jsonl(corpus) if row["split"] == split)


def ids_of(corpus: Path, split: str) -> set[str]:
    """Names of the documents of one part."""
    return {row["id"] for row in rows_of(corpus, split)}
