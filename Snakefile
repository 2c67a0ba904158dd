# Trimtab's one DAG, from prompts to a report. `snakemake --cores all` makes everything; the stages are the include lines.

from snakemake.utils import min_version

min_version("9.27")


include: "workflow/rules/place.smk"


configfile: workflow.source_path("config.yaml")


include: "workflow/rules/common.smk"


container: config["container"]


pathvars:
    results=f"results/{config['experiment']}",
    logs=f"results/{config['experiment']}/logs",
    benchmarks=f"results/{config['experiment']}/benchmarks",


include: "workflow/rules/model.smk"
include: "workflow/rules/prompts.smk"
include: "workflow/rules/activations.smk"
include: "workflow/rules/saes.smk"
include: "workflow/rules/probes.smk"
include: "workflow/rules/vectors.smk"
include: "workflow/rules/rollouts.smk"
include: "workflow/rules/evaluations.smk"
include: "workflow/rules/statistics.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/plan.smk"
include: "workflow/rules/organism.smk"


# the next start needn't read the library again
digest.keep()


rule all:
    default_target: True
    input:
        "<results>/prompts/contrast.jsonl",
        "<results>/rollouts/room.csv",
        "<results>/saes/examples.html",
        ["<results>/saes/agreement.csv"] if SECOND_SEEDS else [],
        (
            ["<results>/rollouts/judge_agreement.csv"]
            if config["rollouts"]["judge"]["url"]
            else []
        ),
        ["<results>/rollouts/best_of.csv"] if config["rollouts"]["best_of"] else [],
        "<results>/report/report.html",
        ["<results>/organism/recovery.html"] if ORGANISM else [],
