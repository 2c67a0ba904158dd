# Report: figures first, then the one page that holds them; both are also items of `snakemake --report`.

FIGURES = {
    "forest": "Effects",
    "dose_response": "Effects",
    "cross_trait": "Effects",
    "spectrum": "Effects",
    "prediction": "Effects",
    "timing": "Effects",
    "breakage": "Effects",
    "tools": "Effects",
    "probes": "Parts",
    "sae_training": "Parts",
    "sae_quality": "Parts",
    "equal_kl": "Effects",
    "geometry": "Parts",
    **({"drift": "Parts"} if DRIFTS else {}),
    **({"trained": "Parts"} if TRAINED else {}),
}


METHOD_WORDINGS = resources.digest(
    [vars(methods.wording(name)) for name in sorted(config["vectors"]["methods"])]
)

# and what evaluators say of themselves
EVALUATOR_WORDINGS = resources.digest(
    [evaluators.path(name).read_text(encoding="utf-8") for name in EVALUATORS]
)


rule report_figures:
    input:
        rules.statistics_effects.output,
        "<results>/model/manifest.json",
        "<results>/model/preflight.json",
        "<results>/saes/quality.csv",
        expand("<results>/saes/{layer}/training.csv", layer=LAYERS),
        "<results>/probes/scores.csv",
        "<results>/probes/gaps.csv",
        "<results>/vectors/geometry.csv",
        "<results>/vectors/dimensions.csv",
        "<results>/vectors/stability.csv",
        "<results>/vectors/comparison.csv",
        "<results>/vectors/doses.csv",
        "<results>/vectors/not_made.csv",
        ["<results>/vectors/drift.csv"] if DRIFTS else [],
        [f"<results>/vectors/{name}.csv" for name in ("training", "margins")]
        if TRAINED
        else [],
        "<results>/rollouts/conditions.csv",
        "<results>/rollouts/gates.csv",
        # and the turns of which it tells, each a file of its own: naming them again would cost the plan of a large
        # run a tenth of its time
        "<results>/rollouts/outcomes.parquet",
    output:
        [
            report(
                f"<results>/report/figures/{name}.svg",
                caption=f"../report/{name}.rst",
                category=category,
                labels={"figure": name.replace("_", " ")},
            )
            for name, category in FIGURES.items()
        ],
        expand("<results>/report/figures/{name}.pdf", name=FIGURES),
    log:
        "<logs>/report/figures.log",
    benchmark:
        "<benchmarks>/report/figures.jsonl"
    conda:
        "../../envs/analysis.yaml"
    params:
        results=lambda wildcards, output: str(Path(output[0]).parents[2]),
        folder=lambda wildcards, output: str(Path(output[0]).parent),
        settings=literal(
            json.dumps(
                {
                    **{key: config[key] for key in ("seed", "statistics")},
                    "gates": config["saes"]["gates"],
                    "methods": config["vectors"]["methods"],
                },
                sort_keys=True,
            )
        ),
        # a digest of the script's code doesn't see what methods say of themselves
        wordings=METHOD_WORDINGS,
        code=code_digest("report_figures"),
    shell:
        "python workflow/scripts/report_figures.py {params.results} {params.folder}"
        " --settings {params.settings:q} 2> {log}"


rule report_page:
    input:
        rules.report_figures.input,
        ["<results>/saes/agreement.csv"] if SECOND_SEEDS else [],
        ["<results>/rollouts/best_of.csv"] if config["rollouts"]["best_of"] else [],
        [*{*AGENT_ENGINE.checks, *ROWS_ENGINE.checks}],
        rules.evaluations_effects.output.tables if EVALUATORS else [],
        figures=rules.report_figures.output,
    output:
        report(
            "<results>/report/report.html",
            caption="../report/report.rst",
            category="Report",
            labels={"page": "the whole report"},
        ),
    log:
        "<logs>/report/page.log",
    benchmark:
        "<benchmarks>/report/page.jsonl"
    conda:
        "../../envs/analysis.yaml"
    params:
        results=lambda wildcards, output: str(Path(output[0]).parents[1]),
        figures=lambda wildcards, input: str(Path(input.figures[0]).parent),
        # a function: Snakemake would take braces in a text, as of saes.pretrained, for a wildcard's
        config=lambda wildcards: json.dumps(config, sort_keys=True),
        wordings=[METHOD_WORDINGS, EVALUATOR_WORDINGS],
        template=resources.digest(
            Path(LIBRARY, "report", "page.html.j2").read_text(encoding="utf-8")
        ),
        code=code_digest("report_page"),
    shell:
        "python workflow/scripts/report_page.py {params.results} {output} --figures {params.figures}"
        " --config {params.config:q} 2> {log}"
