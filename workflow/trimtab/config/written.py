"""The config as its files have it: which file gives each key, and what YAML would bend without a word.

Snakemake merges its config files before any code of ours runs, so they are read once more here, strictly
(`trimtab.artifacts.strict_yaml`). Errors then name the file that a key was written in. `--config` is read here too,
since Snakemake leaves everything inside its lists and mappings as text. What the values should be is
`trimtab.config.check`.
"""

import os
import re
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from trimtab.artifacts import strict_yaml
from trimtab.artifacts.schemas import dotted
from trimtab.errors import TrimtabError
from trimtab.jobs.origins import CONFIG, Origins
from trimtab.vectors.methods import EVERY, expanded

COMMAND_LINE = "--config"
"""What stands for a file's name where a key came from the command line."""

Place = tuple[str | int, ...]
"""Keys, and positions in lists."""

PATHS = (
    ("", "resources"),
    ("model", "source"),
    ("saes", "pretrained"),
    ("vectors", "imported"),
    ("vectors", "twin"),
)
"""Section and name of each key that is or may be a path."""

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
            keys = strict_yaml.keys(path, name)
        except FileNotFoundError:
            problems.append(f"{name}: no such file")
        except TrimtabError as error:
            problems.append(str(error))
        else:
            origins.files.update(dict.fromkeys(keys, name))
    for where in _paths(words, ()):
        origins.files[dotted(where)] = COMMAND_LINE
    if problems:
        raise TrimtabError("\n".join(problems))
    return origins


def merged(files: Sequence[Path]) -> dict[Any, Any]:
    """What files say together as Snakemake merges them: mappings key by key, all else replaced by the later file's."""
    config: dict[Any, Any] = {}
    for path in files:
        _merge(config, strict_yaml.load(path))
    return config


def _merge(below: MutableMapping[Any, Any], above: Mapping[Any, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, Mapping):
            # a mapping of its own, since two keys may share one by an alias
            known = below.get(key)
            below[key] = known if isinstance(known, MutableMapping) else {}
            _merge(below[key], value)
        else:
            below[key] = value


def take_words(config: MutableMapping[Any, Any], words: Mapping[str, Any]) -> None:
    """Give values in lists and mappings of `--config` the type that they would have in a file.

    Snakemake has merged them as texts: `--config 'saes={k: 4}'` arrives as "4".

    Raises:
        TrimtabError: a number that YAML reads in another base, in one line.
    """
    _retype(config, {key: value for key, value in words.items() if isinstance(value, Mapping | list)}, ())


def _retype(section: MutableMapping[Any, Any], words: Mapping[str, Any], where: Place) -> None:
    for word, value in words.items():
        merged, key = section.pop(word), _typed(word, (*where, word))
        if isinstance(value, Mapping):
            # a layer is a number in a file and a text on the command line, so that Snakemake didn't merge the two
            known = section.get(key)
            section[key] = {**(known if isinstance(known, Mapping) else {}), **merged}
            _retype(section[key], value, (*where, word))
        else:
            section[key] = _typed(value, (*where, word))


def _typed(value: Any, where: Place) -> Any:
    if isinstance(value, Mapping):
        return {_typed(key, (*where, key)): _typed(inner, (*where, key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_typed(inner, (*where, at)) for at, inner in enumerate(value)]
    if not isinstance(value, str):
        return value
    try:
        return strict_yaml.word(value)
    except TrimtabError as error:
        raise TrimtabError(f"{COMMAND_LINE}, {dotted(where)}: {error}") from None


def complete(config: MutableMapping[Any, Any], origins: Origins, checkout: Path) -> None:
    """Bring a config that is merged from its files to the form in which it is checked and recorded."""
    take_layers(config)
    take_paths(config, origins, checkout)
    config.update(settle(config))
    take_groups(config)


def take_layers(config: Mapping[str, Any]) -> None:
    """Merge what several files say of one layer: its number is a text in JSON, so that Snakemake takes it for two."""
    section = config.get("saes")
    if not isinstance(section, MutableMapping) or not isinstance(overrides := section.get("overrides"), Mapping):
        return
    merged: dict[Any, Any] = {}
    for key, value in overrides.items():
        layer = int(key) if isinstance(key, str) and key.isdecimal() else key
        known = merged.get(layer)
        merged[layer] = {**known, **value} if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    section["overrides"] = merged


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

    Those of any other file, and of the command line, count from the folder that Snakemake works in. What is there has
    one spelling: ./a//b/ is a/b, and so is /here/a/b, so that it reruns nothing.
    """
    elsewhere = Path.cwd().resolve() != checkout.resolve()
    for section, key in PATHS:
        values = config.get(section) if section else config
        if not isinstance(values, MutableMapping) or not isinstance(value := values.get(key), str) or not value:
            continue
        file = origins.of(f"{section}.{key}".removeprefix("."))
        ours = file == CONFIG or Path(file).resolve().is_relative_to(checkout.resolve())
        base = checkout if elsewhere and ours and file != COMMAND_LINE else Path()
        # a source may be the name of something that is no path; a pattern of paths is known by the folder that it is in
        named = WILDCARD.split(value)[0]
        if os.path.exists(base / (named if named == value else Path(f"{named}.").parent)):
            path, here = base / value, Path.cwd()
            values[key] = str(path.relative_to(here) if path.is_relative_to(here) else path)


def _named(path: Path, default: Path) -> str:
    """The file as its user would name it: relative to the working folder where it lies below."""
    if path == default:
        return CONFIG
    resolved = path.resolve()
    return str(resolved.relative_to(Path.cwd())) if resolved.is_relative_to(Path.cwd()) else str(path)


def _paths(value: Any, where: Place) -> Iterator[Place]:
    if where:
        yield where
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        yield from _paths(inner, (*where, key))
