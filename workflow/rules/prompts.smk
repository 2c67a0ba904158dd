# Prompts: contrast pairs a trait, scenarios, and the corpus that the SAEs are trained on.


rule contrast_trait:
    output:
        prompts="<results>/prompts/contrast/{trait}.jsonl",
        record="<results>/prompts/contrast/{trait}.provenance.json",
    log:
        "<logs>/prompts/contrast/{trait}.log",
    benchmark:
        "<benchmarks>/prompts/contrast/{trait}.jsonl"
    wildcard_constraints:
        trait=either([*TRAITS, resources.NULL]),
    conda:
        "../../envs/model.yaml"
    params:
        data=literal(RESOURCES),
        resources=lambda wildcards: resources.digest(
            [contrast_templates(wildcards.trait), TASKS["contrast"]]
        ),
        settings=config_slice(ContrastSettings, within="prompts.contrast"),
        seed=config["seed"],
        code=code_digest("prompts_contrast"),
    shell:
        "python workflow/scripts/prompts_contrast.py {params.data:q}/traits.yaml {params.data:q}/tasks.yaml"
        " {output.prompts} {output.record} --trait {wildcards.trait}"
        " --settings {params.settings:q} --seed {params.seed} 2> {log}"


rule contrast:
    input:
        parts=expand(
            "<results>/prompts/contrast/{trait}.jsonl",
            trait=[*TRAITS, resources.NULL],
        ),
    output:
        prompts="<results>/prompts/contrast.jsonl",
        record="<results>/prompts/contrast.provenance.json",
    log:
        "<logs>/prompts/contrast.log",
    benchmark:
        "<benchmarks>/prompts/contrast.jsonl"
    conda:
        "../../envs/model.yaml"
    params:
        code=code_digest("prompts_join"),
    shell:
        "python workflow/scripts/prompts_join.py {output.prompts} {output.record} --parts {input.parts} 2> {log}"


rule scenarios:
    output:
        selected="<results>/prompts/scenarios.jsonl",
        record="<results>/prompts/scenarios.provenance.json",
    log:
        "<logs>/prompts/scenarios.log",
    benchmark:
        "<benchmarks>/prompts/scenarios.jsonl"
    conda:
        "../../envs/model.yaml"
    params:
        data=literal(RESOURCES),
        resources=resources.digest(SCENARIOS),
        selected=config["prompts"]["scenarios"],
        code=code_digest("prompts_scenarios"),
    shell:
        "python workflow/scripts/prompts_scenarios.py {params.data:q}/scenarios.yaml {output.selected} {output.record}"
        " --count {params.selected} 2> {log}"


rule corpus:
    input:
        transcripts="<results>/prompts/transcripts.jsonl",
        manifest="<results>/model/manifest.json",
    output:
        corpus="<results>/prompts/corpus.jsonl",
        record="<results>/prompts/corpus.provenance.json",
    log:
        "<logs>/prompts/corpus.log",
    benchmark:
        "<benchmarks>/prompts/corpus.jsonl"
    conda:
        "../../envs/model.yaml"
    params:
        data=literal(RESOURCES),
        resources=resources.digest(CORPUS),
        # a user's own files lie outside the results
        local=lambda wildcards: local_texts(),
        packages=json.dumps(VERSIONS["corpus"]),
        settings=config_slice(CorpusSettings, within="prompts.corpus"),
        seed=config["seed"],
        code=code_digest("prompts_corpus"),
    shell:
        "python workflow/scripts/prompts_corpus.py {params.data:q}/corpus.yaml {input.transcripts} {input.manifest}"
        " {output.corpus} {output.record} --settings {params.settings:q} --seed {params.seed} 2> {log}"
