# SAEs: a dictionary a layer, each a job of its own, then the figures of all in one process.

OVERRIDES = {int(layer): own for layer, own in config["saes"]["overrides"].items()}


rule sae:
    input:
        manifest="<results>/model/manifest.json",
        corpus="<results>/prompts/corpus.jsonl",
        caches=expand("<results>/activations/corpus/{shard}.h5", shard=SHARDS),
    output:
        weights="<results>/saes/{layer}/sae_weights.safetensors",
        description="<results>/saes/{layer}/cfg.json",
        provenance="<results>/saes/{layer}/provenance.json",
        training="<results>/saes/{layer}/training.csv",
    log:
        "<logs>/saes/{layer}.log",
    benchmark:
        "<benchmarks>/saes/{layer}.jsonl"
    conda:
        "../../envs/model.yaml"
    params:
        folder=subpath(output.weights, parent=True),
        context_size=config["prompts"]["corpus"]["max_tokens"],
        # an override is part of its own layer's settings alone, so that it reruns that layer alone
        settings=lambda wildcards: json.dumps(
            {
                key: OVERRIDES.get(int(wildcards.layer), {}).get(key, value)
                for key, value in config["saes"].items()
                if key not in ("gates", "overrides")
            },
            sort_keys=True,
        ),
        seed=config["seed"],
        code=code_digest("saes_train"),
    shell:
        "python workflow/scripts/saes_train.py {input.manifest} {input.corpus} {params.folder} --caches {input.caches}"
        " --layer {wildcards.layer} --context-size {params.context_size}"
        " --settings {params.settings:q} --seed {params.seed} 2> {log}"


rule sae_quality:
    input:
        manifest="<results>/model/manifest.json",
        corpus="<results>/prompts/corpus.jsonl",
        weights=expand("<results>/saes/{layer}/sae_weights.safetensors", layer=LAYERS),
        descriptions=expand("<results>/saes/{layer}/cfg.json", layer=LAYERS),
    output:
        table="<results>/saes/quality.csv",
        record="<results>/saes/quality.provenance.json",
    log:
        "<logs>/saes/quality.log",
    benchmark:
        "<benchmarks>/saes/quality.jsonl"
    conda:
        "../../envs/model.yaml"
    params:
        folders=lambda wildcards, input: [
            str(Path(path).parent) for path in input.descriptions
        ],
        layers=LAYERS,
        max_tokens=config["prompts"]["corpus"]["max_tokens"],
        resources=resources.digest(FEW_SHOT),
        gates=config_slice(
            "explained_variance", "loss_recovered", "dead_share", within="saes.gates"
        ),
        code=code_digest("saes_quality"),
    shell:
        "python workflow/scripts/saes_quality.py {input.manifest} {input.corpus}"
        " workflow/resources/few_shot.yaml {output.table} --saes {params.folders}"
        " --layers {params.layers} --max-tokens {params.max_tokens}"
        " --gates {params.gates:q} 2> {log}"
