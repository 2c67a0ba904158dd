# The plan: `snakemake plan` prints what the run will take before it is submitted, and what it came to afterwards.


rule plan:
    log:
        ".snakemake/trimtab/plan.log",
    localrule: True
    conda:
        "../../envs/model.yaml"
    params:
        results=f"results/{config['experiment']}",
        config=lambda wildcards: json.dumps(config),
    shell:
        "python workflow/scripts/plan.py {params.results} --config {params.config:q} 2> {log}"
