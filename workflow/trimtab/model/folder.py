"""A model's folder as files: which of them make the model what it is, and whether they are still the manifest's.

Nothing here loads a model, or needs torch: the workflow asks at every start whether a source that lies on this machine
has changed since the manifest was made.
"""

import importlib.util
from pathlib import Path

from trimtab.artifacts import fingerprint
from trimtab.artifacts.manifest import Manifest
from trimtab.errors import TrimtabError
from trimtab.model.names import GGUF

PACKAGE = "package:"
WEIGHTS = "*.safetensors"
OTHERS = ("*.json", "*.txt", "*.jinja", "*.model", "additional_chat_templates/*.jinja")
"""Configs, tokenizers, templates, of which the library looks for those with a name in a folder of their own."""

FILES = (WEIGHTS, *OTHERS)
"""What makes a model, and what of a hub's snapshot is downloaded."""


KEYS = {"weights": (WEIGHTS,), "files": OTHERS}
"""Keys of the manifest that hold SHA-256 of such files by name."""


def packaged_file(source: str) -> Path:
    """Path of the file that `package:<package>/<file>` names, found without importing the package."""
    package, _, name = source.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or spec.origin is None:
        raise TrimtabError(f"config.yaml, model.source: package {package!r} is not installed; see envs/data.txt")
    path = Path(spec.origin).parent / name
    if not path.is_file():
        raise TrimtabError(f"config.yaml, model.source: {name!r} is not a file of package {package!r}")
    return path


def gguf_file(source: str) -> Path:
    """Path of the GGUF file that a source names, inside a package or as it is.

    Raises:
        TrimtabError: it isn't there.
    """
    if source.startswith(PACKAGE):
        return packaged_file(source)
    if not Path(source).is_file():
        raise TrimtabError(f"config.yaml, model.source: {source!r} is no file here")
    return Path(source)


def source_digest(source: str) -> str:
    """What a source that can change in place holds now; empty for one that can't (a commit of the hub) or isn't here.

    That a file isn't there is for the job to say, which can name what it needs.
    """
    if GGUF.fullmatch(source):
        try:
            return fingerprint.digest(gguf_file(source))
        except TrimtabError:
            return ""
    folder = Path(source)
    return fingerprint.digest(folder, FILES) if folder.is_dir() else ""


def verify(manifest: Path, described: Manifest) -> None:
    """Pass a manifest whose model's folder holds what it held when the manifest was made.

    Raises:
        TrimtabError: a file changed, is gone or has come since.
    """
    folder = Path(described.path)
    kept = {"weights": described.weights, "files": described.files}
    if not folder.is_dir():
        raise TrimtabError(f"{manifest}, path: no folder {folder}, which held the model")
    for key, patterns in KEYS.items():
        # a manifest of an earlier version says nothing of files that hold no weights
        if (said := kept[key]) is None:
            continue
        found = fingerprint.contents(folder, patterns)
        for name in sorted(said.keys() | found.keys()):
            if said.get(name) != found.get(name):
                raise TrimtabError(
                    f"{folder / name}: SHA-256 {_short(found.get(name))}; {manifest} says {_short(said.get(name))}. "
                    "The model changed after its manifest was made: delete the manifest and run again, so that "
                    "nothing mixes the two"
                )


def _short(digest: str | None) -> str:
    return "of no such file" if digest is None else f"{digest[:12]}..."
