"""What made each artifact, kept beside the artifacts, so that a lost `.snakemake` hides no change of settings.

Snakemake remembers the parameters, inputs and rule of each file in `.snakemake/metadata` of the folder that it works
in, and takes a file without such a record as made by whatever the config says now. So a new clone beside old results,
or a deleted `.snakemake`, would make every change look like none; and of two checkouts whose results are one disk, each
would go by its own memory. Here the records are written to `records.json` of the results as well, at the beginning of a
run and at its end, and given back to Snakemake where its own are lost or older. It then plans what it would have.

While a run is at work, what it is going to make has no record (null). Whoever finds it so after a kill, and remembers
no better, makes it anew.

A copy of an experiment's folder brings its records along: under the copy's name they say the same, so that another
experiment can begin with what it has in common with this one.
"""

import binascii
import contextlib
import json
import os
import re
import shutil
import sys
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from trimtab.artifacts import files
from trimtab.errors import TrimtabError

METADATA = Path(".snakemake", "metadata")
"""Snakemake's own records, one file an artifact, below the folder that it works in."""

SEEN = Path(".snakemake", "trimtab")
"""Of the notes, one an experiment, which `records.json` this working folder knows."""

UNKNOWN = {"params": ["made by a run that was killed"], "record_format_version": 6}
"""A record in Snakemake's format that equals no job's, so that the job runs again."""


def restore(results: Path) -> str | None:
    """Give Snakemake the records of an experiment's artifacts that it has lost, or that another checkout renewed.

    Args:
        results: the experiment's folder, as rules name it.

    Returns:
        A line for the user; None where there was nothing to do.
    """
    kept = results / "records.json"
    # the common case, which every start pays for
    if _seen(results).is_file() and _seen(results).read_text() == _state(kept) and _holds_something(METADATA):
        return None
    if not kept.is_file():
        manifest = results / "model" / "manifest.json"
        if not manifest.is_file() or _path_of(str(manifest)).is_file():
            return None
        return (
            f"{results}: nothing says which settings made these artifacts, so a change of settings since reruns none; "
            "`snakemake --touch` accepts them, deleting them makes them anew"
        )
    restored = 0
    for artifact, record in _named(files.read_json(kept), results).items():
        path = _path_of(artifact)
        if Path(artifact).exists() and _is_newer(record, path):
            _record(artifact, UNKNOWN if record is None else record)
            restored += 1
    _see(results)
    if not restored:
        return None
    return f"{kept}: says what made {restored} artifacts of which .snakemake has no record or an older one"


def keep(results: Path, about_to_be_made: Collection[str] = ()) -> None:
    """Write down beside the artifacts what Snakemake has recorded of them."""
    prefix = f"{results}/"
    found = {artifact: record for artifact, record in _recorded(prefix) if Path(artifact).exists()}
    found |= {artifact: None for artifact in about_to_be_made if artifact.startswith(prefix)}
    try:
        files.write_json(results / "records.json", found)
        _see(results)
    except PermissionError:
        # results that can't be written to aren't made by this run
        return
    except TrimtabError as error:
        # on a full disk a job that needs room ends the run; what finished is remembered by .snakemake
        print(error, file=sys.stderr)


def of_other(other: Path, results: Path) -> dict[str, Any]:
    """What made another experiment's artifacts, as this one's records would say it."""
    kept = other / "records.json"
    return _named(files.read_json(kept), results) if kept.is_file() else {}


def adopt(results: Path, other: Path, artifacts: Collection[str]) -> None:
    """Let artifacts of another experiment stand in this one's folder as well, with the records of what made them.

    Args:
        artifacts: by the names that they get here.
    """
    made = of_other(other, results) if artifacts else {}
    for artifact in artifacts:
        path, twin = Path(artifact), other / Path(artifact).relative_to(results)
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        if twin.is_dir():
            shutil.copytree(twin, path, copy_function=_link)
        else:
            _link(twin, path)
        _record(artifact, made[artifact])


def forget(artifacts: Iterable[str]) -> None:
    """Let Snakemake make these anew: what they are made from may be older than they are, and is other than it was."""
    for artifact in artifacts:
        if Path(artifact).exists():
            _record(artifact, UNKNOWN)


def _link(file: str | Path, link: str | Path) -> None:
    """A second name for a file; a copy where the file system knows no such thing."""
    try:
        os.link(file, link)
    except OSError:
        shutil.copy2(file, link)


def _record(artifact: str, record: dict[str, Any]) -> None:
    path = _path_of(artifact)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))


def _named(kept: dict[str, Any], results: Path) -> dict[str, Any]:
    """Records of an experiment's folder under the name that it has now, which a copy was made without."""
    before = {str(Path(*Path(artifact).parts[: len(results.parts)])) for artifact in kept} - {str(results)}
    if not before:
        return kept
    text = json.dumps(kept, ensure_ascii=False)
    for name in before:
        text = re.sub(rf"{re.escape(name)}(?![\w.-])", str(results), text)
    renamed: dict[str, Any] = json.loads(text)
    return renamed


def _recorded(prefix: str) -> Iterator[tuple[str, dict[str, Any] | None]]:
    for folder, _, names in os.walk(METADATA):
        for name in names:
            path = Path(folder, name)
            coded = "".join(part.removeprefix("@") for part in path.relative_to(METADATA).parts)
            # a file that isn't Snakemake's, or that a killed Snakemake left half written
            with contextlib.suppress(binascii.Error, ValueError):
                artifact = urlsafe_b64decode(coded).decode()
                if artifact.startswith(prefix):
                    record = json.loads(path.read_text())
                    yield artifact, None if record.get("params") == UNKNOWN["params"] else record


def _path_of(artifact: str) -> Path:
    """Where Snakemake looks for an artifact's record: its name in base64, in pieces that a file's name can have."""
    longest = os.pathconf(".", "PC_NAME_MAX") - 1
    coded = urlsafe_b64encode(artifact.encode()).decode()
    *folders, name = [coded[at : at + longest] for at in range(0, len(coded), longest)]
    return METADATA.joinpath(*(f"@{folder}" for folder in folders), name)


def _is_newer(record: dict[str, Any] | None, path: Path) -> bool:
    """Whether the record is of a later making than the one at `path`, if any."""
    if record is None or not path.is_file():
        return True
    try:
        return bool(record["endtime"] > json.loads(path.read_text())["endtime"])
    except (ValueError, KeyError):
        return True


def _seen(results: Path) -> Path:
    """The file that says which state of `records.json` this working folder wrote or read last."""
    return SEEN / f"{results.name}.records"


def _see(results: Path) -> None:
    SEEN.mkdir(parents=True, exist_ok=True)
    _seen(results).write_text(_state(results / "records.json"))


def _state(path: Path) -> str:
    try:
        found = path.stat()
    except FileNotFoundError:
        return ""
    return f"{found.st_mtime_ns} {found.st_size} {found.st_ino}"


def _holds_something(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
