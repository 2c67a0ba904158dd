"""The whole config checked before the first job, so that a slip costs a second and not an hour.

Types, ranges and choices of single keys are `trimtab.settings`. Here is what ties keys to one another. Whether a trait
is known and has enough templates is for the stage that reads `workflow/resources`; whether the model has the layers
asked for is for the model's preflight.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from trimtab.artifacts.schemas import listed, near, shown
from trimtab.config import complaints, designed, gated
from trimtab.errors import TrimtabError
from trimtab.jobs.origins import Origins
from trimtab.model.checks import ALL
from trimtab.model.names import ORGANISM, PACKAGED
from trimtab.settings.evaluations import FOLDER, Evaluations
from trimtab.settings.experiment import Experiment
from trimtab.settings.model import Model, Organism
from trimtab.settings.rollouts import StudySettings
from trimtab.settings.saes import STEADY_SHARE, Saes
from trimtab.settings.statistics import Statistics
from trimtab.settings.vectors import Vectors
from trimtab.vectors import transformations
from trimtab.vectors.applications import refusals
from trimtab.vectors.methods import EVERY, GROUPS, IMPORTED, exists, known, makes_edits, needs, split, wording
from trimtab.vectors.own_settings import declared, misfits, misfits_of

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def check(config: Mapping[str, Any], origins: Origins) -> Experiment:
    """A config that can be run, as its model.

    Raises:
        TrimtabError: one line a problem, each with file, key, value and expectation. Keys are compared with one
            another only when each is in order by itself.
    """
    try:
        experiment = Experiment.model_validate(config)
    except ValidationError as error:
        found = [*complaints.lines(error, Experiment)]
    else:
        # a slip in a key that single layers override shows up for each of them, in the same words
        found = [*dict.fromkeys(_disagreements(experiment))]
        if not found:
            return experiment
    raise TrimtabError("\n".join(f"{origins.of(line)}, {line}" for line in found))


def _disagreements(experiment: Experiment) -> Iterator[str]:
    saes, rollouts = experiment.saes, experiment.rollouts
    yield from _model(experiment.model, experiment.organism)
    yield from _layers(experiment.layers, saes.overrides)
    yield from _prompts(experiment)
    for layer in [None, *saes.overrides]:
        yield from _sae(saes, layer)
    yield from _methods(experiment.vectors.methods)
    yield from _imported(experiment.vectors, experiment.activations.site)
    yield from _twin(experiment.vectors)
    yield from _inputs(experiment)
    yield from designed.study_and_controls(rollouts, experiment.vectors)
    yield from misfits(experiment.vectors.settings, experiment.vectors.methods)
    for name, gate in rollouts.gates.items():
        yield from gated.refusals(f"rollouts.gates.{name}", gate, experiment)
    for at, block in enumerate(rollouts.grid):
        yield from designed.of_block(f"rollouts.grid[{at}]", block, experiment)
    if rollouts.unit in ("chance", "probability"):
        yield from designed.probabilities(rollouts)
    if rollouts.unit == "probability":
        yield from designed.beside_probabilities(rollouts)
    if rollouts.judge.url and not rollouts.judge.model:
        yield 'rollouts.judge.model: "" and rollouts.judge.url is given; name the model that answers there'
    yield from refusals(rollouts)
    yield from designed.own_edits(rollouts)
    yield from designed.codes(rollouts, experiment.vectors)
    yield from designed.on_vllm(experiment)
    yield from _evaluations(experiment.evaluations)
    yield from _statistics(experiment.statistics, rollouts.study, experiment.probes.traits)


def _model(model: Model, organism: Organism | None) -> Iterator[str]:
    source, revision = model.source, model.revision
    packaged, file = source.startswith("package:"), not source.startswith("package:") and source.endswith(".gguf")
    local = file or source == ORGANISM or os.path.isdir(source)
    if source == ORGANISM and organism is None:
        yield "organism: null, and model.source is organism; say what it is trained on (workflow/presets/organism.yaml)"
    if packaged and not PACKAGED.fullmatch(source):
        yield f"model.source: {shown(source)} is not package:<python package>/<gguf file>"
    elif file and not os.path.isfile(source):
        yield f"model.source: {shown(source)} is no file here"
    elif not packaged and not local and not HUB_ID.fullmatch(source):
        yield f"model.source: {shown(source)} is neither a folder that exists nor a hub id (owner/name)"
    elif (packaged or local) and revision is not None:
        yield f"model.revision: {shown(revision)} belongs to a hub id, and model.source is {shown(source)}; use null"
    elif not (packaged or local) and revision is None:
        yield (
            f"model.revision: null for the hub id {source}; give the commit (40 hexadecimal digits), "
            f"so that a moving branch can't change results (a local folder is looked for first)"
        )
    for name in model.accepted_failures:
        if name not in ALL:
            guess = near(name, ALL)
            hint = f"did you mean {guess!r}?" if guess else f"checks are: {'; '.join(ALL)}"
            yield f"model.accepted_failures: {name!r} is no check of the preflight; {hint}"


def _layers(layers: Sequence[int], overrides: Iterable[int]) -> Iterator[str]:
    if list(layers) != sorted(layers):
        yield f"layers: {shown(layers)} is not in ascending order"
    for layer in overrides:
        if layer not in layers:
            yield f"saes.overrides.{layer}: layer {layer} is not among layers ({', '.join(map(str, layers))})"


def _prompts(experiment: Experiment) -> Iterator[str]:
    prompts, budget = experiment.prompts, experiment.activations.token_budget
    longest = prompts.corpus.max_tokens
    if isinstance(budget, int) and budget < longest:
        yield f"activations.token_budget: {budget} is below prompts.corpus.max_tokens ({longest}); one text must fit"
    kinds, contrast = prompts.contrast.kinds, experiment.probes.contrast
    if contrast not in kinds:
        yield f"probes.contrast: {contrast} is not among prompts.contrast.kinds ({listed(kinds)})"
    scenarios, transcripts = prompts.scenarios, experiment.report.transcripts
    if transcripts > scenarios:
        yield f"report.transcripts: {transcripts} is more than prompts.scenarios ({scenarios})"


def _sae(saes: Saes, layer: int | None) -> Iterator[str]:
    """Of one layer's dictionary; None: of one without overrides."""
    sae = saes if layer is None else saes.of_layer(layer)
    own = saes.overrides[layer].record() if layer in saes.overrides else {}

    def key(name: str) -> str:
        return f"saes.overrides.{layer}.{name}" if name in own else f"saes.{name}"

    shared = ("batch", "tokens") if saes.source == "stream" else ()
    for name in (name for name in shared if name in own):
        yield f"saes.overrides.{layer}.{name}: {own[name]}, and saes.source is stream, which serves all layers at once"
    if sae.k >= sae.latents:
        yield (
            f"{key('k')}: {sae.k} is not below {key('latents')} ({sae.latents}); "
            "k is how many latents stay active a token"
        )
    if sae.batch > sae.tokens:
        yield f"{key('batch')}: {sae.batch} is more than {key('tokens')} ({sae.tokens}); one batch is one training step"
    level = int(STEADY_SHARE * sae.steps)
    if sae.batch <= sae.tokens and sae.warmup_steps > level:
        yield (
            f"{key('warmup_steps')}: {sae.warmup_steps} is more than {level}, the step where the rate begins "
            f"to fall ({STEADY_SHARE:.0%} of {key('tokens')} / {key('batch')})"
        )


def _methods(methods: Iterable[str]) -> Iterator[str]:
    for method in methods:
        if not exists(method):
            guess = near(method, [*known(), EVERY, *GROUPS])
            hint = f" (did you mean {guess}?)" if guess else ""
            yield (
                f"vectors.methods: {method} is no file of workflow/trimtab/vectors/methods{hint}; "
                f"there are {listed(known())}, and for several of them {listed([EVERY, *GROUPS])}"
            )
            continue
        try:
            wording(method)
        except TrimtabError as error:
            yield f"vectors.methods: {method}: {error}"
        yield from _transformed(method)


def _transformed(name: str) -> Iterator[str]:
    """Transformations take directions, but for those that say that they take edits."""
    changes, plain = split(name)
    inner = name
    for change in changes:
        inner = inner.removeprefix(f"{change}_")
        if makes_edits(inner) and not transformations.takes_edits(change):
            yield f"vectors.methods: {name}: {inner} makes edits of its own, and {change} takes a direction"
            return
    if plain == IMPORTED and makes_edits(name):
        yield f"vectors.methods: {name}: {plain} is of the layer of the trait's probe and can't be made at another"


def _imported(vectors: Vectors, site: str) -> Iterator[str]:
    named = IMPORTED in vectors.methods
    if named and vectors.imported is None:
        yield f"vectors.imported: null, and {IMPORTED} is among vectors.methods; expected a path with {{trait}} in it"
    if vectors.imported is not None and not named:
        yield f"vectors.imported: {vectors.imported}, and {IMPORTED} is not among vectors.methods"
    if vectors.imported is not None and site != "residual":
        yield (
            f"vectors.imported: {vectors.imported}, and activations.site is {site}; vectors of other tools are of the "
            "residual stream"
        )


def _twin(vectors: Vectors) -> Iterator[str]:
    if vectors.twin is None:
        return
    if not any("twin" in needs(method) for method in vectors.methods if exists(method)):
        yield f"vectors.twin: {shown(vectors.twin)}, and no method of vectors.methods asks for one"
    elif not os.path.isdir(vectors.twin):
        yield f"vectors.twin: {shown(vectors.twin)} is no folder here"


def _inputs(experiment: Experiment) -> Iterator[str]:
    """Paths that rules take as inputs, where Snakemake knows no braces that are no wildcard's."""
    saes, vectors = experiment.saes, experiment.vectors
    named = {
        "saes.pretrained": (saes.pretrained, "{layer}"),
        "vectors.imported": (vectors.imported, "{trait}"),
        "vectors.twin": (vectors.twin, ""),
    }
    for key, (path, wildcard) in named.items():
        if path is not None and re.search("[{}]", path.replace(wildcard, "")):
            beside = f" beside {wildcard}" if wildcard else ""
            yield f"{key}: {shown(path)} has braces{beside}, which Snakemake takes for wildcards; rename it"


def _evaluations(evaluations: Evaluations) -> Iterator[str]:
    for name, given in evaluations.settings.items():
        key = f"evaluations.settings.{name}"
        if name not in evaluations.evaluators:
            there = ", ".join(evaluations.evaluators) or "none"
            yield f"{key}: {name} is not among evaluations.evaluators ({there})"
            continue
        yield from misfits_of(key, given, declared(FOLDER / f"{name}.py"))


def _statistics(statistics: Statistics, study: StudySettings, traits: Sequence[str]) -> Iterator[str]:
    primary, confirmatory = statistics.primary, statistics.confirmatory
    for trait in traits:
        if trait not in primary:
            yield f"statistics.primary.{trait}: missing; each of probes.traits needs the outcome of its main test"
    # an experiment with fewer traits inherits the default's other entries, as Snakemake merges mappings: no slip
    for name in primary:
        guess = None if name in traits else near(name, traits)
        if guess:
            yield f"statistics.primary.{name}: {name} is not among probes.traits; did you mean {guess}?"
    if confirmatory.method != study.method:
        yield f"statistics.confirmatory.method: {confirmatory.method} is not rollouts.study.method ({study.method})"
    if confirmatory.dose not in study.doses:
        yield (
            f"statistics.confirmatory.dose: {confirmatory.dose} is not among rollouts.study.doses "
            f"({listed(study.doses)})"
        )
    if confirmatory.timing not in study.timings:
        yield (
            f"statistics.confirmatory.timing: {confirmatory.timing} is not among rollouts.study.timings "
            f"({listed(study.timings)})"
        )
