# Statistics: one job, a minute at most; every estimate is a column of the same few matrix products.


rule statistics_effects:
    input:
        conditions="<results>/rollouts/conditions.csv",
        outcomes="<results>/rollouts/outcomes.parquet",
        turns=TURNS,
        scores="<results>/probes/scores.csv",
    output:
        effects=report(
            "<results>/statistics/effects.csv",
            caption="../report/table_effects.rst",
            category="Tables",
            labels={"table": "effects"},
        ),
        models="<results>/statistics/models.csv",
        controls="<results>/statistics/controls.csv",
        contrasts="<results>/statistics/contrasts.csv",
        study="<results>/statistics/study.csv",
        dose_response="<results>/statistics/dose_response.csv",
        dose_fits="<results>/statistics/dose_fits.csv",
        structure="<results>/statistics/structure.csv",
        tools="<results>/statistics/tools.csv",
        prediction="<results>/statistics/prediction.csv",
        summary="<results>/statistics/summary.json",
    log:
        "<logs>/statistics/effects.log",
    benchmark:
        "<benchmarks>/statistics/effects.jsonl"
    conda:
        "../../envs/analysis.yaml"
    params:
        folder=subpath(output.effects, parent=True),
        settings=literal(json.dumps(config["statistics"], sort_keys=True)),
        seed=config["seed"],
        code=code_digest("statistics_effects"),
    shell:
        "python workflow/scripts/statistics_effects.py {input.conditions} {input.outcomes} {params.folder}"
        " --turns {input.turns} --scores {input.scores} --settings {params.settings:q} --seed {params.seed} 2> {log}"
