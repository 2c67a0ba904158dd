"""Conditions that the config asks for, checked before the first job: each vector that a condition names is made, and
each dose, timing, rule and layer means something for it.

Conditions come from the study, its controls and the blocks of the grid. What a block applies as well (`also`) is in
`trimtab.config.together`, and its gates in `trimtab.config.gated`.
"""

from collections.abc import Iterator, Sequence

from trimtab.artifacts.schemas import listed
from trimtab.config import gated, together
from trimtab.settings.engine import SERVED_PROTOCOLS
from trimtab.settings.experiment import Experiment
from trimtab.settings.rollouts import OF_THOUGHTS, THINKING, GridBlock, Rollouts
from trimtab.settings.vectors import Vectors
from trimtab.steering.catalogue import EDIT_CODE, FITTED_AT_ONE_LAYER
from trimtab.vectors.drawn import KINDS
from trimtab.vectors.methods import gives_code, makes_edits


def study_and_controls(rollouts: Rollouts, vectors: Vectors) -> Iterator[str]:
    """Of the study and its controls: what is not made, or asked for with other doses than the study's."""
    study, controls, made = rollouts.study, rollouts.controls, vectors.methods
    for name, methods in {"study.method": [study.method], "controls.methods": controls.methods}.items():
        for method in methods:
            if method not in made:
                yield f"rollouts.{name}: {method} is not among vectors.methods ({listed(made)})"
            elif method in KINDS:
                yield f"rollouts.{name}: random directions are asked for by rollouts.controls.random"
    if study.method in controls.methods:
        yield f"rollouts.controls.methods: {study.method} is rollouts.study.method, so it is no control"
    for kind in controls.random_kinds:
        draws = vectors.random_draws if kind in made else 0
        if controls.random > draws:
            yield (
                f"rollouts.controls.random: {controls.random} is more than the {draws} {kind} direction(s) made "
                f"({kind} in vectors.methods, vectors.random_draws)"
            )
    for name, dose in {"study.decode_dose": study.decode_dose, "controls.dose": controls.dose}.items():
        if dose is not None and dose not in study.doses:
            yield f"rollouts.{name}: {dose} is not among rollouts.study.doses ({listed(study.doses)})"


def on_vllm(experiment: Experiment) -> Iterator[str]:
    """What can't be had on vLLM; what a condition's edits need is looked at where they are known."""
    rollouts, site = experiment.rollouts, experiment.activations.site
    for key in experiment.on_vllm:
        if (device := experiment.model.device) != "cpu":
            yield f"model.device: {device}, and {key} is vllm, which is checked on cpu alone; expected cpu"
        if key == "activations.engine" and site != "residual":
            yield f"activations.site: {site}, and {key} is vllm, which is compared in the stream; expected residual"
    if not rollouts.is_served:
        return
    if rollouts.protocol not in SERVED_PROTOCOLS:
        yield (
            f"rollouts.protocol: {rollouts.protocol}, and rollouts.engine is vllm, which must know beforehand where a "
            f"token will stand; expected {listed(SERVED_PROTOCOLS)}"
        )
    named: dict[str, str] = {"rollouts.rule": rollouts.rule}
    for at, block in enumerate(rollouts.grid):
        named |= {f"rollouts.grid[{at}].rules": rule for rule in block.rules or () if rule == EDIT_CODE}
        named |= {f"rollouts.grid[{at}].also": EDIT_CODE for each in block.also or () if f".{EDIT_CODE}" in each}
    for key, rule in ((key, rule) for key, rule in named.items() if rule == EDIT_CODE):
        yield f"{key}: {rule}, and rollouts.engine is vllm, whose workers have no dictionary; expected another rule"


def own_edits(rollouts: Rollouts) -> Iterator[str]:
    """Units that mean nothing for edits that a method made."""
    if rollouts.unit not in ("asc", "probability"):
        return
    named = {"study.method": [rollouts.study.method], "controls.methods": rollouts.controls.methods}
    named |= {f"grid[{at}].methods": block.methods or () for at, block in enumerate(rollouts.grid)}
    for key, methods in named.items():
        for method in filter(makes_edits, methods):
            yield f"rollouts.{key}: {method} makes edits of its own, which rollouts.unit {rollouts.unit} can't measure"


def codes(rollouts: Rollouts, vectors: Vectors) -> Iterator[str]:
    """Vectors without latents, where a rule edits these."""
    study, controls, rule = rollouts.study, rollouts.controls, [rollouts.rule]
    applied: list[tuple[str, Sequence[str], Sequence[str]]] = [
        ("study.method", [study.method], rule),
        ("controls.methods", controls.methods, rule),
        ("controls.random_kinds", controls.random_kinds if controls.random else [], rule),
    ]
    for at, block in enumerate(rollouts.grid):
        applied.append((f"grid[{at}].rules", block.methods or [study.method], block.rules or rule))
    able = [method for method in vectors.methods if gives_code(method)]
    for key, methods, rules in applied:
        for method in methods:
            if EDIT_CODE in rules and method in vectors.methods and not (makes_edits(method) or gives_code(method)):
                yield (
                    f"rollouts.{key}: rule {EDIT_CODE} edits the latents that a vector is decoded from, and {method} "
                    f"has none; of vectors.methods, {listed(able) or 'none'} has some"
                )


def of_block(key: str, block: GridBlock, experiment: Experiment) -> Iterator[str]:
    """Of a block of the grid: what is not made, and what can't be combined; `key` is the block's."""
    made, traits, layers = experiment.vectors.methods, experiment.probes.traits, experiment.layers
    rollouts = experiment.rollouts
    for method in block.methods or ():
        if method not in made:
            yield f"{key}.methods: {method} is not among vectors.methods ({listed(made)})"
        elif method in KINDS and not rollouts.controls.random:
            yield f"{key}.methods: {method} takes the directions of rollouts.controls.random, which is 0"
    protocol = rollouts.protocol
    for timing in block.timings or ():
        if timing in OF_THOUGHTS and protocol not in THINKING:
            yield (
                f"{key}.timings: {timing} with rollouts.protocol {protocol}, whose agent is asked for no thoughts; "
                f"expected another timing, or protocol {' or '.join(THINKING)}"
            )
    for trait in block.traits or ():
        if trait not in traits:
            yield f"{key}.traits: {trait} is not among probes.traits ({listed(traits)})"
    if block.also:
        yield from together.refusals(f"{key}.also", block, experiment)
    yield from gated.of_block(key, block, rollouts)
    for layer in block.layers or ():
        if layer not in layers:
            yield f"{key}.layers: {layer} is not among layers ({listed(layers)})"
    own = [method for method in block.methods or (rollouts.study.method,) if makes_edits(method)]
    for name, given in {"layers": block.layers, "rules": block.rules}.items():
        if own and given:
            yield f"{key}.{name}: {listed(given)}, and {listed(own)} makes edits of its own, which have theirs"
    for rule in block.rules or (rollouts.rule,):
        if block.layers and rule in FITTED_AT_ONE_LAYER:
            yield f"{key}.layers: rule {rule} needs what is known of a vector's own layer; leave them out"


def probabilities(rollouts: Rollouts) -> Iterator[str]:
    """Doses that are no probabilities, or no chances, where that is the unit, and what can't be asked for with it."""
    unit = rollouts.unit
    for at, dose in enumerate(rollouts.study.doses):
        if dose >= 1:
            yield f"rollouts.study.doses[{at}]: {dose} is no {unit}, which is rollouts.unit"
    for at, block in enumerate(rollouts.grid):
        for dose in block.doses or ():
            if not 0 < dose < 1:
                yield f"rollouts.grid[{at}].doses: {dose} is no {unit}, which is rollouts.unit"
    if rollouts.controls.negative:
        yield f"rollouts.controls.negative: true, and rollouts.unit is {unit}, which can't be turned round"


def beside_probabilities(rollouts: Rollouts) -> Iterator[str]:
    """Rules that are named beside a unit that is one."""
    by_itself = "with rollouts.unit probability, which is a rule by itself; use add"
    for at, block in enumerate(rollouts.grid):
        for rule in block.rules or ():
            if rule != "add":
                yield f"rollouts.grid[{at}].rules: {rule} {by_itself}"
    if rollouts.rule != "add":
        yield f"rollouts.rule: {rollouts.rule} {by_itself}"
