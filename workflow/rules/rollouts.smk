# Rollouts: the agent unsteered on spare tasks (for the corpus), then every scenario under every condition.

# What is asked for with a vector; more vectors may be made, for the comparison of methods.
PLANNED = [
    each
    for trait in TRAITS
    for each in planned(trait, SETTINGS.rollouts)
    if each.has_vector
]
APPLIED = [*dict.fromkeys(each.vector_name for each in PLANNED)]
PRIMARY = config["statistics"]["primary"]
NO_ROOM_STOPS = config["rollouts"]["on_no_room"] == "stop"
AGENT_ENGINE = served(config["rollouts"]["engine"])
# One table a trait and run.
TURNS = expand("<results>/rollouts/turns/{batch}{run}.parquet", batch=BATCHES, run=RUNS)


# neither this nor the transcripts take the preflight's file: it depends on the layers, and they don't
rule action_calibration:
    input:
        manifest="<results>/model/manifest.json",
    output:
        calibration="<results>/rollouts/calibration.json",
    log:
        "<logs>/rollouts/calibration.log",
    benchmark:
        "<benchmarks>/rollouts/calibration.jsonl"
    conda:
        "../../envs/model.yaml"
    resources:
        gpu=GPUS,
    params:
        data=literal(RESOURCES),
        agent=literal(AGENT_FILE),
        resources=resources.digest([AGENT, TASKS["calibration"], POINTS]),
        settings=config_slice(WeightSettings, within="rollouts"),
        code=code_digest("rollouts_calibration"),
    shell:
        "python workflow/scripts/rollouts_calibration.py {input.manifest} {params.agent:q}"
        " {params.data:q}/tasks.yaml {params.data:q}/decisions.yaml {output.calibration} --settings {params.settings:q}"
        " 2> {log}"


rule room:
    input:
        calibration="<results>/rollouts/calibration.json",
    output:
        table="<results>/rollouts/room.csv",
        record="<results>/rollouts/room.provenance.json",
    log:
        "<logs>/rollouts/room.log",
    benchmark:
        "<benchmarks>/rollouts/room.jsonl"
    priority: 1
    conda:
        "../../envs/analysis.yaml"
    params:
        data=literal(RESOURCES),
        resources=resources.digest(DECISIONS),
        settings=lambda wildcards: json.dumps(
            {
                "primary": {
                    trait: PRIMARY[trait] for trait in TRAITS if trait in PRIMARY
                }
            },
            sort_keys=True,
        ),
        on_no_room=config["rollouts"]["on_no_room"],
        code=code_digest("rollouts_room"),
    shell:
        "python workflow/scripts/rollouts_room.py {input.calibration} {params.data:q}/decisions.yaml {output.table}"
        " --settings {params.settings:q} --on-no-room {params.on_no_room} > {log} 2>&1"


rule transcripts:
    input:
        manifest="<results>/model/manifest.json",
        calibration="<results>/rollouts/calibration.json",
        engine=AGENT_ENGINE.checks,
    output:
        transcripts="<results>/prompts/transcripts.jsonl",
        record="<results>/prompts/transcripts.provenance.json",
    log:
        "<logs>/prompts/transcripts.log",
    benchmark:
        "<benchmarks>/prompts/transcripts.jsonl"
    conda:
        "../../envs/model.yaml"
    threads: AGENT_ENGINE.threads
    resources:
        gpu=GPUS,
    params:
        data=literal(RESOURCES),
        agent=literal(AGENT_FILE),
        resources=resources.digest([AGENT, CORPUS["transcript_tasks"]]),
        episodes=config["prompts"]["corpus"]["transcripts"],
        packages=json.dumps(VERSIONS["tasks"]),
        settings=config_slice(EpisodeSettings, within="rollouts"),
        engine=AGENT_ENGINE.settings,
        python=AGENT_ENGINE.python,
        vllm=AGENT_ENGINE.packages,
        seed=config["seed"],
        code=code_digest("rollouts_transcripts"),
    shell:
        "{params.python}python workflow/scripts/rollouts_transcripts.py {input.manifest} {input.calibration}"
        " {params.agent:q} {params.data:q}/corpus.yaml {output.transcripts} {output.record}"
        " --episodes {params.episodes} --settings {params.settings:q} --engine {params.engine:q} --checks {input.engine}"
        " --seed {params.seed} 2> {log}"


rule development:
    input:
        manifest="<results>/model/manifest.json",
        calibration="<results>/rollouts/calibration.json",
        engine=AGENT_ENGINE.checks,
    output:
        episodes="<results>/rollouts/development.jsonl",
        record="<results>/rollouts/development.provenance.json",
    log:
        "<logs>/rollouts/development.log",
    benchmark:
        "<benchmarks>/rollouts/development.jsonl"
    conda:
        "../../envs/model.yaml"
    threads: AGENT_ENGINE.threads
    resources:
        gpu=GPUS,
    params:
        data=literal(RESOURCES),
        agent=literal(AGENT_FILE),
        resources=resources.digest([AGENT, DEVELOPMENT]),
        runs=config["vectors"]["episodes"],
        settings=config_slice(EpisodeSettings, within="rollouts"),
        engine=AGENT_ENGINE.settings,
        python=AGENT_ENGINE.python,
        vllm=AGENT_ENGINE.packages,
        seed=config["seed"],
        code=code_digest("rollouts_development"),
    shell:
        "{params.python}python workflow/scripts/rollouts_development.py {input.manifest} {input.calibration}"
        " {params.agent:q} {params.data:q}/development.yaml {output.episodes} {output.record} --runs {params.runs}"
        " --settings {params.settings:q} --engine {params.engine:q} --checks {input.engine} --seed {params.seed} 2> {log}"


rule conditions:
    input:
        probe=branch(
            lambda wildcards: wildcards.batch == COMMON,
            then=[],
            otherwise="<results>/probes/{batch}.json",
        ),
    output:
        conditions="<results>/rollouts/conditions/{batch}.csv",
        record="<results>/rollouts/conditions/{batch}.provenance.json",
    log:
        "<logs>/rollouts/conditions/{batch}.log",
    benchmark:
        "<benchmarks>/rollouts/conditions/{batch}.jsonl"
    priority: 1
    conda:
        "../../envs/model.yaml"
    params:
        middle=LAYERS[len(LAYERS) // 2],
        settings=design,
        # methods are known by name, which a digest of the script doesn't see
        edits=making_edits,
        code=code_digest("rollouts_conditions"),
    shell:
        "python workflow/scripts/rollouts_conditions.py {output.conditions} --batch {wildcards.batch}"
        " --middle {params.middle} --settings {params.settings:q} --probe {input.probe} 2> {log}"


rule rollouts:
    input:
        manifest="<results>/model/manifest.json",
        preflight="<results>/model/preflight.json",
        engine=AGENT_ENGINE.checks,
        scenarios="<results>/prompts/scenarios.jsonl",
        calibration="<results>/rollouts/calibration.json",
        conditions="<results>/rollouts/conditions/{batch}.csv",
        vectors=branch(
            lambda wildcards: wildcards.batch == COMMON,
            then=[],
            otherwise=expand(
                "<results>/vectors/{method}/{{batch}}.safetensors", method=APPLIED
            ),
        ),
        saes=(
            expand("<results>/saes/{layer}/sae_weights.safetensors", layer=LAYERS)
            if any(
                part.rule == "edit_code"
                for each in PLANNED
                for part in (each, *each.also)
            )
            else []
        ),
        gates=gate_inputs,
        also=also_inputs,
        # only where it may end the run: nothing in it makes rollouts anew
        room=["<results>/rollouts/room.csv"] if NO_ROOM_STOPS else [],
    output:
        turns="<results>/rollouts/turns/{batch}{run}.parquet",
    log:
        "<logs>/rollouts/turns/{batch}{run}.log",
    benchmark:
        "<benchmarks>/rollouts/turns/{batch}{run}.jsonl"
    # on the way to the rollouts, which take longest, jobs go first: what else there is fills the cores at the end
    priority: 1
    conda:
        "../../envs/model.yaml"
    threads: AGENT_ENGINE.threads
    resources:
        gpu=GPUS,
    params:
        data=literal(RESOURCES),
        agent=literal(AGENT_FILE),
        vectors=f"results/{config['experiment']}/vectors",
        saes=f"results/{config['experiment']}/saes",
        probes=f"results/{config['experiment']}/probes",
        gates=batch_gates,
        resources=resources.digest(AGENT),
        prompt=lambda wildcards: BLOCKS.get(wildcards.batch, {}).get("prompt"),
        settings=config_slice(EpisodeSettings, within="rollouts"),
        rows=config_slice(BatchSettings, within="rollouts"),
        engine=AGENT_ENGINE.settings,
        python=AGENT_ENGINE.python,
        packages=AGENT_ENGINE.packages,
        run=lambda wildcards: int(wildcards.run.removeprefix(".seed") or 0),
        cells=f"results/{config['experiment']}/rollouts/.cells/{{batch}}{{run}}",
        seed=config["seed"],
        code=code_digest("rollouts_run"),
    shell:
        "{params.python}python workflow/scripts/rollouts_run.py {input.manifest} {input.scenarios} {input.calibration}"
        " {input.conditions} {params.agent:q} {params.data:q}/traits.yaml {params.vectors}"
        " {output.turns} --cells {params.cells} --saes {params.saes} --probes {params.probes} --checks {input.engine}"
        " --gates {params.gates:q}"
        " --settings {params.settings:q} --rows {params.rows:q} --engine {params.engine:q} --run {params.run}"
        " --seed {params.seed} --code {params.code} 2> {log}"


rule outcomes:
    input:
        scenarios="<results>/prompts/scenarios.jsonl",
        parts=expand("<results>/rollouts/conditions/{batch}.csv", batch=BATCHES),
        turns=TURNS,
    output:
        conditions="<results>/rollouts/conditions.csv",
        record="<results>/rollouts/conditions.provenance.json",
        outcomes="<results>/rollouts/outcomes.parquet",
        gates="<results>/rollouts/gates.csv",
        gates_record="<results>/rollouts/gates.provenance.json",
    log:
        "<logs>/rollouts/outcomes.log",
    benchmark:
        "<benchmarks>/rollouts/outcomes.jsonl"
    conda:
        "../../envs/model.yaml"
    params:
        code=code_digest("rollouts_outcomes"),
    shell:
        "python workflow/scripts/rollouts_outcomes.py {input.scenarios} {output.conditions} {output.outcomes}"
        " {output.gates} --parts {input.parts} --turns {input.turns} 2> {log}"


rule best_of:
    input:
        manifest="<results>/model/manifest.json",
        scenarios="<results>/prompts/scenarios.jsonl",
        calibration="<results>/rollouts/calibration.json",
        probes=expand("<results>/probes/{trait}.json", trait=TRAITS),
        weights=expand("<results>/probes/{trait}.safetensors", trait=TRAITS),
    output:
        table="<results>/rollouts/best_of.csv",
        record="<results>/rollouts/best_of.provenance.json",
    log:
        "<logs>/rollouts/best_of.log",
    benchmark:
        "<benchmarks>/rollouts/best_of.jsonl"
    conda:
        "../../envs/model.yaml"
    resources:
        gpu=GPUS,
    params:
        agent=literal(AGENT_FILE),
        resources=resources.digest(AGENT),
        runs=config["rollouts"]["best_of"],
        settings=config_slice(EpisodeSettings, within="rollouts"),
        compared=config_slice(ComparisonSettings, within="statistics"),
        seed=config["seed"],
        code=code_digest("rollouts_best_of"),
    shell:
        "python workflow/scripts/rollouts_best_of.py {input.manifest} {input.scenarios} {input.calibration}"
        " {params.agent:q} {output.table} --probes {input.probes} --runs {params.runs} --settings {params.settings:q}"
        " --compared {params.compared:q} --seed {params.seed} 2> {log}"


rule judge:
    input:
        outcomes="<results>/rollouts/outcomes.parquet",
        turns=TURNS,
    output:
        verdicts="<results>/rollouts/judge.parquet",
        agreement="<results>/rollouts/judge_agreement.csv",
        record="<results>/rollouts/judge_agreement.provenance.json",
    log:
        "<logs>/rollouts/judge.log",
    benchmark:
        "<benchmarks>/rollouts/judge.jsonl"
    conda:
        "../../envs/model.yaml"
    params:
        url=literal(config["rollouts"]["judge"]["url"]),
        model=literal(config["rollouts"]["judge"]["model"]),
        rollouts=config["rollouts"]["judge"]["rollouts"],
        seed=config["seed"],
        code=code_digest("rollouts_judge"),
    shell:
        "python workflow/scripts/rollouts_judge.py {input.outcomes} {output.verdicts} {output.agreement}"
        " --turns {input.turns} --url {params.url:q} --model {params.model:q} --rollouts {params.rollouts}"
        " --seed {params.seed} 2> {log}"
