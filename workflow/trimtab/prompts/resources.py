"""The files of workflow/resources: read, checked, and cut into what one rule needs.

Each file has a JSON schema of the same name in workflow/schemas. What a schema can't say (ids that must differ, a goal
that must be reachable) is checked here. A mistake is one line that names the file, the key, the value and what was
expected. What the prompts are made of is here; how they are made is in the other modules of this room.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from trimtab.artifacts import schemas, strict_yaml
from trimtab.errors import TrimtabError

RESOURCES = Path(__file__).parents[2] / "resources"

NULL = "null"
"""Name of the pairs that carry no trait, wherever a trait is named."""

COMPOSITE = "composite"
"""In place of a sub-behaviour, of templates in which all of a trait's come together."""

DOMAINS = {"coding": 16, "research": 12, "communication": 11, "data": 11}
"""The four domains and how many of the study's fifty scenarios each has."""

Json = dict[str, Any]


class Rule(NamedTuple):
    """A written rule for a trait."""

    about: str
    """Words of the tasks that it is for."""
    rule: str
    """The sentence of the system line."""

    @property
    def text(self) -> str:
        """By which it is found."""
        return f"{self.about} {self.rule}"


def templates_of(trait: str, templates: Sequence[Json], parts: Sequence[str]) -> list[Json]:
    """Those of one kind's templates that an experiment uses; pairs without a trait have no parts.

    Args:
        parts: COMPOSITE, or "sub_behaviours" for those of single ones (config.yaml, `prompts.contrast.templates`).
    """
    return [template for template in templates if trait == NULL or part(template) in parts]


def part(template: Json) -> str:
    """Which part of a trait's templates one belongs to."""
    return COMPOSITE if template["sub_behaviour"] == COMPOSITE else "sub_behaviours"


def traits(path: Path = RESOURCES / "traits.yaml") -> dict[str, Json]:
    """The block of every trait, and of `null`."""
    loaded = load(path)
    blocks: dict[str, Json] = {**loaded["traits"], NULL: loaded["null"]}
    for trait, block in blocks.items():
        _unique(path, f"{trait}.lexical", "id", [mention["id"] for mention in block.get("lexical", [])])
        for kind in ("opening", "instruction"):
            _unique(path, f"{trait}.{kind}", "id", [template["id"] for template in block[kind]])
            for template in block[kind]:
                if template["sub_behaviour"] not in (*block["sub_behaviours"], COMPOSITE):
                    key = f"{trait}.{kind}.{template['id']}.sub_behaviour"
                    known = ", ".join(block["sub_behaviours"])
                    raise TrimtabError(f"{path}, {key}: {template['sub_behaviour']} is none of {known}")
    return blocks


def requests(path: Path) -> dict[str, str]:
    """The sentence that asks for each trait in the prompt, of those that have one."""
    return {trait: block["prompt"] for trait, block in traits(path).items() if "prompt" in block}


def tasks(path: Path = RESOURCES / "tasks.yaml") -> dict[str, dict[str, list[str]]]:
    """User tasks by group (contrast, calibration) and domain; no task stands in two groups."""
    loaded: dict[str, dict[str, list[str]]] = load(path)
    _unique(path, "all groups", "task", [task for group in loaded.values() for some in group.values() for task in some])
    return loaded


def roles(path: Path = RESOURCES / "roles.yaml") -> dict[str, str]:
    """Sentences of the system line that give the agent a role, by the role's name."""
    loaded: dict[str, str] = load(path)
    _unique(path, "all roles", "sentence", loaded.values())
    return loaded


def rules(path: Path = RESOURCES / "rules.yaml") -> dict[str, dict[str, Rule]]:
    """Of each trait that has some, rules by name."""
    loaded: dict[str, dict[str, dict[str, str]]] = load(path)
    for trait, own in loaded.items():
        _unique(path, trait, "rule", [each["rule"] for each in own.values()])
    return {trait: {name: Rule(**each) for name, each in own.items()} for trait, own in loaded.items()}


def check_fills(contrast: dict[str, list[str]], fills: int) -> None:
    """A template meets each task of a domain once at most: pairs that stand twice would count twice.

    Raises:
        TrimtabError: `fills` asks for more tasks than a domain has.
    """
    for domain, some in contrast.items():
        if fills > len(some):
            raise TrimtabError(
                f"config.yaml, prompts.contrast.fills: {fills} is more than the {len(some)} contrast tasks of {domain}"
            )


def check_truth(truths: Mapping[str, Any], name: str) -> None:
    """
    Raises:
        TrimtabError: truth.yaml has no law of this name.
    """
    if name not in truths["traits"]:
        raise TrimtabError(f"config.yaml, organism.truth: {name!r} is none of {', '.join(truths['traits'])}")


def scenarios(path: Path = RESOURCES / "scenarios.yaml") -> list[Json]:
    """All scenarios in the file's order."""
    loaded: list[Json] = load(path, "scenarios")
    _unique(path, "all scenarios", "id", [scenario["id"] for scenario in loaded])
    _unique(path, "all scenarios", "task", [scenario["task"] for scenario in loaded])
    for scenario in loaded:
        if (tool := scenario["goal"]["tool"]) in scenario["fails"]:
            raise TrimtabError(
                f"{path}, {scenario['id']}.goal.tool: {tool} is a failing tool; the goal must be reachable"
            )
    return loaded


def development(path: Path, tested: Iterable[Json]) -> list[Json]:
    """Scenarios that methods may learn from.

    Raises:
        TrimtabError: one is among those that outcomes are measured on.
    """
    loaded = scenarios(path)
    measured = {one[key] for one in tested for key in ("id", "task")}
    for one in loaded:
        for key in ("id", "task"):
            if one[key] in measured:
                raise TrimtabError(
                    f"{path}, {one['id']}.{key}: {one[key]!r} is a scenario's; methods must not learn from what they "
                    "are measured on"
                )
    return loaded


def select_scenarios(loaded: list[Json], count: int) -> list[Json]:
    """The first scenarios of each domain, in the study's proportions.

    Seats are dealt one by one to the domain that lacks most of its share (Sainte-Lague), so a larger count only adds
    scenarios.
    """
    waiting = {domain: [one for one in loaded if one["domain"] == domain] for domain in DOMAINS}
    if not 1 <= count <= len(loaded):
        raise TrimtabError(
            f"config.yaml, prompts.scenarios: {count} is not between 1 and {len(loaded)}, the number written"
        )
    taken = dict.fromkeys(DOMAINS, 0)
    for _ in range(count):
        open_domains = [domain for domain in DOMAINS if taken[domain] < len(waiting[domain])]
        taken[min(open_domains, key=lambda domain: (taken[domain] + 0.5) / DOMAINS[domain])] += 1
    return [one for domain in DOMAINS for one in waiting[domain][: taken[domain]]]


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON: rules rerun when their part of a file changes, and only then."""
    # not by trimtab.artifacts.files: the workflow reads this module at every start, and torch would cost it seconds
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


def load(path: Path, schema: str = "") -> Any:
    """A YAML file that follows a schema: the one of its own name, if no other is named."""
    try:
        loaded = strict_yaml.load(path)
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise TrimtabError(f"config.yaml, resources: {str(path.parent)!r} is no folder here") from None
        raise TrimtabError(f"{path}: no such file; it is part of the project") from None
    found = schemas.problems(loaded, f"{schema or path.stem}.schema.json", str(path))
    if found:
        raise TrimtabError("\n".join(found))
    return loaded


def agent(path: Path) -> Json:
    """A protocol's resource; with `like`, on top of the one beside it that has this name."""
    own: Json = load(path)
    return {**(agent(path.with_name(f"{own['like']}.yaml")) if "like" in own else {}), **own}


def _unique(path: Path, key: str, what: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise TrimtabError(f"{path}, {key}: {what} {value!r} stands twice")
        seen.add(value)
