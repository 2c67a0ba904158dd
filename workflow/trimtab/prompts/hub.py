"""Texts of a data set on the Hugging Face hub, from its files at a fixed commit (`trimtab.prompts.texts`)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trimtab.artifacts.border import readable
from trimtab.errors import TrimtabError
from trimtab.prompts.local import matching
from trimtab.prompts.texts import texts
from trimtab.seeds import derive


def conversations(name: str, recipe: dict[str, Any], seed: int) -> Iterator[tuple[str, str]]:
    """Id and text of each row that holds any, the files in random order.

    Raises:
        TrimtabError: the files can't be had or read, none matches, they lack the column, or it holds no texts.
    """
    root = _downloaded(name, recipe)
    paths = matching(root, recipe["files"], f"corpus.yaml, sources.{name}")
    if not paths:
        raise TrimtabError(
            f"corpus.yaml, sources.{name}.files: {recipe['files']!r} matches no file of {recipe['dataset']}"
        )
    for place in np.random.default_rng(derive(seed, "prompts", "sources", name)).permutation(len(paths)):
        path = paths[place]
        for number, text in texts(path, recipe["column"], f"corpus.yaml, sources.{name}"):
            yield f"{path.name}/{number}", text


def _downloaded(name: str, recipe: dict[str, Any]) -> Path:
    # here and not above: importing the hub's library costs half a second, and most corpora don't need it
    from huggingface_hub import snapshot_download

    source, revision = recipe["dataset"], recipe["revision"]
    with readable(f"corpus.yaml, sources.{name}: {source} can't be had at {revision}"):
        return Path(snapshot_download(source, repo_type="dataset", revision=revision, allow_patterns=[recipe["files"]]))
