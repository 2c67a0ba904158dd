# `snakemake plan` prints what the run will take before it is submitted, and what it came to afterwards; `snakemake status`
# what is made, running and failed.


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


rule status:
    log:
        ".snakemake/trimtab/status.log",
    localrule: True
    conda:
        "../../envs/model.yaml"
    params:
        results=f"results/{config['experiment']}",
    shell:
        "python workflow/scripts/status.py {params.results} 2> {log}"
