# What every stage's rules share: the checked config, names taken from it, and the digest of a script's code.

import gc
import json
import os
import re
import sys
from dataclasses import asdict
from pathlib import Path

# what Snakemake has imported, the rules and the DAG stay to the end: until jobs start, looking for garbage finds none
gc.disable()

from snakemake.exceptions import WorkflowError

# scripts and rules find the library in this checkout, installed or not; not the main Snakefile's folder, which is
# another where this workflow is a module of it
try:
    LIBRARY = Path(workflow.current_basedir).parent
except TypeError:
    raise WorkflowError(
        f"{workflow.current_basedir.get_path_or_uri(secret_free=True)}: Snakemake fetches the rules alone, and their "
        "jobs need this workflow's library; clone the repository and give the path of its Snakefile"
    ) from None
CHECKOUT = LIBRARY.parent
sys.path.insert(0, str(LIBRARY))
os.environ.update(
    PYTHONPATH=os.pathsep.join(
        [str(LIBRARY), *filter(None, [os.environ.get("PYTHONPATH")])]
    ),
    # text is UTF-8 whatever the shell's locale
    PYTHONUTF8="1",
)

from trimtab.config import written
from trimtab.config.check import check
from trimtab.artifacts import digest, fingerprint, records
from trimtab.jobs import running
from trimtab.jobs.origins import Origins
from trimtab.errors import TrimtabError
from trimtab.model import folder, names
from trimtab.plan.design import doubts
from trimtab.prompts import local, resources
from trimtab.report.ending import ending
from trimtab.rollouts.conditions import COMMON
from trimtab.settings.activations import CaptureSettings
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
from trimtab.vectors import applications, drawn, methods
from trimtab.vectors.design import planned

try:
    if "{" in str(CHECKOUT) or "}" in str(CHECKOUT):
        raise TrimtabError(
            f"{CHECKOUT}: Snakemake takes braces in the path of a workflow for wildcards; move the checkout"
        )
    words = workflow.config_settings.config
    origins = written.read(
        CHECKOUT / "config.yaml", workflow.overwrite_configfiles, words
    )
    origins.leave(os.environ)
    written.take_words(config, words)
    written.take_paths(config, origins, CHECKOUT)
    config.update(written.settle(config))
    written.take_groups(config)
    SETTINGS = check(config, origins)
    # resources are part of the project, so rules carry a digest of the part they use, not the file: editing one trait
    # reruns that trait, and a fresh clone reruns nothing
    RESOURCES = config["resources"]
    BLOCKS = resources.traits(Path(RESOURCES, "traits.yaml"))
    TASKS = resources.tasks(Path(RESOURCES, "tasks.yaml"))
    resources.check_fills(TASKS["contrast"], config["prompts"]["contrast"]["fills"])
    CORPUS = resources.load(Path(RESOURCES, "corpus.yaml"))
    if config["model"]["source"] == names.ORGANISM:
        truths = resources.load(Path(RESOURCES, "truth.yaml"))
        resources.check_truth(truths, config["organism"]["truth"])
    WRITTEN_SCENARIOS = resources.scenarios(Path(RESOURCES, "scenarios.yaml"))
    SCENARIOS = resources.select_scenarios(
        WRITTEN_SCENARIOS, config["prompts"]["scenarios"]
    )
    # what some method asks for beyond the trait's own rows
    NEEDED = {
        need
        for method in config["vectors"]["methods"]
        for need in methods.needs(method)
    }
    DEVELOPMENT = (
        resources.development(Path(RESOURCES, "development.yaml"), WRITTEN_SCENARIOS)
        if "episodes" in NEEDED
        else []
    )
    DECISIONS = resources.load(Path(RESOURCES, "decisions.yaml"))
    POINTS = DECISIONS["points"]
    # the agent's protocol, for the scripts
    AGENT_FILE = f"{RESOURCES}/{config['rollouts']['protocol']}.yaml"
    AGENT = resources.agent(Path(AGENT_FILE))
    for trait in config["probes"]["traits"]:
        if trait not in BLOCKS:
            raise TrimtabError(
                f"config.yaml, probes.traits: {trait!r} is not in {RESOURCES}/traits.yaml"
            )
    RESULTS = Path("results", config["experiment"])
    if workflow.is_main_process and (line := records.restore(RESULTS)):
        print(line, file=sys.stderr)
except TrimtabError as error:
    told = Origins.found().told(str(error))
    raise WorkflowError(f"the configuration can't be used:\n{told}") from None


def code_digest(script):
    """Digest of a script and of the library modules that it imports: what makes its rule rerun."""
    return digest.code_digest(LIBRARY / "scripts" / f"{script}.py", LIBRARY / "trimtab")


def config_slice(model, within):
    """A rule's narrow slice of a config section (a dotted path): the keys of a model of `trimtab.settings`, as sorted JSON."""
    section = lookup(within.replace(".", "/"), within=config)
    return literal(
        json.dumps({key: section[key] for key in model.keys(section)}, sort_keys=True)
    )


def literal(text):
    """A parameter whose braces are no wildcards: Snakemake looks for them in a text, and not in what a function gives."""
    return lambda wildcards: text


def local_texts():
    """Digests of the files of the corpus' local sources."""
    found = local.paths(CORPUS["sources"], Path(RESOURCES))
    return [fingerprint.sha256(path) for paths in found.values() for path in paths]


def contrast_templates(trait):
    """What contrast prompts use of a trait's block."""
    kinds = config["prompts"]["contrast"]["kinds"]
    return [BLOCKS[trait].get(kind) for kind in (*kinds, "lexical")]


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


def asked_lengths(wildcards):
    """The lengths that one trait's conditions need, as JSON; none where doses aren't in nats."""
    found = applications.asked(SETTINGS.rollouts, wildcards.trait)
    gates = gates_of(each.gate for each in found)
    return json.dumps(
        {"asked": [asdict(each) for each in found], **gates}, sort_keys=True
    )


def gates_of(names):
    """Gates of these names as a job is given them; nothing where none is named, so that no job depends on others."""
    found = {name: SETTINGS.rollouts.gates[name].record() for name in names if name}
    return {"gates": written.settle(found)} if found else {}


def gates_behind(batch):
    """The gates of one batch's conditions, by name."""
    return gates_of(gate for _, gate in gated(batch)).get("gates", {})


def gated(batch):
    """The traits and gates of what one batch's conditions apply; an empty name is no gate."""
    found = [] if batch == COMMON else planned(batch, SETTINGS.rollouts)
    own = {(batch, each.gate) for each in found}
    return own | {(also.trait, also.gate) for each in found for also in each.also}


def batch_gates(wildcards):
    """The gates of one batch's conditions, as JSON."""
    return json.dumps({"gates": gates_behind(wildcards.batch)}, sort_keys=True)


def also_inputs(wildcards):
    """Vectors of other traits, or others of the batch's own, that its conditions apply as well."""
    if wildcards.batch == COMMON:
        return []
    found = planned(wildcards.batch, SETTINGS.rollouts)
    names = {f"{also.method}/{also.trait}" for each in found for also in each.also}
    return expand("<results>/vectors/{name}.safetensors", name=sorted(names))


def gate_inputs(wildcards):
    """Artifacts that the gates of one batch's conditions are made from."""
    gates = gates_behind(wildcards.batch)
    saes = {gate["layer"] for gate in gates.values() if gate["kind"] == "latent"}
    probes = {
        trait
        for trait, name in gated(wildcards.batch)
        if name and gates[name]["kind"] == "probe"
    }
    return [
        *expand("<results>/saes/{layer}/sae_weights.safetensors", layer=sorted(saes)),
        *expand("<results>/probes/{trait}.safetensors", trait=sorted(probes)),
    ]


def sae_settings(layer):
    """What shapes one layer's dictionary, as JSON: an override of a layer reruns that layer alone."""
    return json.dumps(SETTINGS.saes.of_layer(int(layer)).record(), sort_keys=True)


def twice(pattern="{layer}"):
    """Texts for the layers whose dictionary has a second seed: those where the most probes sit."""
    if not SECOND_SEEDS:
        return []
    chosen = json.loads(Path(checkpoints.probe_layers.get().output.layers).read_text())
    layers = [each["layer"] for each in chosen["layers"][:SECOND_SEEDS]]
    return expand(pattern, layer=sorted(layers))


def chance_files():
    """Decisions under random directions, of the layers where probes sit."""
    if not CHANCE:
        return []
    chosen = json.loads(Path(checkpoints.probe_layers.get().output.layers).read_text())
    layers = sorted(each["layer"] for each in chosen["layers"])
    return expand("<results>/vectors/chance/{layer}.parquet", layer=layers)


def measured_at(wildcards):
    """Points at which the traits whose probes sit at a layer are measured: its random directions are theirs alone."""
    chosen = json.loads(Path(checkpoints.probe_layers.get().output.layers).read_text())
    (traits,) = [
        each["traits"]
        for each in chosen["layers"]
        if each["layer"] == int(wildcards.layer)
    ]
    measures = DECISIONS["measures"]
    return sorted(
        {measures[trait]["point"] if trait in measures else "start" for trait in traits}
    )


def streamed(wildcards):
    """All layers; for a second seed, the one that has it."""
    return [wildcards.layer] if "layer" in wildcards.keys() else LAYERS


WITH_CONDA = "conda" in map(str, workflow.deployment_settings.deployment_method)
PREFIX = running.shell_prefix(config["experiment"]) + running.python_of_jobs(
    CHECKOUT, WITH_CONDA
)
# Snakemake formats a prefix, in which braces stand for themselves when doubled
shell.prefix(PREFIX.replace("{", "{{").replace("}", "}}"))


def made_by_other_settings():
    """A line that names artifacts whose own settings or code are others than those that made them; None: no such."""
    why = {job: workflow.dag.reason(job) for job in workflow.dag.needrun_jobs()}
    jobs = [job for job in why if why[job].params_changed or why[job].code_changed]
    made = sorted(os.path.relpath(path, RESULTS) for job in jobs for path in job.output)
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


onstart:
    gc.freeze()
    gc.enable()
    try:
        # SLURM's alone has a name for its jobs
        jobs_name = getattr(workflow.scheduler._executor, "run_uuid", None)
        running.begin(config["experiment"], jobs_name)
        if workflow.execution_settings.retries:
            set_retries(workflow.execution_settings.retries)
        planned_files = [
            str(path) for job in workflow.dag.needrun_jobs() for path in job.output
        ]
        records.keep(RESULTS, planned_files)
    except TrimtabError as error:
        raise WorkflowError(str(error)) from None
    for line in doubts(SETTINGS):
        print(f"this design can't answer all that it asks: {line}", file=sys.stderr)
    if not workflow.touch and (line := made_by_other_settings()):
        print(line, file=sys.stderr)


onsuccess:
    records.keep(RESULTS)


onerror:
    records.keep(RESULTS)


LAYERS = config["layers"]
TRAITS = config["probes"]["traits"]
BATCHES = [COMMON, *TRAITS]
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
    run="({})".format(
        "|".join(
            re.escape(f".seed{run}") if run else ""
            for run in config["rollouts"]["seeds"]
        )
    ),
