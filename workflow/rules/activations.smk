# Activation caches: one pass of the model writes every hooked layer of a shard.

CAPTURE = config_slice(CaptureSettings, within="activations")

ROWS_ENGINE = served(config["activations"]["engine"])
# vLLM's reader is imported by name, which a digest of the scripts doesn't see
READER = (
    digest.code_digest(LIBRARY / "trimtab/rollouts/served/rows.py", LIBRARY / "trimtab")
    if ROWS_ENGINE.checks
    else ""
)


rule corpus_cache:
    input:
        manifest="<results>/model/manifest.json",
        preflight="<results>/model/preflight.json",
        engine=ROWS_ENGINE.checks,
        corpus="<results>/prompts/corpus.jsonl",
    output:
        cache="<results>/activations/corpus/{shard}.h5",
    log:
        "<logs>/activations/corpus/{shard}.log",
    benchmark:
        "<benchmarks>/activations/corpus/{shard}.jsonl"
    conda:
        "../../envs/model.yaml"
    threads: ROWS_ENGINE.threads
    resources:
        gpu=GPUS,
    params:
        agent=literal(AGENT_FILE),
        resources=resources.digest(AGENT),
        number=lambda wildcards: int(wildcards.shard),
        shards=len(SHARDS),
        max_tokens=config["prompts"]["corpus"]["max_tokens"],
        layers=LAYERS,
        settings=CAPTURE,
        engine=ROWS_ENGINE.settings,
        python=ROWS_ENGINE.python,
        packages=ROWS_ENGINE.packages,
        reader=READER,
        code=code_digest("activations_corpus"),
    shell:
        "{params.python}python workflow/scripts/activations_corpus.py {input.manifest} {input.corpus}"
        " {params.agent:q} {output.cache} --shard {params.number} --shards {params.shards}"
        " --max-tokens {params.max_tokens} --layers {params.layers} --settings {params.settings:q}"
        " --engine {params.engine:q} --checks {input.engine} 2> {log}"


rule contrast_cache:
    input:
        manifest="<results>/model/manifest.json",
        preflight="<results>/model/preflight.json",
        engine=ROWS_ENGINE.checks,
        contrast="<results>/prompts/contrast/{trait}.jsonl",
    output:
        cache="<results>/activations/contrast/{trait}.h5",
    log:
        "<logs>/activations/contrast/{trait}.log",
    benchmark:
        "<benchmarks>/activations/contrast/{trait}.jsonl"
    wildcard_constraints:
        trait=either([*TRAITS, resources.NULL]),
    priority: 1
    conda:
        "../../envs/model.yaml"
    threads: ROWS_ENGINE.threads
    resources:
        gpu=GPUS,
    params:
        agent=literal(AGENT_FILE),
        resources=resources.digest(AGENT),
        kind=config["probes"]["contrast"],
        layers=LAYERS,
        settings=CAPTURE,
        engine=ROWS_ENGINE.settings,
        python=ROWS_ENGINE.python,
        packages=ROWS_ENGINE.packages,
        reader=READER,
        code=code_digest("activations_contrast"),
    shell:
        "{params.python}python workflow/scripts/activations_contrast.py {input.manifest} {input.contrast}"
        " {params.agent:q} {output.cache} --kind {params.kind} --layers {params.layers}"
        " --settings {params.settings:q} --engine {params.engine:q} --checks {input.engine} 2> {log}"
