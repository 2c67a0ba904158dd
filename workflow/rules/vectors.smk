# Steering vectors: one job a trait makes every method's direction and measures what its doses come to.

METHODS = [
    name
    for method in config["vectors"]["methods"]
    for name in (
        [f"random_{draw}" for draw in range(config["vectors"]["random_draws"])]
        if method == "random"
        else [method]
    )
]


rule vectors:
    input:
        manifest="<results>/model/manifest.json",
        preflight="<results>/model/preflight.json",
        contrast="<results>/prompts/contrast/{trait}.jsonl",
        cache="<results>/activations/contrast/{trait}.h5",
        probe="<results>/probes/{trait}.json",
        weights="<results>/probes/{trait}.safetensors",
        saes=expand("<results>/saes/{layer}/sae_weights.safetensors", layer=LAYERS),
    output:
        expand(
            "<results>/vectors/{method}/{trait}.safetensors",
            method=METHODS,
            allow_missing=True,
        ),
    log:
        "<logs>/vectors/{trait}.log",
    benchmark:
        "<benchmarks>/vectors/{trait}.jsonl"
    priority: 1
    conda:
        "../../envs/model.yaml"
    params:
        folder=lambda wildcards, output: str(Path(output[0]).parents[1]),
        saes=lambda wildcards, input: str(Path(input.saes[0]).parents[1]),
        resources=resources.digest([FEW_SHOT, TASKS["calibration"]]),
        methods=METHODS,
        kind=config["probes"]["contrast"],
        doses=config["vectors"]["calibration_doses"],
        unit=config["rollouts"]["unit"],
        seed=config["seed"],
        code=code_digest("vectors_make"),
    shell:
        "python workflow/scripts/vectors_make.py {input.manifest} {input.contrast} {input.cache} {input.probe}"
        " {input.weights} workflow/resources/few_shot.yaml workflow/resources/tasks.yaml {params.folder}"
        " --trait {wildcards.trait} --methods {params.methods} --saes {params.saes} --kind {params.kind}"
        " --doses {params.doses} --unit {params.unit} --seed {params.seed} > {log} 2>&1"


rule vector_tables:
    input:
        vectors=expand(
            "<results>/vectors/{method}/{trait}.safetensors",
            method=METHODS,
            trait=TRAITS,
        ),
    output:
        geometry="<results>/vectors/geometry.csv",
        doses="<results>/vectors/doses.csv",
        records=expand(
            "<results>/vectors/{table}.provenance.json", table=["geometry", "doses"]
        ),
    log:
        "<logs>/vectors/tables.log",
    benchmark:
        "<benchmarks>/vectors/tables.jsonl"
    conda:
        "../../envs/model.yaml"
    params:
        code=code_digest("vectors_tables"),
    shell:
        "python workflow/scripts/vectors_tables.py {output.geometry} {output.doses} --vectors {input.vectors} 2> {log}"
