# Activation caches: one pass of the model writes every hooked layer of a shard.

CAPTURE = config_slice(CaptureSettings, within="activations")


rule corpus_cache:
    input:
        manifest="<results>/model/manifest.json",
        preflight="<results>/model/preflight.json",
        corpus="<results>/prompts/corpus.jsonl",
    output:
        cache="<results>/activations/corpus/{shard}.h5",
    log:
        "<logs>/activations/corpus/{shard}.log",
    benchmark:
        "<benchmarks>/activations/corpus/{shard}.jsonl"
    conda:
        "../../envs/model.yaml"
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
        code=code_digest("activations_corpus"),
    shell:
        "python workflow/scripts/activations_corpus.py {input.manifest} {input.corpus}"
        " {params.agent:q} {output.cache} --shard {params.number} --shards {params.shards}"
        " --max-tokens {params.max_tokens} --layers {params.layers} --settings {params.settings:q} 2> {log}"


rule contrast_cache:
    input:
        manifest="<results>/model/manifest.json",
        preflight="<results>/model/preflight.json",
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
    resources:
        gpu=GPUS,
    params:
        agent=literal(AGENT_FILE),
        resources=resources.digest(AGENT),
        kind=config["probes"]["contrast"],
        layers=LAYERS,
        settings=CAPTURE,
        code=code_digest("activations_contrast"),
    shell:
        "python workflow/scripts/activations_contrast.py {input.manifest} {input.contrast}"
        " {params.agent:q} {output.cache} --kind {params.kind} --layers {params.layers}"
        " --settings {params.settings:q} 2> {log}"
