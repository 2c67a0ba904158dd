# SAEs: a dictionary a layer, each a job of its own, or all in one job that stores no activations; then figures of all in
# one process, and the latents that matter.

PRETRAINED = config["saes"]["pretrained"]
STREAM = config["saes"]["source"] == "stream"
# documents go round the shards one by one, so a shard is a sample of them: where dictionaries are trained without stored
# rows, baselines and examples make do with one
CORPUS_CACHES = expand(
    "<results>/activations/corpus/{shard}.h5", shard=SHARDS[:1] if STREAM else SHARDS
)
# what is pretrained has no second seed
SECOND_SEEDS = 0 if PRETRAINED else config["saes"]["second_seeds"]


rule sae:
    input:
        manifest="<results>/model/manifest.json",
        corpus="<results>/prompts/corpus.jsonl",
        caches=[] if PRETRAINED else CORPUS_CACHES,
        pretrained=[PRETRAINED] if PRETRAINED else [],
    output:
        weights="<results>/saes/{layer}/sae_weights.safetensors",
        description="<results>/saes/{layer}/cfg.json",
        provenance="<results>/saes/{layer}/provenance.json",
        training="<results>/saes/{layer}/training.csv",
    log:
        "<logs>/saes/{layer}.log",
    benchmark:
        "<benchmarks>/saes/{layer}.jsonl"
    priority: 1
    conda:
        "../../envs/model.yaml"
    resources:
        gpu=GPUS,
    params:
        folder=subpath(output.weights, parent=True),
        context_size=config["prompts"]["corpus"]["max_tokens"],
        settings=lambda wildcards: sae_settings(wildcards.layer),
        device=config["model"]["device"],
        seed=config["seed"],
        repeat=lambda wildcards, output: int("/again/" in output.weights),
        # a folder's time stays when a file in it changes
        pretrained=lambda wildcards: content(PRETRAINED, layer=wildcards.layer),
        code=code_digest("saes_train"),
    shell:
        "python workflow/scripts/saes_train.py {input.manifest} {input.corpus} {params.folder} --caches {input.caches}"
        " --pretrained {input.pretrained:q} --layer {wildcards.layer} --context-size {params.context_size}"
        " --settings {params.settings:q} --device {params.device} --seed {params.seed}"
        " --repeat {params.repeat} 2> {log}"


# a second seed of some layers, for how far two runs find the same latents
use rule sae as sae_again with:
    output:
        weights="<results>/saes/{layer}/again/sae_weights.safetensors",
        description="<results>/saes/{layer}/again/cfg.json",
        provenance="<results>/saes/{layer}/again/provenance.json",
        training="<results>/saes/{layer}/again/training.csv",
    log:
        "<logs>/saes/{layer}.again.log",
    benchmark:
        "<benchmarks>/saes/{layer}.again.jsonl"
    priority: 0


if STREAM and not PRETRAINED:

    # captures and trains all layers in one pass over the corpus
    rule sae_stream:
        input:
            manifest="<results>/model/manifest.json",
            preflight="<results>/model/preflight.json",
            corpus="<results>/prompts/corpus.jsonl",
        output:
            weights=expand(
                "<results>/saes/{layer}/sae_weights.safetensors", layer=LAYERS
            ),
            descriptions=expand("<results>/saes/{layer}/cfg.json", layer=LAYERS),
            provenance=expand("<results>/saes/{layer}/provenance.json", layer=LAYERS),
            training=expand("<results>/saes/{layer}/training.csv", layer=LAYERS),
        log:
            "<logs>/saes/stream.log",
        benchmark:
            "<benchmarks>/saes/stream.jsonl"
        conda:
            "../../envs/model.yaml"
        resources:
            gpu=GPUS,
        params:
            agent=literal(AGENT_FILE),
            resources=resources.digest(AGENT),
            folders=lambda wildcards, output: [
                str(Path(path).parent) for path in output.weights
            ],
            layers=streamed,
            max_tokens=config["prompts"]["corpus"]["max_tokens"],
            capture=CAPTURE,
            settings=lambda wildcards: list(map(sae_settings, streamed(wildcards))),
            device=config["model"]["device"],
            seed=config["seed"],
            repeat=lambda wildcards, output: int("/again/" in output.weights[0]),
            code=code_digest("saes_stream"),
        shell:
            "python workflow/scripts/saes_stream.py {input.manifest} {input.corpus} {params.agent:q}"
            " --folders {params.folders} --layers {params.layers} --max-tokens {params.max_tokens}"
            " --capture {params.capture:q} --settings {params.settings:q} --device {params.device} --seed {params.seed}"
            " --repeat {params.repeat} 2> {log}"

    ruleorder: sae_stream > sae

    # captures what it trains on by itself, since the layer is known only when the first dictionaries' probes are
    use rule sae_stream as sae_stream_again with:
        output:
            weights=["<results>/saes/{layer}/again/sae_weights.safetensors"],
            descriptions=["<results>/saes/{layer}/again/cfg.json"],
            provenance=["<results>/saes/{layer}/again/provenance.json"],
            training=["<results>/saes/{layer}/again/training.csv"],
        log:
            "<logs>/saes/stream.{layer}.again.log",
        benchmark:
            "<benchmarks>/saes/stream.{layer}.again.jsonl"

    ruleorder: sae_stream_again > sae_again


rule sae_agreement:
    input:
        first=lambda wildcards: twice("<results>/saes/{layer}/sae_weights.safetensors"),
        again=lambda wildcards: twice(
            "<results>/saes/{layer}/again/sae_weights.safetensors"
        ),
    output:
        table="<results>/saes/agreement.csv",
        record="<results>/saes/agreement.provenance.json",
    log:
        "<logs>/saes/agreement.log",
    benchmark:
        "<benchmarks>/saes/agreement.jsonl"
    conda:
        "../../envs/model.yaml"
    params:
        layers=lambda wildcards: twice(),
        # a change shows even where the list of layers was deleted
        second_seeds=SECOND_SEEDS,
        seed=config["seed"],
        code=code_digest("saes_agreement"),
    shell:
        "python workflow/scripts/saes_agreement.py {output.table} --first {input.first} --again {input.again}"
        " --layers {params.layers} --seed {params.seed} 2> {log}"


rule sae_quality:
    input:
        manifest="<results>/model/manifest.json",
        corpus="<results>/prompts/corpus.jsonl",
        caches=CORPUS_CACHES,
        weights=expand("<results>/saes/{layer}/sae_weights.safetensors", layer=LAYERS),
        descriptions=expand("<results>/saes/{layer}/cfg.json", layer=LAYERS),
    output:
        table=report(
            "<results>/saes/quality.csv",
            caption="../report/table_quality.rst",
            category="Tables",
            labels={"table": "SAE quality"},
        ),
        record="<results>/saes/quality.provenance.json",
        density="<results>/saes/density.csv",
        density_record="<results>/saes/density.provenance.json",
    log:
        "<logs>/saes/quality.log",
    benchmark:
        "<benchmarks>/saes/quality.jsonl"
    conda:
        "../../envs/model.yaml"
    resources:
        gpu=GPUS,
    params:
        agent=literal(AGENT_FILE),
        folders=lambda wildcards, input: [
            str(Path(path).parent) for path in input.descriptions
        ],
        layers=LAYERS,
        max_tokens=config["prompts"]["corpus"]["max_tokens"],
        resources=resources.digest(AGENT),
        gates=config_slice(GateSettings, within="saes.gates"),
        on_gate_failure=config["saes"]["on_gate_failure"],
        seed=config["seed"],
        code=code_digest("saes_quality"),
    shell:
        "python workflow/scripts/saes_quality.py {input.manifest} {input.corpus}"
        " {params.agent:q} {output.table} {output.density} --caches {input.caches}"
        " --saes {params.folders} --layers {params.layers} --max-tokens {params.max_tokens}"
        " --gates {params.gates:q} --on-gate-failure {params.on_gate_failure} --seed {params.seed} 2> {log}"


rule sae_examples:
    input:
        manifest="<results>/model/manifest.json",
        caches=CORPUS_CACHES,
        probes=expand("<results>/probes/{trait}.json", trait=TRAITS),
        probe_weights=expand("<results>/probes/{trait}.safetensors", trait=TRAITS),
        weights=expand("<results>/saes/{layer}/sae_weights.safetensors", layer=LAYERS),
        descriptions=expand("<results>/saes/{layer}/cfg.json", layer=LAYERS),
        agreement=["<results>/saes/agreement.csv"] if SECOND_SEEDS else [],
    output:
        table="<results>/saes/examples.csv",
        record="<results>/saes/examples.provenance.json",
        page=report(
            "<results>/saes/examples.html",
            caption="../report/examples.rst",
            category="Parts",
            labels={"page": "top examples of the probes' latents"},
        ),
    log:
        "<logs>/saes/examples.log",
    benchmark:
        "<benchmarks>/saes/examples.jsonl"
    conda:
        "../../envs/model.yaml"
    params:
        saes=lambda wildcards, input: str(Path(input.descriptions[0]).parents[1]),
        traits=TRAITS,
        settings=config_slice(ExampleSettings, within="saes.examples"),
        template=resources.digest(
            Path(LIBRARY, "report", "examples.html.j2").read_text(encoding="utf-8")
        ),
        code=code_digest("saes_examples"),
    shell:
        "python workflow/scripts/saes_examples.py {input.manifest} {params.saes} {output.table} {output.page}"
        " --caches {input.caches} --probes {input.probes} --traits {params.traits}"
        " --agreement {input.agreement} --settings {params.settings:q} 2> {log}"
