"""Conversations of a data set on the Hugging Face hub, from its Parquet files at a fixed commit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from trimtab.errors import TrimtabError
from trimtab.seeds import derive

ROWS = 64
"""Rows read at a time: a budget of tokens often ends within the first file."""


def conversations(name: str, recipe: dict[str, Any], seed: int) -> Iterator[tuple[str, str]]:
    """Id and text of each conversation, its files in random order.

    Raises:
        TrimtabError: the files can't be had, or lack the column.
    """
    root = _downloaded(name, recipe)
    paths = sorted(root.glob(recipe["files"]))
    for place in np.random.default_rng(derive(seed, "prompts", "sources", name)).permutation(len(paths)):
        opened = pq.ParquetFile(paths[place])
        if recipe["column"] not in opened.schema_arrow.names:
            columns = ", ".join(opened.schema_arrow.names)
            raise TrimtabError(f"corpus.yaml, sources.{name}.column: {recipe['column']} is none of {columns}")
        number = 0
        for batch in opened.iter_batches(ROWS, columns=[recipe["column"]]):
            for turns in batch.column(0).to_pylist():
                text = "\n".join(f"{turn['role'].capitalize()}: {turn['content'].strip()}" for turn in turns)
                yield f"{paths[place].name}/{number}", text
                number += 1


def _downloaded(name: str, recipe: dict[str, Any]) -> Path:
    # here and not above: importing the hub's library costs half a second, and most corpora don't need it
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    source, revision = recipe["dataset"], recipe["revision"]
    try:
        folder = snapshot_download(source, repo_type="dataset", revision=revision, allow_patterns=[recipe["files"]])
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        cause = str(error).splitlines()[0]
        raise TrimtabError(f"corpus.yaml, sources.{name}: {source} can't be had at {revision} ({cause})") from error
    return Path(folder)
