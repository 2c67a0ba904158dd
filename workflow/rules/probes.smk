# Probes: one job a trait fits all layers, penalties, shuffles and controls; then one table of all scores.


rule probe:
    input:
        manifest="<results>/model/manifest.json",
        prompts="<results>/prompts/contrast/{trait}.jsonl",
        cache="<results>/activations/contrast/{trait}.h5",
        null_prompts="<results>/prompts/contrast/null.jsonl",
        null="<results>/activations/contrast/null.h5",
        saes=expand("<results>/saes/{layer}/sae_weights.safetensors", layer=LAYERS),
        descriptions=expand("<results>/saes/{layer}/cfg.json", layer=LAYERS),
    output:
        description="<results>/probes/{trait}.json",
        weights="<results>/probes/{trait}.safetensors",
        latents="<results>/probes/{trait}.latents.parquet",
    log:
        "<logs>/probes/{trait}.log",
    benchmark:
        "<benchmarks>/probes/{trait}.jsonl"
    priority: 1
    conda:
        "../../envs/model.yaml"
    params:
        folders=lambda wildcards, input: [
            str(Path(path).parent) for path in input.descriptions
        ],
        layers=LAYERS,
        contrast=config["probes"]["contrast"],
        settings=config_slice(ProbeSettings, within="probes"),
        seed=config["seed"],
        code=code_digest("probes_fit"),
    shell:
        "python workflow/scripts/probes_fit.py {input.manifest} {input.prompts} {input.cache}"
        " {input.null_prompts} {input.null}"
        " {output.description} {output.weights} {output.latents} --saes {params.folders} --layers {params.layers}"
        " --trait {wildcards.trait} --contrast {params.contrast}"
        " --settings {params.settings:q} --seed {params.seed} 2> {log}"


# what is done at the probes' layers alone is planned when this is there
checkpoint probe_layers:
    input:
        probes=expand("<results>/probes/{trait}.json", trait=TRAITS),
    output:
        layers="<results>/probes/layers.json",
    log:
        "<logs>/probes/layers.log",
    benchmark:
        "<benchmarks>/probes/layers.jsonl"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        code=code_digest("probes_layers"),
    shell:
        "python workflow/scripts/probes_layers.py {output.layers} --probes {input.probes} 2> {log}"


rule probe_scores:
    input:
        probes=expand("<results>/probes/{trait}.json", trait=TRAITS),
    output:
        scores=report(
            "<results>/probes/scores.csv",
            caption="../report/table_scores.rst",
            category="Tables",
            labels={"table": "probe scores"},
        ),
        scores_record="<results>/probes/scores.provenance.json",
        gaps="<results>/probes/gaps.csv",
        gaps_record="<results>/probes/gaps.provenance.json",
    log:
        "<logs>/probes/scores.log",
    benchmark:
        "<benchmarks>/probes/scores.jsonl"
    conda:
        "../../envs/analysis.yaml"
    params:
        code=code_digest("probes_scores"),
    shell:
        "python workflow/scripts/probes_scores.py {output.scores} {output.gaps} --probes {input.probes} 2> {log}"
