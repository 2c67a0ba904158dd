"""How a vector is applied, apart from how far, and which applications a config asks for in nats or by their effect.

A dose in nats is a length that was searched for, and the length that has a KL depends on everything else about the
push: the rule, the layer and the timing; so does the one that has a chance of the trait's first actions. So each
application that a condition asks for is solved for by itself (`trimtab.vectors.solving`, `trimtab.vectors.thresholds`),
and found again by its name. A combination for which such doses mean nothing is refused when the config is checked, and
this module says why; it is read when Snakemake starts and imports nothing heavy.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import Field

from trimtab.settings.base import Number, Settings
from trimtab.settings.gates import EditGate
from trimtab.settings.rollouts import ALWAYS, Design, Rollouts
from trimtab.steering.catalogue import AS_MADE, LENGTH, RULES
from trimtab.vectors.design import planned

NATS = ("kl", "asc")
"""Units of doses in nats."""

SEARCHED = ("kl", "chance")
"""Units whose lengths are searched for when vectors are made."""

BY_KL = (*(name for name, rule in RULES.items() if rule.counts == LENGTH), AS_MADE)
"""Rules whose dose is a length, or lies one from the mean row, and edits as made, of which a share is searched for."""

WRITTEN = re.compile(r"decode(_\d+)?")
"""Timings that touch what the agent writes, and no cue before it."""


@dataclass(frozen=True)
class Application:
    """How a vector is applied, apart from how far."""

    layer: int
    rule: str
    timing: str
    gate: str = ""
    """Name in `rollouts.gates`; empty for none."""

    def __str__(self) -> str:
        gate = f", gate {self.gate}" if self.gate else ""
        return f"rule {self.rule} at layer {self.layer}, timing {self.timing}{gate}"


@dataclass(frozen=True)
class Asked:
    """A length that a condition needs."""

    vector: str
    """Name of the vector; a draw's has the draw's number."""
    layer: int | None
    """None for the vector's own."""
    rule: str
    timing: str
    target: Number
    """KL, in nats, with the sign of the dose; or a chance."""
    gate: str = ""
    """Name in `rollouts.gates`; empty for none."""
    unit: str = "kl"
    """Of the target, one of `SEARCHED`."""

    def application(self, own_layer: int) -> Application:
        return Application(own_layer if self.layer is None else self.layer, self.rule, self.timing, self.gate)


class AskedLengths(Settings):
    """The lengths that one trait's conditions need, as its job is given them."""

    asked: tuple[Asked, ...]
    gates: dict[str, EditGate] = Field(default_factory=dict)
    """Those that are named."""
    bounded: bool = False
    """Whether ASC's bound gives lengths."""


def asked(design: Design, trait: str) -> list[Asked]:
    """The lengths that one trait's conditions need, each once."""
    if design.unit not in SEARCHED:
        return []
    found = [
        Asked(each.vector_name, each.layer, each.rule, each.timing, each.dose, each.gate, design.unit)
        for each in planned(trait, design)
        if each.has_vector
    ]
    return list(dict.fromkeys(found))


def refusals(rollouts: Rollouts) -> Iterator[str]:
    """A line for each combination with a unit of nats, or of chances, that no length can be given for."""
    unit, protocol, study = rollouts.unit, rollouts.protocol, rollouts.study
    if unit not in (*NATS, *SEARCHED):
        return
    blocks = [(f"rollouts.grid[{at}]", block) for at, block in enumerate(rollouts.grid)]
    of_rules = [(f"{key}.rules", block.rules or ()) for key, block in blocks]
    for key, rules in [("rollouts.rule", (rollouts.rule,)), *of_rules]:
        for rule in rules:
            if why := _rule(rule, unit):
                yield f"{key}: {rule} with rollouts.unit {unit}, {why}"
    of_timings = [(f"{key}.timings", block.timings or ()) for key, block in blocks]
    for key, timings in [("rollouts.study.timings", study.timings), *of_timings]:
        for timing in timings:
            if why := _timing(timing, unit, protocol):
                yield f"{key}: {timing} with rollouts.unit {unit}, {why}"
    if study.decode_dose is not None and (why := _timing("decode", unit, protocol)):
        yield f"rollouts.study.decode_dose: {study.decode_dose} with rollouts.unit {unit}, {why}, and null here"
    for key, block in blocks:
        if unit == "asc" and block.gates not in (None, (ALWAYS,)):
            yield f"{key}.gates: {', '.join(block.gates)} with rollouts.unit asc, {ONE_BOUND}"
        if unit == "asc" and block.layers:
            yield f"{key}.layers: {', '.join(map(str, block.layers))} with rollouts.unit asc, {ONE_BOUND}"
        if block.also:
            why = OF_ONE.format("nats" if unit in NATS else "chances")
            yield f"{key}.also: {', '.join(block.also)} with rollouts.unit {unit}, {why}"


OF_ONE = "whose lengths are found for each vector alone and come to other {} together; use residual_share or absolute"
ONE_BOUND = "which bounds adding at the vector's own layer to all tokens and nothing else; use kl"


def _rule(rule: str, unit: str) -> str | None:
    if unit == "asc":
        return None if rule == "add" else ONE_BOUND
    allowed = [name for name in BY_KL if name != AS_MADE]
    return None if rule in BY_KL else f"which sets lengths, and its dose is none; expected one of {', '.join(allowed)}"


def _timing(timing: str, unit: str, protocol: str) -> str | None:
    if unit == "asc":
        return None if timing == "all" else ONE_BOUND
    prompts = "calibration" if unit == "kl" else "contrast"
    # these prompts hold a task and a thought; without thoughts, nothing that the agent writes
    if timing == "tool" or (protocol == "few_shot_at_once" and WRITTEN.fullmatch(timing)):
        return f"which is 0 at any length, since no token of {protocol}'s {prompts} prompts is touched; use absolute"
    # there they are thoughts only where the template has opened these
    if timing == "thinking" and protocol == "native_thinking":
        return f"since {protocol}'s {prompts} prompts hold no thoughts under most chat templates; use absolute"
    return None
