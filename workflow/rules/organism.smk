# The model organism: trained here where it is the model, and what the method says of it set beside the truth.

TRUTH = ("truth.yaml", "traits.yaml", "few_shot.yaml")

if ORGANISM:

    rule organism:
        output:
            folder=directory("<results>/model/checkpoint"),
            training="<results>/model/training.csv",
            record="<results>/model/training.provenance.json",
        log:
            "<logs>/model/organism.log",
        benchmark:
            "<benchmarks>/model/organism.jsonl"
        conda:
            "../../envs/model.yaml"
        params:
            data=literal(RESOURCES),
            resources=resources.digest(
                [resources.load(Path(RESOURCES, name)) for name in TRUTH]
            ),
            settings=json.dumps(config["organism"], sort_keys=True),
            # of all experiments here; the next one with the same settings needn't train again
            store=str(RESULTS.with_name(".organisms")),
            seed=config["seed"],
            code=code_digest("organism_train"),
        shell:
            "python workflow/scripts/organism_train.py {params.data:q} {output.folder} {output.training}"
            " --store {params.store} --code {params.code} --settings {params.settings:q} --seed {params.seed} 2> {log}"

    # what forward passes alone answer; a further training ends here
    rule answers:
        input:
            manifest="<results>/model/manifest.json",
            preflight="<results>/model/preflight.json",
            scenarios="<results>/prompts/scenarios.jsonl",
            vectors=expand(
                "<results>/vectors/{method}/{trait}.safetensors",
                method=METHODS,
                trait=TRAITS,
            ),
        output:
            table="<results>/organism/answers.csv",
            record="<results>/organism/answers.provenance.json",
        log:
            "<logs>/organism/answers.log",
        benchmark:
            "<benchmarks>/organism/answers.jsonl"
        conda:
            "../../envs/model.yaml"
        params:
            data=literal(RESOURCES),
            resources=resources.digest(
                [resources.load(Path(RESOURCES, name)) for name in TRUTH]
            ),
            settings=json.dumps(
                {
                    "truth": config["organism"]["truth"],
                    "doses": config["rollouts"]["study"]["doses"],
                    "dose": config["statistics"]["confirmatory"]["dose"],
                    "method": config["statistics"]["confirmatory"]["method"],
                },
                sort_keys=True,
            ),
            seed=config["seed"],
            code=code_digest("organism_answers"),
        shell:
            "python workflow/scripts/organism_answers.py {input.manifest} {input.scenarios} {params.data:q} {output.table}"
            " --vectors {input.vectors} --settings {params.settings:q} --seed {params.seed} > {log} 2>&1"

    # what the league asks besides, of every method at the same KL
    rule measured:
        input:
            manifest="<results>/model/manifest.json",
            preflight="<results>/model/preflight.json",
            scenarios="<results>/prompts/scenarios.jsonl",
            calibration="<results>/rollouts/calibration.json",
            vectors=expand(
                "<results>/vectors/{method}/{trait}.safetensors",
                method=METHODS,
                trait=TRAITS,
            ),
        output:
            table="<results>/organism/measured.parquet",
        log:
            "<logs>/organism/measured.log",
        benchmark:
            "<benchmarks>/organism/measured.jsonl"
        conda:
            "../../envs/model.yaml"
        params:
            data=literal(RESOURCES),
            resources=resources.digest(
                [
                    DECISIONS,
                    *[resources.load(Path(RESOURCES, name)) for name in TRUTH],
                ]
            ),
            truth=config["organism"]["truth"],
            kl=config["vectors"]["comparison_kl"],
            primary=literal(json.dumps({"primary": PRIMARY}, sort_keys=True)),
            seed=config["seed"],
            code=[
                code_digest("organism_measured"),
                # imported by name
                *[evaluator_digest(name) for name in ("fragility", "robustness")],
            ],
        shell:
            "python workflow/scripts/organism_measured.py {input.manifest} {input.scenarios} {input.calibration}"
            " {params.data:q} {output.table} --vectors {input.vectors} --truth {params.truth} --kl {params.kl}"
            " --primary {params.primary:q} --seed {params.seed} 2> {log}"

    rule recovery:
        input:
            answers="<results>/organism/answers.csv",
            effects="<results>/statistics/effects.csv",
            conditions="<results>/rollouts/conditions.csv",
            structure="<results>/statistics/structure.csv",
        output:
            table="<results>/organism/recovery.csv",
            record="<results>/organism/recovery.provenance.json",
        log:
            "<logs>/organism/recovery.log",
        benchmark:
            "<benchmarks>/organism/recovery.jsonl"
        conda:
            "../../envs/analysis.yaml"
        params:
            settings=literal(
                json.dumps(
                    {
                        "method": config["statistics"]["confirmatory"]["method"],
                        "primary": config["statistics"]["primary"],
                    },
                    sort_keys=True,
                )
            ),
            code=code_digest("organism_recovery"),
        shell:
            "python workflow/scripts/organism_recovery.py {input.answers} {input.effects} {input.conditions}"
            " {input.structure} {output.table} --settings {params.settings:q} > {log} 2>&1"

    rule recovery_page:
        input:
            table="<results>/organism/recovery.csv",
            training="<results>/model/training.provenance.json",
        output:
            report(
                "<results>/organism/recovery.html",
                caption="../report/recovery.rst",
                category="Report",
                labels={"page": "what was recovered of the truth"},
            ),
        log:
            "<logs>/organism/page.log",
        benchmark:
            "<benchmarks>/organism/page.jsonl"
        conda:
            "../../envs/analysis.yaml"
        params:
            name=config["experiment"],
            dose=config["statistics"]["confirmatory"]["dose"],
            method=config["statistics"]["confirmatory"]["method"],
            # a digest of the script's code doesn't see what methods say of themselves
            wordings=METHOD_WORDINGS,
            template=resources.digest(
                [
                    Path(LIBRARY, "report", f"{name}.html.j2").read_text(
                        encoding="utf-8"
                    )
                    for name in ("tables", "recovery")
                ]
            ),
            code=code_digest("organism_page"),
        shell:
            "python workflow/scripts/organism_page.py {output} --tables {input.table} --trainings {input.training}"
            " --names {params.name} --dose {params.dose} --method {params.method} 2> {log}"
