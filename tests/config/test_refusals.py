"""Every key of the config x every kind of wrong value is refused in one line; docs/refusals.md is written from it.

The values come from what the default experiment has at a key, not from the models that check it.
"""

from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from designs import SHARES
from snakemake.utils import update_config

from trimtab.config.check import check
from trimtab.errors import TrimtabError
from trimtab.jobs.origins import Origins

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/refusals.md"
HUGE = 10**12

HEAD = """\
# What a config refuses

Every key of the default experiment with every kind of wrong value, as `tests/config/test_refusals.py` tried it: one
line, before the first job, that names the file, the key, the value and what was expected. "taken" is a value that
has a meaning there, or that is compared with something else than the config: the project's resources, the tasks that a
package holds and the layers of a model that lies here (all before the first job: tests/workflow/test_bad_config.py),
the tokens that there are. "-" says that the kind does not apply to the key.

Written by `pytest tests/config/test_refusals.py` where it is missing.
"""

GIVEN = """\
organism: {mixer: hybrid, steps: 3, batch: 2, learning_rate: 0.01, truth: five_axes}
rollouts:
  judge: {url: "http://localhost:1/v1", model: x}
  gates: {lit: {kind: latent, layer: 4, latent: 7, above: 0.5, remembers: any}, after: {kind: trigger, texts: [so]}}
  grid:
    - {methods: [random], traits: [deference], doses: [-1.5], timings: [decode], rules: [slerp], gates: [lit],
       also: [mean_difference.deference.-0.5]}
    - {layers: [4]}
evaluations: {evaluators: [written_text], settings: {written_text: {tokens: 9}}}
saes: {overrides: {18: {k: 8}}, massive_norm: 10}
"""
"""So that each key that the default experiment leaves out has a value."""


@cache
def read() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())
    update_config(config, SHARES)
    update_config(config, yaml.safe_load(GIVEN))
    return config


def experiment() -> dict[str, Any]:
    """A copy: reading the file takes longer than a check, and there are a thousand checks."""
    return deepcopy(read())


Step = str | int

COUNT_OR_WORD = {"rollouts.batch_conditions", "probes.folds", "activations.token_budget"}


def leaves(node: Any, path: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from leaves(value, (*path, key))
    elif isinstance(node, list) and node and isinstance(node[0], dict):
        for at, value in enumerate(node):
            yield from leaves(value, (*path, at))
    else:
        yield path, node


LEAVES = dict(leaves(experiment()))


def dotted(path: tuple[Step, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) and step < 2 else f".{step}" for step in path).removeprefix(".")


def wrong(path: tuple[Step, ...], value: Any) -> dict[str, Any]:
    """Wrong values of a key by their kind; a list's are those of its first entry."""
    inner = value[0] if isinstance(value, list) and value else value
    number = isinstance(inner, int | float) and not isinstance(inner, bool)
    kinds: dict[str, Any] = {"wrong type": 5 if isinstance(value, list) else {"a": 1}}
    if number:
        kinds |= {"too small": -HUGE, "too large": HUGE, "NaN": float("nan"), "infinite": float("inf")}
        kinds |= {"text for a number": str(inner)}
    if dotted(path) in COUNT_OR_WORD:
        kinds |= {"too small": -HUGE, "NaN": float("nan"), "infinite": float("inf"), "text for a number": "5"}
    if isinstance(inner, str | bool):
        kinds |= {"number for a text": 5, "another word": f"{inner}x"}
    kinds = {name: [each] if isinstance(value, list) and name != "wrong type" else each for name, each in kinds.items()}
    if isinstance(value, list | str):
        kinds |= {"empty": type(value)()}
    return kinds


KINDS = (
    "wrong type",
    "too small",
    "too large",
    "NaN",
    "infinite",
    "text for a number",
    "number for a text",
    "another word",
    "empty",
    "near-miss name",
)
MUST = {"wrong type", "NaN", "infinite", "text for a number", "number for a text", "near-miss name"}
"""Kinds that no key may take."""


SIGNED = {"rollouts.grid[0].doses", "rollouts.gates.lit.above"}
"""A dose of the grid may turn the vector round."""


def told(path: tuple[Step, ...], kind: str, value: Any) -> str:
    """The line that refuses a value, or an empty text."""
    config = experiment()
    section = config
    for step in path[:-1]:
        section = section[step]
    if kind == "near-miss name":
        section[f"{path[-1]}x"] = section.pop(path[-1])
    else:
        section[path[-1]] = value
    try:
        check(config, Origins())
    except TrimtabError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def tried() -> dict[tuple[str, str], str]:
    """What was told, by key and kind."""
    return {
        (dotted(path), kind): told(path, kind, each)
        for path, value in LEAVES.items()
        for kind, each in {**wrong(path, value), "near-miss name": None}.items()
        if not (kind == "near-miss name" and path[-2:-1] in (("primary",), ("overrides",)))
    }


def test_all_keys_together_are_in_order():
    check(experiment(), Origins())


@pytest.mark.slow
def test_what_must_be_refused_is(tried):
    taken = {place for place, line in tried.items() if not line}
    assert {place for place in taken if place[1] in MUST} == {
        ("rollouts.batch_conditions", "number for a text"),
        ("probes.folds", "number for a text"),
    }
    assert {key for key, kind in taken if kind == "too small"} == SIGNED


def test_a_refusal_is_one_line_a_problem_and_names_the_key(tried):
    for (key, kind), lines in tried.items():
        for line in lines.splitlines():
            assert line.startswith("config.yaml, "), (key, kind)
        if lines and kind in MUST:
            assert any(line.startswith(f"config.yaml, {key}") for line in lines.splitlines()), (key, kind, lines)


def test_the_page_says_what_was_tried(tried):
    if not PAGE.is_file():
        PAGE.write_text(page(tried))
    assert PAGE.read_text() == page(tried), f"{PAGE.name} is stale: remove it, run this test, and commit it"


def page(tried: dict[tuple[str, str], str]) -> str:
    lines = [HEAD, f"| key | {' | '.join(KINDS)} |", f"|---|{'---|' * len(KINDS)}"]
    for path in LEAVES:
        key = dotted(path)
        cells = ["-" if (key, kind) not in tried else "refused" if tried[key, kind] else "**taken**" for kind in KINDS]
        lines.append(f"| `{key}` | {' | '.join(cells)} |")
    lines += ["", "What a refusal says, one of each kind:", ""]
    for kind in KINDS:
        example = next(line for (_, other), line in tried.items() if other == kind and line)
        lines.append(f"- {kind}: `{example.splitlines()[0]}`")
    return "\n".join(lines) + "\n"
