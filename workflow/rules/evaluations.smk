# Evaluations: what steering does besides what the rollouts count, one job an evaluator and batch of conditions.

EVALUATORS = config["evaluations"]["evaluators"]
EVALUATION_TABLES = ["effects", "means", "conclusions"]


rule evaluation:
    input:
        rules.rollouts.input.vectors,
        rules.rollouts.input.saes,
        rules.rollouts.input.gates,
        rules.rollouts.input.also,
        manifest="<results>/model/manifest.json",
        preflight="<results>/model/preflight.json",
        scenarios="<results>/prompts/scenarios.jsonl",
        calibration="<results>/rollouts/calibration.json",
        conditions="<results>/rollouts/conditions/{batch}.csv",
        turns=turns_of,
        latents=latents_of,
        dictionaries=dictionaries_of,
    output:
        rows="<results>/evaluations/{evaluator}/{batch}.parquet",
    log:
        "<logs>/evaluations/{evaluator}/{batch}.log",
    benchmark:
        "<benchmarks>/evaluations/{evaluator}/{batch}.jsonl"
    conda:
        "../../envs/model.yaml"
    resources:
        gpu=GPUS,
    params:
        data=literal(RESOURCES),
        agent=literal(AGENT_FILE),
        made=lambda wildcards, output: str(Path(output.rows).parents[2]),
        resources=evaluated,
        prompt=lambda wildcards: BLOCKS.get(wildcards.batch, {}).get("prompt"),
        gates=batch_gates,
        primary=evaluated_by,
        settings=evaluator_settings,
        coupling=config["rollouts"]["coupling"],
        seed=config["seed"],
        # evaluators are imported by name, which a digest of the script doesn't see
        code=evaluator_code,
    shell:
        "python workflow/scripts/evaluations_measure.py {input.manifest} {input.scenarios} {input.calibration}"
        " {input.conditions} {params.agent:q} {params.data:q} {params.made} {output.rows}"
        " --evaluator {wildcards.evaluator} --turns {input.turns} --latents {input.latents}"
        " --dictionaries {input.dictionaries} --gates {params.gates:q}"
        " --primary {params.primary:q} --settings {params.settings:q} --coupling {params.coupling}"
        " --seed {params.seed} 2> {log}"


rule evaluations_effects:
    input:
        conditions="<results>/rollouts/conditions.csv",
        parts=expand(
            "<results>/evaluations/{evaluator}/{batch}.parquet",
            evaluator=EVALUATORS,
            batch=BATCHES,
        ),
    output:
        tables=expand("<results>/evaluations/{table}.csv", table=EVALUATION_TABLES),
        records=expand(
            "<results>/evaluations/{table}.provenance.json", table=EVALUATION_TABLES
        ),
    log:
        "<logs>/evaluations/effects.log",
    benchmark:
        "<benchmarks>/evaluations/effects.jsonl"
    conda:
        "../../envs/model.yaml"
    params:
        folder=lambda wildcards, output: str(Path(output.tables[0]).parent),
        settings=literal(json.dumps(config["statistics"], sort_keys=True)),
        seed=config["seed"],
        code=[
            code_digest("evaluations_effects"),
            *[evaluator_digest(name) for name in EVALUATORS],
        ],
    shell:
        "python workflow/scripts/evaluations_effects.py {input.conditions} {params.folder} --parts {input.parts}"
        " --settings {params.settings:q} --seed {params.seed} 2> {log}"
