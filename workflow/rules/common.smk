# What every stage's rules share: the checked config, names taken from it, and the digest of a script's code.

import gc
import json
import os
import re
import sys
import time
from collections import namedtuple
from dataclasses import asdict
from functools import cache
from pathlib import Path

# what Snakemake has imported, the rules and the DAG stay to the end: until jobs start, looking for garbage finds none
gc.disable()

from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config

from trimtab.config import written
from trimtab.config.check import check
from trimtab.config.seen import unseen
from trimtab.artifacts import digest, fingerprint, records
from trimtab.evaluations import evaluators
from trimtab.jobs import running
from trimtab.jobs.origins import Origins
from trimtab.errors import TrimtabError
from trimtab.model import depth, folder, names
from trimtab.model.device import check_device
from trimtab.plan import status
from trimtab.plan.design import doubts
from trimtab.prompts import local, resources, sources
from trimtab.report.ending import ending
from trimtab.rollouts.conditions import COMMON
from trimtab.settings import evaluations
from trimtab.settings.activations import CaptureSettings
from trimtab.settings.engine import VLLM, EngineSettings
from trimtab.settings.model import LoadingSettings, PreflightSettings, SourceSettings
from trimtab.settings.probes import FitSettings, ProbeSettings
from trimtab.settings.prompts import ContrastSettings, CorpusSettings
from trimtab.settings.rollouts import (
    BatchSettings,
    CommonDesign,
    Design,
    EpisodeSettings,
    WeightSettings,
)
from trimtab.settings.saes import ExampleSettings, GateSettings
from trimtab.settings.statistics import ComparisonSettings
from trimtab.settings.vectors import VectorSettings
from trimtab.vectors import applications, drawn, methods, nulls
from trimtab.vectors.design import planned

# of a job whose model may run on vLLM
Served = namedtuple("Served", ["checks", "threads", "python", "packages", "settings"])

DEPLOYED = {str(method) for method in workflow.deployment_settings.deployment_method}
# of another workflow
MODULE = not workflow.modifier.is_main_snakefile()

try:
    if "{" in str(CHECKOUT) or "}" in str(CHECKOUT):
        raise TrimtabError(
            f"{CHECKOUT}: Snakemake takes braces in the path of a workflow for wildcards; move the checkout"
        )
    own_files, words = workflow.overwrite_configfiles, workflow.config_settings.config
    if MODULE:
        # of the workflow around it; what differs from the default is all that it has to give
        others = [each for each in workflow.configfiles if each not in own_files]
        own_files, given = [*map(Path, others), *own_files], config
        config = load_configfile(CHECKOUT / "config.yaml")
        update_config(config, given)
        words = {key: value for key, value in words.items() if key in given}
    origins = written.read(CHECKOUT / "config.yaml", own_files, words)
    origins.leave(os.environ)
    written.take_words(config, words)
    written.complete(config, origins, CHECKOUT)
    SETTINGS = check(config, origins)
    # resources are part of the project, so rules carry a digest of the part they use, not the file: editing one trait
    # reruns that trait, and a fresh clone reruns nothing
    RESOURCES = config["resources"]
    BLOCKS = resources.traits(Path(RESOURCES, "traits.yaml"))
    TASKS = resources.tasks(Path(RESOURCES, "tasks.yaml"))
    resources.check_fills(TASKS["contrast"], config["prompts"]["contrast"]["fills"])
    CORPUS = resources.load(Path(RESOURCES, "corpus.yaml"))
    LOCAL = local.own_files(
        CORPUS["sources"], Path(RESOURCES), Path(config["model"]["source"])
    )
    # whether jobs have another Python than this Snakemake, whose packages are for them to ask
    OWN_PYTHON = "conda" in DEPLOYED or bool(
        "apptainer" in DEPLOYED and config["container"]
    )
    # an image that is a file may be replaced by another, whose packages nothing else tells
    IMAGE, image = "", config["container"] if "apptainer" in DEPLOYED else None
    if image and "://" not in image:
        if not os.path.exists(image):
            raise TrimtabError(
                f"config.yaml, container: {image!r} is no file here, nor an address such as docker://mine/trimtab:1"
            )
        IMAGE = fingerprint.digest(Path(image)) if os.path.isfile(image) else ""
    VERSIONS = {"corpus": {}, "tasks": {}}
    for key in SETTINGS.on_vllm:
        running.check_engine(CHECKOUT, OWN_PYTHON, key)
    if SETTINGS.on_vllm:
        depth.check_workers(
            config["model"]["source"], SETTINGS.rollouts.vllm.tensor_parallel_size
        )
    if not OWN_PYTHON:
        count = config["prompts"]["corpus"]["transcripts"]
        sources.check_transcripts(count, CORPUS["transcript_tasks"])
        # of packages whose texts are data: another version has other texts
        VERSIONS["corpus"] = sources.package_versions(CORPUS)
        VERSIONS["tasks"] = sources.task_versions(CORPUS)
        depth.check_layers(config["model"]["source"], config["layers"])
    CONTENT = folder.source_digest(config["model"]["source"])
    if config["model"]["source"] == names.ORGANISM:
        truths = resources.load(Path(RESOURCES, "truth.yaml"))
        resources.check_truth(truths, config["organism"]["truth"])
    WRITTEN_SCENARIOS = resources.scenarios(Path(RESOURCES, "scenarios.yaml"))
    SCENARIOS = resources.select_scenarios(
        WRITTEN_SCENARIOS, config["prompts"]["scenarios"]
    )
    # what some method asks for beyond the trait's own rows, or the unit of doses
    NEEDED = {
        need
        for method in config["vectors"]["methods"]
        for need in methods.needs(method)
    } | ({"actions"} if config["rollouts"]["unit"] == "chance" else set())
    # whether there is an axis along which the agent's own episodes are read
    DRIFTS = "assistant_axis" in config["vectors"]["methods"]
    # whether some method is trained through the model
    TRAINED = any(map(methods.is_trained, config["vectors"]["methods"]))
    DEVELOPMENT = (
        resources.development(Path(RESOURCES, "development.yaml"), WRITTEN_SCENARIOS)
        if "episodes" in NEEDED or DRIFTS
        else []
    )
    DECISIONS = resources.load(Path(RESOURCES, "decisions.yaml"))
    POINTS = DECISIONS["points"]
    if hidden := [*unseen(SETTINGS, DECISIONS["measures"])]:
        raise TrimtabError("\n".join(f"{origins.of(line)}, {line}" for line in hidden))
    # the agent's protocol, for the scripts
    AGENT_FILE = f"{RESOURCES}/{config['rollouts']['protocol']}.yaml"
    AGENT = resources.agent(Path(AGENT_FILE))
    for trait in config["probes"]["traits"]:
        if trait not in BLOCKS:
            raise TrimtabError(
                f"config.yaml, probes.traits: {trait!r} is not in {RESOURCES}/traits.yaml"
            )
    RESULTS = Path("results", config["experiment"])
    if workflow.modifier.path_modifier.replace_prefix(str(RESULTS)) != str(RESULTS):
        raise TrimtabError(
            f"{RESULTS}: a module of this workflow takes no prefix, since locks and records lie in the results as "
            "well; another `experiment` gives it a folder of its own"
        )
    if workflow.is_main_process and (line := records.restore(RESULTS)):
        print(line, file=sys.stderr)
except TrimtabError as error:
    told = Origins.found().told(str(error))
    raise WorkflowError(f"the configuration can't be used:\n{told}") from None


def code_digest(script):
    """Digest of a script, of the library modules that it imports and of the image it runs in: what reruns its rule."""
    path = LIBRARY / "scripts" / f"{script}.py"
    return digest.code_digest(path, LIBRARY / "trimtab") + IMAGE


def config_slice(model, within):
    """A rule's narrow slice of a config section (a dotted path): the keys of a model of `trimtab.settings`, as sorted JSON."""
    section = lookup(within.replace(".", "/"), within=config)
    return literal(
        json.dumps({key: section[key] for key in model.keys(section)}, sort_keys=True)
    )


def served(engine):
    """What a job asks for whose model runs on an engine: where that is vLLM, its environment and its checks."""
    section = config["rollouts"] | {"engine": engine}
    told = {key: section[key] for key in EngineSettings.keys(section)}
    settings = json.dumps(told, sort_keys=True)
    if engine != VLLM:
        return Served([], 1, literal(""), "", literal(settings))
    return Served(
        ["<results>/rollouts/engine.json"],
        # workers that compute together, each in a thread
        SETTINGS.rollouts.vllm.tensor_parallel_size,
        literal(running.python_of_engine(CHECKOUT)),
        fingerprint.digest(CHECKOUT / "envs" / "vllm.txt"),
        literal(settings),
    )


def measuring():
    """What the manifest depends on, as JSON; sites are named where they aren't the residual stream."""
    section, site = config["model"], config["activations"]["site"]
    settings = {key: section[key] for key in LoadingSettings.keys(section)}
    return json.dumps(
        settings | ({} if site == "residual" else {"site": site}), sort_keys=True
    )


def literal(text):
    """A parameter whose braces are no wildcards: Snakemake looks for them in a text, and not in what a function gives."""
    return lambda wildcards: text


def content(pattern, **names):
    """Digest of what lies at a user's path with names in it; empty for no path.

    For a parameter that must not be a function of the input: Snakemake takes such a one for the input itself, which
    it knows by name and time, and reruns nothing where it changes.
    """
    if not pattern:
        return ""
    for name, value in names.items():
        pattern = pattern.replace(f"{{{name}}}", value)
    return fingerprint.digest(Path(pattern))


def local_texts():
    """Digests of the user's own files that the corpus quotes."""
    return [fingerprint.digest(path) for path in LOCAL]


def contrast_templates(trait):
    """What contrast prompts use of a trait's block."""
    block, settings = BLOCKS[trait], config["prompts"]["contrast"]
    used = [
        resources.templates_of(trait, block[kind], settings["templates"])
        for kind in settings["kinds"]
    ]
    return [*used, block.get("lexical")]


def design(wildcards):
    """What a batch's conditions depend on, as JSON.

    Those without a trait don't depend on the study's doses, a trait's not on blocks of the grid about other traits.
    """
    trait, section = wildcards.batch, config["rollouts"]
    model = CommonDesign if trait == COMMON else Design
    used = {key: section[key] for key in model.keys(section)}
    if trait != COMMON:
        used["grid"] = [b for b in used["grid"] if trait in b.get("traits", [trait])]
        # the table names gates; what opens them is the rollouts' business
        used["gates"] = {}
    return json.dumps(used, sort_keys=True)


@cache
def steered(batch):
    """What one batch's conditions apply, worked out once for all of its runs."""
    return () if batch == COMMON else tuple(planned(batch, SETTINGS.rollouts))


def making_edits(wildcards):
    """Methods of a batch's conditions that make edits of their own: their files say it, and the table of conditions."""
    found = steered(wildcards.batch)
    named = {part.method for each in found for part in (each, *each.also)}
    return sorted(name for name in named if methods.makes_edits(name))


def asked_lengths(wildcards):
    """The lengths that one trait's conditions need, as JSON; none where doses aren't searched for."""
    found = applications.asked(SETTINGS.rollouts, wildcards.trait)
    needed = {
        "asked": [asdict(each) for each in found],
        "bounded": SETTINGS.rollouts.unit == "asc",
        **gates_of(each.gate for each in found),
    }
    return json.dumps(needed, sort_keys=True)


def gates_of(names):
    """Gates of these names as a job is given them; nothing where none is named, so that no job depends on others."""
    found = {name: SETTINGS.rollouts.gates[name].record() for name in names if name}
    return {"gates": written.settle(found)} if found else {}


@cache
def gates_behind(batch):
    """The gates of one batch's conditions, by name."""
    return gates_of(gate for _, gate in gated(batch)).get("gates", {})


def gated(batch):
    """The traits and gates of what one batch's conditions apply; an empty name is no gate."""
    found = steered(batch)
    own = {(batch, each.gate) for each in found}
    return own | {(also.trait, also.gate) for each in found for also in each.also}


def batch_gates(wildcards):
    """The gates of one batch's conditions, as JSON."""
    return json.dumps({"gates": gates_behind(wildcards.batch)}, sort_keys=True)


def also_inputs(wildcards):
    """Vectors of other traits, or others of the batch's own, that its conditions apply as well."""
    found = steered(wildcards.batch)
    names = {f"{also.method}/{also.trait}" for each in found for also in each.also}
    return expand("<results>/vectors/{name}.safetensors", name=sorted(names))


def gate_inputs(wildcards):
    """Artifacts that the gates of one batch's conditions are made from."""
    gates = gates_behind(wildcards.batch)
    saes = {gate["layer"] for gate in gates.values() if gate["kind"] == "latent"}
    if any(gate["kind"] == "contrast" for gate in gates.values()):
        # the trait's layer isn't known before its probe is
        saes = set(LAYERS)
    probes = {
        trait
        for trait, name in gated(wildcards.batch)
        if name and gates[name]["kind"] in ("probe", "contrast")
    }
    return [
        *expand("<results>/saes/{layer}/sae_weights.safetensors", layer=sorted(saes)),
        *expand("<results>/probes/{trait}.safetensors", trait=sorted(probes)),
    ]


def sae_settings(layer):
    """What shapes one layer's dictionary, as JSON: an override of a layer reruns that layer alone."""
    return json.dumps(SETTINGS.saes.of_layer(int(layer)).record(), sort_keys=True)


def probed():
    """The layers where probes sit, each with its traits, those of most traits first; known when the probes are."""
    path = checkpoints.probe_layers.get().output.layers
    return json.loads(Path(path).read_text())["layers"]


def twice(pattern="{layer}"):
    """Texts for the layers whose dictionary has a second seed: those where the most probes sit."""
    if not SECOND_SEEDS:
        return []
    layers = [each["layer"] for each in probed()[:SECOND_SEEDS]]
    return expand(pattern, layer=sorted(layers))


def chance_files():
    """Decisions under random directions, of the layers where probes sit."""
    if not CHANCE:
        return []
    layers = sorted(each["layer"] for each in probed())
    return expand("<results>/vectors/chance/{layer}.parquet", layer=layers)


def measured_at(wildcards):
    """Points at which the traits whose probes sit at a layer are measured: its random directions are theirs alone."""
    (traits,) = [
        each["traits"] for each in probed() if each["layer"] == int(wildcards.layer)
    ]
    measures = DECISIONS["measures"]
    return sorted(
        {measures[trait]["point"] if trait in measures else "start" for trait in traits}
    )


def streamed(wildcards):
    """All layers; for a second seed, the one that has it."""
    return [wildcards.layer] if "layer" in wildcards.keys() else LAYERS


def turns_of(wildcards):
    """The episodes of a batch, where an evaluator goes by them."""
    if "turns" not in evaluators.needs(wildcards.evaluator):
        return []
    pattern = "<results>/rollouts/turns/{batch}{run}.parquet"
    return expand(pattern, batch=wildcards.batch, run=RUNS)


def latents_of(wildcards):
    """Which latents go with a batch's trait, where an evaluator asks for that."""
    asks = "latents" in evaluators.needs(wildcards.evaluator)
    return (
        ["<results>/probes/{batch}.latents.parquet"]
        if asks and wildcards.batch != COMMON
        else []
    )


def dictionaries_of(wildcards):
    """All layers' dictionaries, where an evaluator asks for them: a trait's layer isn't known before its probe is."""
    asks = "dictionaries" in evaluators.needs(wildcards.evaluator)
    pattern = "<results>/saes/{layer}/sae_weights.safetensors"
    return expand(pattern, layer=LAYERS) if asks else []


def evaluated(wildcards):
    """Digest of what an evaluator takes from the resources."""
    used = [
        (
            DECISIONS
            if kind == evaluators.SCENARIOS
            else resources.load(evaluators.items_file(Path(RESOURCES), kind))
        )
        for kind in evaluators.items(wildcards.evaluator)
    ]
    return resources.digest([AGENT, *used])


def evaluated_by(wildcards):
    """The traits' declared outcomes, where an evaluator asks for their actions, as JSON."""
    asks = "actions" in evaluators.needs(wildcards.evaluator)
    primary = config["statistics"]["primary"]
    found = {trait: primary[trait] for trait in TRAITS if trait in primary}
    return json.dumps({"primary": found if asks else {}}, sort_keys=True)


def evaluator_settings(wildcards):
    """An evaluator's own settings, as JSON."""
    name, given = wildcards.evaluator, config["evaluations"]["settings"]
    own = {name: given[name]} if name in given else {}
    return json.dumps({"settings": own}, sort_keys=True)


def evaluator_digest(name):
    """Digest of an evaluator's file, and of the library modules that it imports."""
    return digest.code_digest(evaluators.path(name), LIBRARY / "trimtab")


def evaluator_code(wildcards):
    """Digests of the code that measures."""
    return [code_digest("evaluations_measure"), evaluator_digest(wildcards.evaluator)]


PREFIX = running.shell_prefix(config["experiment"]) + running.python_of_jobs(
    CHECKOUT, OWN_PYTHON
)
# Snakemake formats a prefix, in which braces stand for themselves when doubled
shell.prefix(PREFIX.replace("{", "{{").replace("}", "}}"))


def ours(path):
    """Whether an artifact is one of this experiment, and not of a workflow around it."""
    return path.startswith(f"{RESULTS}/")


def made_by_other_settings():
    """A line that names artifacts whose own settings or code are others than those that made them; None: no such."""
    why = {job: workflow.dag.reason(job) for job in workflow.dag.needrun_jobs()}
    jobs = [job for job in why if why[job].params_changed or why[job].code_changed]
    paths = [path for job in jobs for path in job.output if ours(path)]
    made = sorted(os.path.relpath(path, RESULTS) for path in paths)
    if not made:
        return None
    listed = ", ".join(made[:3]) + (f" and {len(made) - 3} more" if made[3:] else "")
    return f"{RESULTS}: other settings or code made {listed}; these and what follows are made again"


def programs(group):
    """Names of the programs that some rules run."""
    return [
        name
        for each in group
        for name in re.findall(r"workflow/scripts/(\w+)\.py", each.shellcmd or "")
    ]


def set_retries(times):
    """How often jobs are tried again; jobs of a group fail together, so all programs of the group count."""
    for one in workflow.rules:
        together = [
            each for each in workflow.rules if one.group and each.group == one.group
        ]
        one.restart_times = running.Retries(times, programs(together or [one]))


def check_commands(jobs):
    """Refuse an experiment of which some command names more files than a command may."""
    for job in jobs:
        # the command is made of these names, and making it takes time
        if sum(map(len, job.input)) > running.LONGEST_COMMAND // 2:
            running.check_command(job.rule.name, f"{PREFIX}{job.shellcmd}")


def check_gpu():
    """Refuse a device that jobs on this machine would look for in vain; an environment or image has a torch of its own."""
    if not OWN_PYTHON:
        check_device(config["model"]["device"])


def need_gpu(jobs):
    """Whether some job of the experiment does, and would have it here and not on a cluster."""
    mine = [job for job in jobs if any(map(ours, map(str, job.output)))]
    needed = any("gpu" in job.rule.resources for job in mine)
    return needed and workflow.local_exec and not workflow.touch


# what a run makes of the experiment; a plan makes nothing, and may be asked for beside a run
MADE = []
STARTED = time.time()


def begin_run(log):
    """Before the first job: have the locks, say in the records what isn't made yet, and what is made again."""
    gc.freeze()
    gc.enable()
    jobs = list(workflow.dag.needrun_jobs())
    MADE.extend(path for job in jobs for path in map(str, job.output) if ours(path))
    if not MADE:
        return
    try:
        check_commands(jobs)
        if need_gpu(jobs):
            check_gpu()
        # SLURM's alone has a name for its jobs
        jobs_name = getattr(workflow.scheduler._executor, "run_uuid", None)
        running.begin(config["experiment"], jobs_name)
        status.note(RESULTS, log)
        if workflow.execution_settings.retries:
            set_retries(workflow.execution_settings.retries)
        records.keep(RESULTS, MADE)
    except TrimtabError as error:
        raise WorkflowError(origins.told(str(error))) from None
    for line in doubts(SETTINGS):
        print(f"this design can't answer all that it asks: {line}", file=sys.stderr)
    if not workflow.touch and (line := made_by_other_settings()):
        print(line, file=sys.stderr)


def end_run(log):
    """After the last job, whatever became of it."""
    if MADE:
        records.keep(RESULTS)


def end_well(log):
    """After the last job, where none failed: what was found."""
    end_run(log)
    for line in ending(RESULTS / "report" / "report.html", STARTED):
        print(line)


def with_others(before, mine):
    """What the workflow around this one does at some moment, then what this one does."""

    def both(log):
        before(log)
        mine(log)

    return both


# a plan may be one for a cluster, or for another machine
if workflow.output_settings.dryrun and workflow.resource_settings.nodes is None:
    try:
        check_gpu()
    except TrimtabError as error:
        told = origins.told(str(error))
        print(f"no job that loads the model would begin here: {told}", file=sys.stderr)


# Snakemake asks the main Snakefile alone, and goes by the handler that was defined last
workflow._onstart = with_others(workflow._onstart, begin_run)
workflow._onsuccess = with_others(workflow._onsuccess, end_well)
workflow._onerror = with_others(workflow._onerror, end_run)


LAYERS = config["layers"]
TRAITS = config["probes"]["traits"]
BATCHES = [COMMON, *TRAITS]
# what a run of the rollouts adds to a batch's name; the first, seed 0, adds nothing
RUNS = [f".seed{run}" if run else "" for run in config["rollouts"]["seeds"]]
# rules that load the model ask for a GPU where it runs on one
GPUS = int(config["model"]["device"] != "cpu")
SHARDS = [f"{shard:03d}" for shard in range(config["prompts"]["corpus"]["shards"])]


def either(values):
    """A pattern of these alone, so that a target that the experiment doesn't have is refused."""
    return "|".join(re.escape(str(value)) for value in values)


wildcard_constraints:
    trait=either(TRAITS),
    layer=either(LAYERS),
    shard=either(SHARDS),
    batch=either(BATCHES),
    # an empty pattern would be no constraint
    run=f"({either(RUNS)})",
    evaluator=either(evaluations.names()),
