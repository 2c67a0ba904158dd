# Steering vectors: one job a trait makes every method's direction and measures what its doses come to.

METHODS = nulls.vector_names(SETTINGS.vectors)

IMPORTED = config["vectors"]["imported"]

# a method's file, and those of its transformations
METHOD_DIGESTS = [
    digest.code_digest(path, LIBRARY / "trimtab")
    for method in sorted(config["vectors"]["methods"])
    for path in methods.files(method)
]
DECLARED = {
    trait: config["statistics"]["primary"][trait]
    for trait in TRAITS
    if "actions" in NEEDED
}
# random directions that are read in decisions and are no vectors of their own
CHANCE = [
    name
    for kind in drawn.KINDS
    for name in drawn.beyond(kind, config["vectors"]["chance_draws"], METHODS)
]
# a tuned twin of the model, where a method asks for it
TWIN = config["vectors"]["twin"] if "twin" in NEEDED else None
# roles that the agent is given, where a method asks for some
ROLES = [f"{RESOURCES}/roles.yaml"] if "roles" in NEEDED else []
# rules that are written for traits, where a method asks for some
WRITTEN_RULES = [f"{RESOURCES}/rules.yaml"] if "rules" in NEEDED else []
VECTOR_TABLES = [
    "geometry",
    "dimensions",
    "latents",
    "doses",
    "kl",
    "thresholds",
    "openings",
    "training",
    "margins",
    "not_made",
]


rule due:
    input:
        manifest="<results>/model/manifest.json",
        preflight="<results>/model/preflight.json",
        contrast="<results>/prompts/contrast/{trait}.jsonl",
    output:
        table="<results>/vectors/due/{trait}.parquet",
    log:
        "<logs>/vectors/due/{trait}.log",
    benchmark:
        "<benchmarks>/vectors/due/{trait}.jsonl"
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
        code=code_digest("vectors_due"),
    shell:
        "python workflow/scripts/vectors_due.py {input.manifest} {input.contrast} {params.agent:q} {output.table}"
        " --kind {params.kind} --layers {params.layers} 2> {log}"


rule vectors:
    input:
        manifest="<results>/model/manifest.json",
        calibration="<results>/rollouts/calibration.json",
        contrast="<results>/prompts/contrast/{trait}.jsonl",
        cache="<results>/activations/contrast/{trait}.h5",
        probe="<results>/probes/{trait}.json",
        weights="<results>/probes/{trait}.safetensors",
        saes=expand("<results>/saes/{layer}/sae_weights.safetensors", layer=LAYERS),
        imported=[IMPORTED] if IMPORTED else [],
        twin=sorted(map(str, Path(TWIN).glob("*.safetensors"))) if TWIN else [],
        prompts=expand(
            "<results>/prompts/contrast/{other}.jsonl",
            other=TRAITS if "rows" in NEEDED else [],
        ),
        due=expand(
            "<results>/vectors/due/{other}.parquet",
            other=TRAITS if "prompts" in NEEDED else [],
        ),
        caches=expand(
            "<results>/activations/contrast/{other}.h5",
            other=TRAITS if "rows" in NEEDED else [],
        ),
        corpus=expand(
            "<results>/activations/corpus/{shard}.h5",
            shard=SHARDS[:1] if "corpus" in NEEDED else [],
        ),
        episodes=(
            ["<results>/rollouts/development.jsonl"] if "episodes" in NEEDED else []
        ),
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
    resources:
        gpu=GPUS,
    params:
        data=literal(RESOURCES),
        agent=literal(AGENT_FILE),
        folder=lambda wildcards, output: str(Path(output[0]).parents[1]),
        saes=lambda wildcards, input: str(Path(input.saes[0]).parents[1]),
        resources=lambda wildcards: resources.digest(
            [
                AGENT,
                TASKS["calibration"],
                BLOCKS[wildcards.trait]["prompt"],
                # how the traits are measured, where some method goes by it
                *([DECISIONS] if DECLARED else []),
                *[resources.roles(Path(path)) for path in ROLES],
                *[
                    resources.rules(Path(path)).get(wildcards.trait)
                    for path in WRITTEN_RULES
                ],
            ]
        ),
        methods=METHODS,
        kind=config["probes"]["contrast"],
        settings=config_slice(VectorSettings, within="vectors"),
        targets=[config["vectors"]["comparison_kl"]],
        asked=asked_lengths,
        imported=lambda wildcards: content(IMPORTED, trait=wildcards.trait),
        # a file that is put in its place may be older than the vectors
        twin=folder.source_digest(TWIN) if TWIN else "",
        # what `elsewhere` says beside its files, for it is made from the input and reruns nothing by itself
        primary=literal(json.dumps(DECLARED, sort_keys=True)),
        elsewhere=lambda wildcards, input: json.dumps(
            {
                "primary": DECLARED,
                "prompts": list(input.prompts),
                "caches": list(input.caches),
                "due": list(input.due),
                "corpus": list(input.corpus),
                "episodes": list(input.episodes),
                "roles": ROLES,
                "rules": WRITTEN_RULES,
                "twin": TWIN,
            },
            sort_keys=True,
        ),
        kept=f"results/{config['experiment']}/vectors/.kept/{{trait}}",
        seed=config["seed"],
        # methods are imported by name, which a digest of the script doesn't see
        code=[code_digest("vectors_make"), *METHOD_DIGESTS],
    shell:
        "python workflow/scripts/vectors_make.py {input.manifest} {input.calibration} {input.contrast} {input.cache}"
        " {input.probe} {input.weights} {params.agent:q} {params.data:q} {params.folder}"
        " --trait {wildcards.trait} --methods {params.methods}"
        " --saes {params.saes} --kind {params.kind} --settings {params.settings:q} --targets {params.targets}"
        " --lengths {params.asked:q} --imported {input.imported:q} --elsewhere {params.elsewhere:q}"
        " --kept {params.kept} --code {params.code[0]} --seed {params.seed} > {log} 2>&1"


rule drift:
    input:
        manifest="<results>/model/manifest.json",
        episodes="<results>/rollouts/development.jsonl",
        # the axis knows no trait: any trait's is the same
        vector=f"<results>/vectors/assistant_axis/{TRAITS[0]}.safetensors",
    output:
        table="<results>/vectors/drift.csv",
        record="<results>/vectors/drift.provenance.json",
    log:
        "<logs>/vectors/drift.log",
    benchmark:
        "<benchmarks>/vectors/drift.jsonl"
    conda:
        "../../envs/model.yaml"
    resources:
        gpu=GPUS,
    params:
        agent=literal(AGENT_FILE),
        resources=resources.digest(AGENT),
        compared=config_slice(ComparisonSettings, within="statistics"),
        seed=config["seed"],
        code=code_digest("vectors_drift"),
    shell:
        "python workflow/scripts/vectors_drift.py {input.manifest} {input.episodes} {input.vector} {params.agent:q}"
        " {output.table} --compared {params.compared:q} --seed {params.seed} > {log} 2>&1"


rule vector_tables:
    input:
        vectors=expand(
            "<results>/vectors/{method}/{trait}.safetensors",
            method=METHODS,
            trait=TRAITS,
        ),
        probes=expand("<results>/probes/{trait}.safetensors", trait=TRAITS),
    output:
        tables=expand("<results>/vectors/{table}.csv", table=VECTOR_TABLES),
        records=expand("<results>/vectors/{table}.provenance.json", table=VECTOR_TABLES),
    log:
        "<logs>/vectors/tables.log",
    benchmark:
        "<benchmarks>/vectors/tables.jsonl"
    conda:
        "../../envs/model.yaml"
    params:
        folder=lambda wildcards, output: str(Path(output.tables[0]).parent),
        seed=config["seed"],
        code=code_digest("vectors_tables"),
    shell:
        "python workflow/scripts/vectors_tables.py {params.folder} --vectors {input.vectors} --probes {input.probes}"
        " --seed {params.seed} 2> {log}"


rule chance:
    input:
        manifest="<results>/model/manifest.json",
        calibration="<results>/rollouts/calibration.json",
        scenarios="<results>/prompts/scenarios.jsonl",
        corpus=f"<results>/activations/corpus/{SHARDS[0]}.h5",
        # which traits' probes sit at the layer: a job on a cluster asks for it by itself. What of it counts is a
        # parameter, `points`, so that probes that are fitted anew and stay where they are ask for nothing
        layers=ancient("<results>/probes/layers.json"),
    output:
        table="<results>/vectors/chance/{layer}.parquet",
    log:
        "<logs>/vectors/chance/{layer}.log",
    benchmark:
        "<benchmarks>/vectors/chance/{layer}.jsonl"
    conda:
        "../../envs/model.yaml"
    resources:
        gpu=GPUS,
    params:
        data=literal(RESOURCES),
        agent=literal(AGENT_FILE),
        resources=resources.digest([AGENT, TASKS["calibration"], POINTS]),
        layer=lambda wildcards: int(wildcards.layer),
        points=measured_at,
        names=CHANCE,
        kl=config["vectors"]["comparison_kl"],
        seed=config["seed"],
        code=code_digest("vectors_chance"),
    shell:
        "python workflow/scripts/vectors_chance.py {input.manifest} {input.calibration} {input.scenarios}"
        " {input.corpus} {params.agent:q} {params.data:q}/tasks.yaml {params.data:q}/decisions.yaml {output.table}"
        " --layer {params.layer} --at {params.points} --names {params.names} --kl {params.kl} --seed {params.seed} > {log} 2>&1"


rule decisions:
    input:
        manifest="<results>/model/manifest.json",
        calibration="<results>/rollouts/calibration.json",
        scenarios="<results>/prompts/scenarios.jsonl",
        vectors=expand(
            "<results>/vectors/{method}/{trait}.safetensors",
            method=METHODS,
            allow_missing=True,
        ),
    output:
        table="<results>/vectors/decisions/{trait}.parquet",
    log:
        "<logs>/vectors/decisions/{trait}.log",
    benchmark:
        "<benchmarks>/vectors/decisions/{trait}.jsonl"
    conda:
        "../../envs/model.yaml"
    resources:
        gpu=GPUS,
    params:
        data=literal(RESOURCES),
        agent=literal(AGENT_FILE),
        resources=lambda wildcards: resources.digest(
            [
                AGENT,
                BLOCKS[wildcards.trait]["prompt"],
                POINTS,
                # numbered draws are read where the trait is measured
                DECISIONS["measures"].get(wildcards.trait, {}).get("point"),
                *[
                    resources.rules(Path(path)).get(wildcards.trait)
                    for path in WRITTEN_RULES
                ],
                *([TASKS["calibration"]] if config["vectors"]["decoding"] else []),
            ]
        ),
        rules=lambda wildcards: WRITTEN_RULES,
        kl=config["vectors"]["comparison_kl"],
        decoding=config["vectors"]["decoding"],
        kept=f"results/{config['experiment']}/vectors/decisions/.kept/{{trait}}",
        code=code_digest("vectors_decisions"),
    shell:
        "python workflow/scripts/vectors_decisions.py {input.manifest} {input.calibration} {input.scenarios}"
        " {params.agent:q} {params.data:q} {output.table} --trait {wildcards.trait} --vectors {input.vectors} --rules {params.rules:q} --kl {params.kl}"
        " --decoding {params.decoding} --kept {params.kept} --code {params.code} > {log} 2>&1"


rule vectors_comparison:
    input:
        decisions=expand("<results>/vectors/decisions/{trait}.parquet", trait=TRAITS),
        layers="<results>/probes/layers.json",
        chance=lambda wildcards: chance_files(),
    output:
        table=report(
            "<results>/vectors/comparison.csv",
            caption="../report/table_comparison.rst",
            category="Tables",
            labels={"table": "methods at equal KL"},
        ),
        nulls=report(
            "<results>/vectors/nulls.csv",
            caption="../report/table_nulls.rst",
            category="Tables",
            labels={"table": "methods against nulls"},
        ),
        records=expand(
            "<results>/vectors/{table}.provenance.json", table=["comparison", "nulls"]
        ),
    log:
        "<logs>/vectors/comparison.log",
    benchmark:
        "<benchmarks>/vectors/comparison.jsonl"
    conda:
        "../../envs/analysis.yaml"
    params:
        data=literal(RESOURCES),
        resources=resources.digest(DECISIONS),
        settings=config_slice(ComparisonSettings, within="statistics"),
        reference=config["rollouts"]["study"]["method"],
        seed=config["seed"],
        # whose null a vector is, its file says
        code=[code_digest("vectors_comparison"), *METHOD_DIGESTS],
    shell:
        "python workflow/scripts/vectors_comparison.py {output.table} {output.nulls}"
        " {params.data:q}/decisions.yaml --decisions {input.decisions} --layers {input.layers} --chance {input.chance}"
        " --settings {params.settings:q} --reference {params.reference} --seed {params.seed} 2> {log}"


rule vectors_stability:
    input:
        manifest="<results>/model/manifest.json",
        prompts=expand("<results>/prompts/contrast/{trait}.jsonl", trait=TRAITS),
        caches=expand("<results>/activations/contrast/{trait}.h5", trait=TRAITS),
        probes=expand("<results>/probes/{trait}.json", trait=TRAITS),
        first=lambda wildcards: twice("<results>/saes/{layer}/cfg.json"),
        again=lambda wildcards: twice("<results>/saes/{layer}/again/cfg.json"),
        weights=lambda wildcards: [
            *twice("<results>/saes/{layer}/sae_weights.safetensors"),
            *twice("<results>/saes/{layer}/again/sae_weights.safetensors"),
        ],
    output:
        table="<results>/vectors/stability.csv",
        record="<results>/vectors/stability.provenance.json",
    log:
        "<logs>/vectors/stability.log",
    benchmark:
        "<benchmarks>/vectors/stability.jsonl"
    conda:
        "../../envs/model.yaml"
    params:
        first=lambda wildcards, input: [str(Path(path).parent) for path in input.first],
        again=lambda wildcards, input: [str(Path(path).parent) for path in input.again],
        traits=TRAITS,
        layers=lambda wildcards: twice(),
        # a change shows even where the list of layers was deleted
        second_seeds=SECOND_SEEDS,
        contrast=config["probes"]["contrast"],
        settings=config_slice(FitSettings, within="probes"),
        seed=config["seed"],
        code=code_digest("vectors_stability"),
    shell:
        "python workflow/scripts/vectors_stability.py {input.manifest} {output.table} --prompts {input.prompts}"
        " --caches {input.caches} --probes {input.probes} --traits {params.traits} --first {params.first}"
        " --again {params.again} --layers {params.layers} --contrast {params.contrast} --settings {params.settings:q}"
        " --seed {params.seed} 2> {log}"
