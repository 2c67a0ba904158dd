"""The whole config checked before the first job, so that a slip costs a second and not an hour.

Shapes, ranges and choices of single keys are `workflow/schemas/config.schema.json`. Here is what ties keys to one
another. Whether a trait is known and has enough templates is for the stage that reads `workflow/resources`; whether
the model has the layers asked for is for the model's preflight.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trimtab.artifacts import schemas
from trimtab.artifacts.schemas import shown
from trimtab.errors import TrimtabError
from trimtab.model.names import ORGANISM, PACKAGED
from trimtab.saes.schedule import STEADY_SHARE
from trimtab.vectors.methods import known

SCHEMA = "config.schema.json"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")

FITTED_AT_ONE_LAYER = ("floor", "clamp", "rotate", "set_angle", "edit_code")
"""Rules that use the mean row or the dictionary of a vector's layer."""

Config = Mapping[str, Any]


def check(config: Config, source: str) -> None:
    """Pass a config that can be run.

    Raises:
        TrimtabError: one line a problem, each with `source`, key, value and expectation. Keys are compared with one
            another only when each is in order by itself.
    """
    found = schemas.problems(config, SCHEMA, source)
    if not found:
        # a slip in a key that single layers override shows up for each of them, in the same words
        found = [f"{source}, {line}" for line in dict.fromkeys(_disagreements(config))]
    if found:
        raise TrimtabError("\n".join(found))


def _disagreements(config: Config) -> Iterator[str]:
    yield from _model(config["model"], config["organism"])
    yield from _layers(config["layers"], config["saes"]["overrides"])
    yield from _prompts(config)
    for layer in [None, *config["saes"]["overrides"]]:
        yield from _sae(config["saes"], layer)
    yield from _methods(config["vectors"]["methods"])
    yield from _conditions(config["rollouts"], config["vectors"])
    yield from _grid(config)
    yield from _unit(config["rollouts"])
    yield from _statistics(config["statistics"], config["rollouts"]["study"], config["probes"]["traits"])


def _model(model: Config, organism: Config | None) -> Iterator[str]:
    source, revision = model["source"], model["revision"]
    packaged, local = source.startswith("package:"), source == ORGANISM or Path(source).is_dir()
    if source == ORGANISM and organism is None:
        yield "organism: null, and model.source is organism; say what it is trained on (workflow/presets/organism.yaml)"
    if packaged and not PACKAGED.fullmatch(source):
        yield f"model.source: {shown(source)} is not package:<python package>/<gguf file>"
    elif not packaged and not local and not HUB_ID.fullmatch(source):
        yield f"model.source: {shown(source)} is neither a folder that exists nor a hub id (owner/name)"
    elif (packaged or local) and revision is not None:
        yield f"model.revision: {shown(revision)} belongs to a hub id, and model.source is {shown(source)}; use null"
    elif not (packaged or local) and revision is None:
        yield (
            f"model.revision: null for the hub id {source}; give the commit (40 hexadecimal digits), "
            f"so that a moving branch can't change results (a local folder is looked for first)"
        )


def _layers(layers: list[int], overrides: Mapping[Any, Any]) -> Iterator[str]:
    if layers != sorted(layers):
        yield f"layers: {shown(layers)} is not in ascending order"
    for layer in overrides:
        if int(layer) not in layers:
            yield f"saes.overrides.{layer}: layer {layer} is not among layers ({', '.join(map(str, layers))})"


def _prompts(config: Config) -> Iterator[str]:
    prompts, budget = config["prompts"], config["activations"]["token_budget"]
    longest = prompts["corpus"]["max_tokens"]
    if budget != "auto" and budget < longest:
        yield f"activations.token_budget: {budget} is below prompts.corpus.max_tokens ({longest}); one text must fit"
    kinds, contrast = prompts["contrast"]["kinds"], config["probes"]["contrast"]
    if contrast not in kinds:
        yield f"probes.contrast: {contrast} is not among prompts.contrast.kinds ({', '.join(kinds)})"
    scenarios, transcripts = prompts["scenarios"], config["report"]["transcripts"]
    if transcripts > scenarios:
        yield f"report.transcripts: {transcripts} is more than prompts.scenarios ({scenarios})"


def _sae(saes: Config, layer: Any) -> Iterator[str]:
    own = {} if layer is None else saes["overrides"][layer]
    settings = {**saes, **own}

    def key(name: str) -> str:
        return f"saes.overrides.{layer}.{name}" if name in own else f"saes.{name}"

    shared = ("batch", "tokens") if saes["source"] == "stream" else ()
    for name in (name for name in shared if name in own):
        yield f"saes.overrides.{layer}.{name}: {own[name]}, and saes.source is stream, which serves all layers at once"
    k, latents = settings["k"], settings["latents"]
    if k >= latents:
        yield f"{key('k')}: {k} is not below {key('latents')} ({latents}); k is how many latents stay active a token"
    tokens, batch = settings["tokens"], settings["batch"]
    if batch > tokens:
        yield f"{key('batch')}: {batch} is more than {key('tokens')} ({tokens}); one batch is one training step"
    level = int(STEADY_SHARE * math.ceil(tokens / batch))
    if batch <= tokens and settings["warmup_steps"] > level:
        yield (
            f"{key('warmup_steps')}: {settings['warmup_steps']} is more than {level}, the step where the rate begins "
            f"to fall ({STEADY_SHARE:.0%} of {key('tokens')} / {key('batch')})"
        )


def _methods(methods: list[str]) -> Iterator[str]:
    for method in methods:
        if method not in known():
            guess = schemas.near(method, known())
            hint = f" (did you mean {guess}?)" if guess else ""
            yield (
                f"vectors.methods: {method} is no file of workflow/trimtab/vectors/methods{hint}; "
                f"there are {', '.join(known())}"
            )


def _conditions(rollouts: Config, vectors: Config) -> Iterator[str]:
    study, controls, made = rollouts["study"], rollouts["controls"], vectors["methods"]
    for name, methods in {"study.method": [study["method"]], "controls.methods": controls["methods"]}.items():
        for method in methods:
            if method not in made:
                yield f"rollouts.{name}: {method} is not among vectors.methods ({', '.join(made)})"
            elif method == "random":
                yield f"rollouts.{name}: random directions are asked for by rollouts.controls.random"
    if study["method"] in controls["methods"]:
        yield f"rollouts.controls.methods: {study['method']} is rollouts.study.method, so it is no control"
    draws = vectors["random_draws"] if "random" in made else 0
    if controls["random"] > draws:
        yield (
            f"rollouts.controls.random: {controls['random']} is more than the {draws} random direction(s) made "
            f"(random in vectors.methods, vectors.random_draws)"
        )
    for name, dose in {"study.decode_dose": study["decode_dose"], "controls.dose": controls["dose"]}.items():
        if dose not in study["doses"]:
            yield f"rollouts.{name}: {dose} is not among rollouts.study.doses ({_listed(study['doses'])})"


def _grid(config: Config) -> Iterator[str]:
    rollouts, made = config["rollouts"], config["vectors"]["methods"]
    for at, block in enumerate(rollouts["grid"]):
        key = f"rollouts.grid[{at}]"
        for method in block.get("methods", []):
            if method not in made:
                yield f"{key}.methods: {method} is not among vectors.methods ({', '.join(made)})"
            elif method == "random" and not rollouts["controls"]["random"]:
                yield f"{key}.methods: random takes the directions of rollouts.controls.random, which is 0"
        for trait in block.get("traits", []):
            if trait not in config["probes"]["traits"]:
                yield f"{key}.traits: {trait} is not among probes.traits ({_listed(config['probes']['traits'])})"
        for layer in block.get("layers", []):
            if layer not in config["layers"]:
                yield f"{key}.layers: {layer} is not among layers ({_listed(config['layers'])})"
        for rule in block.get("rules", [rollouts["rule"]]):
            if "layers" in block and rule in FITTED_AT_ONE_LAYER:
                yield f"{key}.layers: rule {rule} needs what is known of a vector's own layer; leave them out"


def _unit(rollouts: Config) -> Iterator[str]:
    if rollouts["unit"] != "probability":
        return
    for at, dose in enumerate(rollouts["study"]["doses"]):
        if dose >= 1:
            yield f"rollouts.study.doses[{at}]: {dose} is no probability, which is rollouts.unit"
    for at, block in enumerate(rollouts["grid"]):
        for dose in block.get("doses", []):
            if not 0 < dose < 1:
                yield f"rollouts.grid[{at}].doses: {dose} is no probability, which is rollouts.unit"
        for rule in block.get("rules", []):
            if rule != "add":
                yield (
                    f"rollouts.grid[{at}].rules: {rule} with rollouts.unit probability, which is a rule by itself; "
                    f"use add"
                )
    if rollouts["controls"]["negative"]:
        yield "rollouts.controls.negative: true, and rollouts.unit is probability, which can't be turned round"
    if rollouts["rule"] != "add":
        yield f"rollouts.rule: {rollouts['rule']} with rollouts.unit probability, which is a rule by itself; use add"


def _statistics(statistics: Config, study: Config, traits: list[str]) -> Iterator[str]:
    primary, confirmatory = statistics["primary"], statistics["confirmatory"]
    for trait in traits:
        if trait not in primary:
            yield f"statistics.primary.{trait}: missing; each of probes.traits needs the outcome of its main test"
    # an experiment with fewer traits inherits the default's other entries, as Snakemake merges mappings: no slip
    for name in primary:
        guess = None if name in traits else schemas.near(name, traits)
        if guess:
            yield f"statistics.primary.{name}: {name} is not among probes.traits; did you mean {guess}?"
    if confirmatory["method"] != study["method"]:
        method = confirmatory["method"]
        yield f"statistics.confirmatory.method: {method} is not rollouts.study.method ({study['method']})"
    for name, among in (("dose", "doses"), ("timing", "timings")):
        if confirmatory[name] not in study[among]:
            yield (
                f"statistics.confirmatory.{name}: {confirmatory[name]} is not among rollouts.study.{among} "
                f"({_listed(study[among])})"
            )


def _listed(values: list[Any]) -> str:
    return ", ".join(map(str, values))
