"""A user's own files as a source of the corpus: which they are, and their texts.

Nothing heavy is imported before texts are read: the workflow asks for the files at every start, to see changes.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trimtab.errors import TrimtabError
from trimtab.seeds import derive

PREFIX = "local_"
"""How the names of such sources begin."""

BESIDE = "beside_model"
"""Name of the source that lies in the model's own folder."""


def paths(sources: Mapping[str, Any], resources: Path) -> dict[str, list[Path]]:
    """The files of each local source that a corpus.yaml in `resources` names.

    Raises:
        TrimtabError: a source has none.
    """
    found = {}
    for name, source in sources.items():
        if name.startswith(PREFIX):
            folder, key = resources / source["folder"], f"corpus.yaml, sources.{name}"
            found[name] = matching(folder, source["files"], key)
            if not found[name]:
                raise TrimtabError(f"{key}.files: {source['files']!r} matches no file of {folder}")
    return found


def own_files(sources: Mapping[str, Any], resources: Path, model: Path) -> list[Path]:
    """All files of the user's own that a corpus.yaml in `resources` names: of local sources, and beside the model.

    Args:
        model: its folder; of a model that lies in none of the user's, nothing is beside it.
    """
    found = [path for some in paths(sources, resources).values() for path in some]
    return found + ([model / sources[BESIDE]["file"]] if BESIDE in sources and model.is_dir() else [])


def matching(folder: Path, pattern: str, key: str) -> list[Path]:
    """The files of a folder whose names match.

    Args:
        key: of the source in the config, for an error.

    Raises:
        TrimtabError: there is no such pattern.
    """
    try:
        return sorted(path for path in folder.glob(pattern) if path.is_file())
    except (ValueError, NotImplementedError) as error:
        raise TrimtabError(f"{key}.files: {pattern!r}; expected a pattern below the folder ({error})") from error


def documents(name: str, source: Mapping[str, Any], resources: Path, seed: int) -> Iterator[tuple[str, str]]:
    """Id and text of each row that holds any, the files in random order.

    Raises:
        TrimtabError: no file matches, or one can't be read.
    """
    from trimtab.prompts.texts import texts

    folder, key = resources / source["folder"], f"corpus.yaml, sources.{name}"
    found = paths({name: source}, resources)[name]
    for place in np.random.default_rng(derive(seed, "prompts", "sources", name)).permutation(len(found)):
        path = found[place]
        for number, text in texts(path, source.get("column"), key):
            yield f"{path.relative_to(folder).as_posix()}/{number}", text
