# Statistics: one job, a minute at most; every estimate is a column of the same few matrix products.


rule statistics_effects:
    input:
        conditions="<results>/rollouts/conditions.csv",
        outcomes="<results>/rollouts/outcomes.parquet",
    output:
        effects="<results>/statistics/effects.csv",
        controls="<results>/statistics/controls.csv",
        study="<results>/statistics/study.csv",
        dose_response="<results>/statistics/dose_response.csv",
        structure="<results>/statistics/structure.csv",
        summary="<results>/statistics/summary.json",
    log:
        "<logs>/statistics/effects.log",
    benchmark:
        "<benchmarks>/statistics/effects.jsonl"
    conda:
        "../../envs/analysis.yaml"
    params:
        folder=subpath(output.effects, parent=True),
        settings=json.dumps(config["statistics"], sort_keys=True),
        seed=config["seed"],
        code=code_digest("statistics_effects"),
    shell:
        "python workflow/scripts/statistics_effects.py {input.conditions} {input.outcomes} {params.folder}"
        " --settings {params.settings:q} --seed {params.seed} 2> {log}"
