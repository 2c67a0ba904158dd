"""The config as its files have it: which file gives each key, and what YAML would bend without a word.

Snakemake merges its config files before any code of ours runs, so they are read once more here, strictly
(`trimtab.artifacts.strict_yaml`). Errors then name the file that a key was written in. `--config` is read here too,
since Snakemake leaves everything inside its lists and mappings as text. What the values should be is
`trimtab.config.check`.
"""

import re
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from trimtab.artifacts import strict_yaml
from trimtab.artifacts.schemas import dotted
from trimtab.errors import TrimtabError
from trimtab.jobs.origins import CONFIG, Origins
from trimtab.vectors.methods import EVERY, expanded

COMMAND_LINE = "--config"
"""What stands for a file's name where a key came from the command line."""

WILDCARD = re.compile(r"\{(?:layer|trait)\}")
"""What a path may hold in place of a name."""


def read(default: Path, files: Sequence[Path], words: Mapping[str, Any]) -> Origins:
    """Read the default experiment's file, the user's in the order in which Snakemake merges them, and `--config`.

    Raises:
        TrimtabError: one line a problem, with file and line.
    """
    origins, problems = Origins(), list[str]()
    for path in (default, *files):
        name = _named(path, default)
        try:
            keys = strict_yaml.keys(path.read_text(encoding="utf-8"), name)
        except TrimtabError as error:
            problems.append(str(error))
        else:
            origins.files.update(dict.fromkeys(keys, name))
    for where in _paths(words, ()):
        origins.files[dotted(where)] = COMMAND_LINE
    if problems:
        raise TrimtabError("\n".join(problems))
    return origins


def take_words(config: MutableMapping[Any, Any], words: Mapping[str, Any]) -> None:
    """Give values in lists and mappings of `--config` the type that they would have in a file.

    Snakemake has merged them as texts: `--config 'saes={k: 4}'` arrives as "4".
    """
    _retype(config, {key: value for key, value in words.items() if isinstance(value, Mapping | list)})


def _retype(section: MutableMapping[Any, Any], words: Mapping[str, Any]) -> None:
    for word, value in words.items():
        merged, key = section.pop(word), yaml.safe_load(word)
        if isinstance(value, Mapping):
            # a layer is a number in a file and a text on the command line, so that Snakemake didn't merge the two
            known = section.get(key)
            section[key] = {**(known if isinstance(known, Mapping) else {}), **merged}
            _retype(section[key], value)
        else:
            section[key] = _typed(value)


def _typed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {yaml.safe_load(key): _typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_typed(inner) for inner in value]
    return yaml.safe_load(value) if isinstance(value, str) else value


def settle(value: Any) -> Any:
    """The same value for the same number: 1.0 is written as 1, so that the spelling reruns nothing."""
    if isinstance(value, Mapping):
        return {key: settle(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [settle(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def take_groups(config: Mapping[str, Any]) -> None:
    """Put methods in the place of the groups that `vectors.methods` names; what is no list of texts is left alone."""
    section = config.get("vectors")
    if isinstance(section, MutableMapping):
        given = [EVERY] if (value := section.get("methods")) == EVERY else value
        if isinstance(given, list) and all(isinstance(name, str) for name in given):
            section["methods"] = [*expanded(given)]


def take_paths(config: MutableMapping[Any, Any], origins: Origins, checkout: Path) -> None:
    """Complete the relative paths of files that lie in the checkout: they count from there.

    Those of any other file, and of the command line, count from the folder that Snakemake works in.
    """
    here = Path.cwd().resolve()
    if here == checkout.resolve():
        return
    for section, key in (("", "resources"), ("model", "source"), ("saes", "pretrained"), ("vectors", "imported")):
        values = config.get(section) if section else config
        if not isinstance(values, MutableMapping):
            continue
        value = values.get(key)
        file = origins.of(f"{section}.{key}".removeprefix("."))
        ours = file == CONFIG or Path(file).resolve().is_relative_to(checkout.resolve())
        if not isinstance(value, str) or not ours or file == COMMAND_LINE:
            continue
        # a source may be the name of something that is no path; a pattern of paths is known by the folder that it is in
        named = WILDCARD.split(value)[0]
        if (checkout / (named if named == value else Path(f"{named}.").parent)).exists():
            values[key] = str(checkout / value)


def _named(path: Path, default: Path) -> str:
    """The file as its user would name it: relative to the working folder where it lies below."""
    if path == default:
        return CONFIG
    resolved = path.resolve()
    return str(resolved.relative_to(Path.cwd())) if resolved.is_relative_to(Path.cwd()) else str(path)


def _paths(value: Any, where: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if where:
        yield where
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        yield from _paths(inner, (*where, key))
