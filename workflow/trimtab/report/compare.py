"""What changed between two finished runs: settings, artifacts and results, in that order of cause.

Settings, versions and commits come from the records that artifacts carry, so both runs need nothing but their files.
An artifact that differs although everything it was made from is the same is where a change entered: by a setting, by
code, or by chance.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from trimtab.artifacts import files
from trimtab.artifacts.files import records
from trimtab.artifacts.trail import recorded
from trimtab.errors import TrimtabError
from trimtab.report import words

IGNORED = ("benchmarks", "logs", "report")
"""Folders that hold times, messages and the page, which are no results."""
NUMBERS = ("estimate", "lower", "upper", "p_corrected")


@dataclass(frozen=True)
class Changes:
    """The differences, each a table; empty where the runs agree."""

    settings: pd.DataFrame
    """stage, setting, a, b: a setting as any artifact of the stage records it."""
    artifacts: pd.DataFrame
    """file, stage, state (changed, only in a, only in b), and `entered`: all its recorded inputs are the same."""
    same: int
    """Artifacts with the same bytes in both runs."""
    declared: pd.DataFrame
    """trait, verdicts and declared estimates with intervals of both runs."""
    effects: pd.DataFrame
    """Every estimate that both runs have and that differs."""
    n_effects: int
    """Estimates that both runs have."""


def compare(a: Path, b: Path) -> Changes:
    """Compare two results folders.

    Raises:
        TrimtabError: a folder holds no finished run.
    """
    for root in (a, b):
        if not (root / "statistics/summary.json").exists():
            raise TrimtabError(f"{root}: no statistics/summary.json; expected the results folder of a finished run")
    artifacts, same = _artifacts(a, b)
    effects, n_effects = _effects(a, b)
    return Changes(_settings(a, b), artifacts, same, _declared(a, b), effects, n_effects)


def _files(root: Path) -> list[str]:
    names = (path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file())
    return [
        str(name)
        for name in names
        if name.parts[0] not in IGNORED and not any(part.startswith(".") for part in name.parts)
    ]


def _artifacts(a: Path, b: Path) -> tuple[pd.DataFrame, int]:
    first, second = set(_files(a)), set(_files(b))
    # a record names commits and paths, which differ between runs with the same results
    both = sorted(name for name in first & second if not name.endswith("provenance.json"))
    changed = {name for name in both if files.sha256(a / name) != files.sha256(b / name)}
    rows = [(name, "changed", _entered(a, b, name)) for name in sorted(changed)]
    rows += [(name, "only in a", False) for name in sorted(first - second)]
    rows += [(name, "only in b", False) for name in sorted(second - first)]
    table = pd.DataFrame(rows, columns=["file", "state", "entered"])
    table.insert(1, "stage", [str(name).partition("/")[0] for name in table["file"]])
    return table, len(both) - len(changed)


def _entered(a: Path, b: Path, name: str) -> bool:
    inputs = []
    for root in (a, b):
        record = recorded(root / name) or {"inputs": {}}
        inputs.append(sorted(record["inputs"].values()))
    return inputs[0] == inputs[1]


def _settings(a: Path, b: Path) -> pd.DataFrame:
    found: dict[tuple[str, str], dict[str, set[str]]] = {}
    for side, root in (("a", a), ("b", b)):
        for name in _files(root):
            record = recorded(root / name)
            if record is None:
                continue
            stage = name.partition("/")[0]
            about = {**record["settings"], "seed": record["seed"], "commit": record["commit"], **record["versions"]}
            for setting, value in _leaves(about):
                place = found.setdefault((stage, setting), {"a": set(), "b": set()})
                place[side].add(value)
    rows = [
        (stage, setting, ", ".join(sorted(sides["a"])), ", ".join(sorted(sides["b"])))
        for (stage, setting), sides in sorted(found.items())
        if sides["a"] != sides["b"]
    ]
    return pd.DataFrame(rows, columns=["stage", "setting", "a", "b"])


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, f"{name}.{key}" if name else str(key))
    else:
        yield name, files.canonical(value)


def _declared(a: Path, b: Path) -> pd.DataFrame:
    one, other = (files.read_json(root / "statistics/summary.json")["traits"] for root in (a, b))
    keys = ("verdict", "condition_id", "outcome", *NUMBERS)
    rows = []
    for trait in [*one, *(name for name in other if name not in one)]:
        sides = {side: found.get(trait, {}) for side, found in (("a", one), ("b", other))}
        if sides["a"] != sides["b"]:
            values = {f"{key}_{side}": found.get(key) for key in keys for side, found in sides.items()}
            rows.append({"trait": trait, **values})
    return pd.DataFrame(rows, columns=["trait", *(f"{key}_{side}" for key in keys for side in "ab")])


def _effects(a: Path, b: Path) -> tuple[pd.DataFrame, int]:
    keys = ["condition_id", "baseline_id", "outcome", "estimand"]
    one, other = (pd.read_csv(root / "statistics/effects.csv")[[*keys, *NUMBERS]] for root in (a, b))
    both = one.merge(other, on=keys, suffixes=("_a", "_b"), validate="one_to_one")
    differs = pd.Series(False, index=both.index)
    for name in NUMBERS:
        first, second = both[f"{name}_a"], both[f"{name}_b"]
        differs |= ~((first == second) | (first.isna() & second.isna()))
    changed = both[differs]
    return changed.assign(change=changed["estimate_b"] - changed["estimate_a"]), len(both)


def as_text(found: Changes) -> str:
    """For a terminal: what changed, most telling first."""
    lines = ["Settings, versions and commits"]
    lines += [
        f"  {row['stage']}: {row['setting']}: {row['a'] or 'none'} -> {row['b'] or 'none'}"
        for row in records(found.settings)
    ]
    lines += [] if len(found.settings) else ["  no difference"]
    lines += ["", f"Artifacts: {found.same} the same, {len(found.artifacts)} not"]
    for stage, rows in found.artifacts.groupby("stage", sort=False):
        counts = ", ".join(f"{n} {state}" for state, n in rows["state"].value_counts().items())
        lines.append(f"  {stage}: {counts}")
    entered = found.artifacts[found.artifacts["entered"].astype(bool)]["file"].tolist()
    if entered:
        lines += ["  changed though made from the same files (a setting, code or chance):"]
        lines += [f"    {name}" for name in entered]
    lines += ["", "Declared results"]
    for row in records(found.declared):
        lines.append(f"  {words.trait(row['trait'])}: {_side(row, 'a')} -> {_side(row, 'b')}")
    lines += [] if len(found.declared) else ["  no difference"]
    lines += ["", f"All estimates: {len(found.effects):,} of {found.n_effects:,} that both runs have differ"]
    return "\n".join(lines)


def _side(row: dict[str, Any], side: str) -> str:
    verdict, estimate, lower, upper, p = (row[f"{key}_{side}"] for key in ("verdict", *NUMBERS))
    if not isinstance(verdict, str):
        return "not run"
    return f"{verdict} {words.number(estimate)} ({words.interval(lower, upper)}), {words.p_value(p)}"
