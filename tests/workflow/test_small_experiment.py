"""A whole experiment at toy size: every artifact is what the design says, true to the model, and the same each time."""

import json
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from project import ROOT, Project, script_of_docs
from safetensors import safe_open

from trimtab.activations.reader import Cache
from trimtab.agent import protocols
from trimtab.artifacts import files
from trimtab.model.source import from_manifest
from trimtab.report.figures import PLOTS
from trimtab.rollouts.conditions import read_conditions
from trimtab.vectors.methods import known, makes_edits, members, needs

LAYERS = [0, 2]
SAES = [*map(str, LAYERS), f"{LAYERS[0]}/again"]
TRAITS = ["autonomy", "deference"]
SHARDS = ["000", "001"]
METHODS = [
    method
    for method in known()
    if method not in ("random", "imported", *members("gradients"), *members("trained"))
    and not makes_edits(method)
    and not needs(method)
]
METHODS += ["shuffled_1", "orthogonal_1", "random_0", "random_1"]
CHANCE = ["random_2", "corpus_random_0", "corpus_random_1", "corpus_random_2"]
NO_AIM = {"shuffled", "shuffled_1", "orthogonal", "orthogonal_1", "random_0", "random_1"}
DECODED = ["sae_probe", "sae_probe_top", "sae_pattern", "best_latent"]
CONDITIONS = ["unsteered", "zero"] + [
    name.format(trait=trait)
    for trait in TRAITS
    for name in (
        "sae_probe.{trait}.all.+0.2",
        "sae_probe.{trait}.all.+0.4",
        "sae_probe.{trait}.prefill.+0.2",
        "sae_probe.{trait}.prefill.+0.4",
        "sae_probe.{trait}.decode.+0.4",
        "sae_probe.{trait}.all.-0.4",
        "mean_difference.{trait}.all.+0.4",
        "raw_probe.{trait}.all.+0.4",
        "random.0.{trait}.all.+0.4",
        "prompt.{trait}",
    )
]
SCENARIOS = 8
D_MODEL, LATENTS = 32, 64
ROUNDING = 1e-6
"""Two rows of one batch may differ in the last bits of a probability; texts and counts may not differ at all."""

VECTOR_TABLES = [
    f"vectors/{n}"
    for n in (
        *("geometry", "dimensions", "latents", "doses", "kl", "thresholds", "openings", "not_made"),
        *("training", "margins"),
        *("comparison", "nulls", "stability"),
    )
]
STATISTICS = [
    *("effects", "models", "controls", "contrasts", "study", "dose_response", "dose_fits", "structure", "tools"),
    "prediction",
]

# what says where it comes from, by itself or in a record beside it
TRACED = [
    "model/manifest.json",
    "model/preflight.json",
    *(f"prompts/{name}.provenance.json" for name in ("corpus", "contrast", "scenarios", "transcripts")),
    *(f"prompts/contrast/{trait}.provenance.json" for trait in [*TRAITS, "null"]),
    *(f"activations/corpus/{shard}.h5" for shard in SHARDS),
    *(f"activations/contrast/{trait}.h5" for trait in [*TRAITS, "null"]),
    *(f"saes/{folder}/provenance.json" for folder in SAES),
    *(f"saes/{table}.provenance.json" for table in ("density", "agreement", "examples")),
    *(f"{table}.provenance.json" for table in ("saes/quality", "probes/scores", "probes/gaps", *VECTOR_TABLES)),
    *(f"probes/{trait}.{end}" for trait in TRAITS for end in ("json", "safetensors", "latents.parquet")),
    "probes/layers.json",
    *(f"vectors/decisions/{trait}.parquet" for trait in TRAITS),
    *(f"vectors/chance/{layer}.parquet" for layer in LAYERS),
    *(f"vectors/{method}/{trait}.safetensors" for method in METHODS for trait in TRAITS),
    "rollouts/calibration.json",
    "rollouts/conditions.provenance.json",
    "rollouts/gates.provenance.json",
    "rollouts/room.provenance.json",
    *(f"rollouts/conditions/{batch}.provenance.json" for batch in ["common", *TRAITS]),
    *(f"rollouts/turns/{batch}.parquet" for batch in ["common", *TRAITS]),
    "rollouts/outcomes.parquet",
    "statistics/summary.json",
]
# texts and tables whose record stands beside them, and what the report draws from all of these
OTHERS = [
    *(f"prompts/{name}.jsonl" for name in ("corpus", "contrast", "scenarios", "transcripts")),
    *(f"prompts/contrast/{trait}.jsonl" for trait in [*TRAITS, "null"]),
    *(f"saes/{folder}/{name}" for folder in SAES for name in ("sae_weights.safetensors", "cfg.json", "training.csv")),
    *(f"saes/{table}.csv" for table in ("quality", "density", "agreement", "examples")),
    "saes/examples.html",
    "probes/scores.csv",
    "probes/gaps.csv",
    *(f"{table}.csv" for table in VECTOR_TABLES),
    *(f"rollouts/conditions/{batch}.csv" for batch in ["common", *TRAITS]),
    "rollouts/conditions.csv",
    "rollouts/gates.csv",
    "rollouts/room.csv",
    *(f"statistics/{name}.csv" for name in STATISTICS),
    "report/report.html",
    *(f"report/figures/{name}.{end}" for name in PLOTS for end in ("svg", "pdf")),
]


@pytest.fixture(scope="module")
def results(finished: Project) -> Path:
    return finished.results


def test_every_column_of_every_table_has_its_line_in_docs(results):
    columns = script_of_docs("columns")
    said, met = set(), set()
    for path in sorted(results.rglob("*.csv")) + sorted(results.rglob("*.parquet")):
        name = path.relative_to(results).as_posix()
        if "/." in name or name.startswith("benchmarks/"):
            continue
        table = columns.table_of(name)
        assert table is not None, name
        found = pq.read_schema(path).names if path.suffix == ".parquet" else [*pd.read_csv(path, nrows=1).columns]
        assert {column: columns.meaning(table, column) for column in found if not columns.meaning(table, column)} == {}
        met |= {(table["path"], column) for column in found}
        said |= {(table["path"], column) for column in columns.own(table)}
    assert said - met == set()


@pytest.fixture(scope="module")
def conditions(results: Path) -> pd.DataFrame:
    return read_conditions(results / "rollouts/conditions.csv")


@pytest.fixture(scope="module")
def outcomes(results: Path) -> pd.DataFrame:
    return pd.read_parquet(results / "rollouts/outcomes.parquet")


def tensors_of(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata() or {}  # noqa: SIM118


def origin(path: Path) -> dict[str, object]:
    """The provenance that an artifact carries."""
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            return json.loads(file.attrs["provenance"])
    if path.suffix == ".parquet":
        return json.loads(pq.read_schema(path).metadata[b"provenance"])
    if path.suffix == ".safetensors":
        return json.loads(tensors_of(path)[1]["provenance"])
    content = files.read_json(path)
    return content if path.name.endswith("provenance.json") else content["provenance"]


# --- what is there ---


def test_the_run_makes_the_artifacts_of_the_design_and_no_others(finished):
    assert finished.artifacts() == {*TRACED, *OTHERS}


@pytest.mark.parametrize("name", TRACED)
def test_an_artifact_says_what_it_came_from(finished, name):
    record = origin(finished.results / name)
    assert {"inputs", "settings", "seed", "versions", "commit"} <= record.keys()
    assert {"torch", "transformers", "numpy"} <= record["versions"].keys()
    # and says it truly
    assert record["inputs"] == {path: files.sha256(finished.folder / path) for path in record["inputs"]}


def test_every_job_leaves_a_log_and_a_benchmark(results):
    logs = {path.relative_to(results / "logs").with_suffix("") for path in (results / "logs").rglob("*.log")}
    benchmarks = {p.relative_to(results / "benchmarks").with_suffix("") for p in results.rglob("benchmarks/**/*.jsonl")}
    assert logs == benchmarks
    aside = {"logs", "benchmarks", "records.json"}
    assert {str(log.parts[0]) for log in logs} == {path.name for path in results.iterdir()} - aside
    for log in results.rglob("*.log"):
        assert not re.search("Traceback|Warning", log.read_text()), log.read_text()
    for benchmark in results.rglob("benchmarks/**/*.jsonl"):
        assert json.loads(benchmark.read_text())["s"] > 0


def test_the_model_is_described_and_checked(results):
    manifest = files.read_json(results / "model/manifest.json")
    assert (manifest["model"], manifest["layers"], manifest["d_model"]) == ("tiny-llama", 4, D_MODEL)
    assert manifest["dtype"] == "float32"
    assert [len(digest) for digest in manifest["weights"].values()] == [64]
    # of every layer, so that other layers make no other manifest
    assert list(manifest["residual_norm"]) == [str(layer) for layer in range(manifest["layers"])]
    checks = files.read_json(results / "model/preflight.json")["checks"]
    assert len(checks) >= 6
    assert all(check["passed"] for check in checks)


def test_prompts(results):
    corpus = files.read_jsonl(results / "prompts/corpus.jsonl")
    assert {"id", "text", "source", "split"} == set().union(*corpus)
    assert {row["split"] for row in corpus} == {"train", "held_out"}
    assert "transcripts" in {row["source"] for row in corpus}
    contrast = pd.DataFrame(files.read_jsonl(results / "prompts/contrast.jsonl"))
    assert {"id", "messages", "trait", "pole", "pair", "template", "domain", "split"} <= set(contrast)
    assert set(contrast["trait"]) == {*TRAITS, "null"}
    assert (contrast.groupby("pair")["pole"].agg(sorted).map(tuple) == ("high", "low")).all()
    assert (contrast.groupby("template")["split"].nunique() == 1).all()
    scenarios = files.read_jsonl(results / "prompts/scenarios.jsonl")
    assert len(scenarios) == SCENARIOS == len({row["id"] for row in scenarios})
    assert len({row["domain"] for row in scenarios}) == 4


@pytest.mark.parametrize("name", [n for n in TRACED if n.endswith(".h5")])
def test_caches_open_without_our_code(results, name):
    with h5py.File(results / name) as file:
        prompts = file["index/prompt_id"].asstr()[:]
        offsets = file["index/offset"][:]
        assert len(offsets) == len(prompts) + 1
        assert file["tokens/id"].shape == file["tokens/position"].shape == (offsets[-1],)
        assert sorted(file["layers"], key=int) == [str(layer) for layer in LAYERS]
        for layer in LAYERS:
            rows = file[f"layers/{layer}/rows"]
            assert rows.shape == (offsets[-1], D_MODEL)
            assert rows.attrs["dtype"] == "float32"
            assert np.isfinite(rows[:]).all()
        assert {"model", "revision", "hook", "provenance"} <= file.attrs.keys()
        if "contrast" in name:
            assert (np.diff(offsets) == 1).all()


@pytest.mark.parametrize("layer", LAYERS)
def test_saes_are_in_the_layout_of_saelens(results, layer):
    weights, _ = tensors_of(results / f"saes/{layer}/sae_weights.safetensors")
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    assert shapes == {
        "W_enc": (D_MODEL, LATENTS),
        "W_dec": (LATENTS, D_MODEL),
        "b_enc": (LATENTS,),
        "b_dec": (D_MODEL,),
    }
    assert torch.allclose(weights["W_dec"].norm(dim=1), torch.ones(LATENTS), atol=1e-5)
    cfg = files.read_json(results / f"saes/{layer}/cfg.json")
    assert (cfg["architecture"], cfg["d_in"], cfg["d_sae"], cfg["k"]) == ("topk", D_MODEL, LATENTS, 8)
    curve = pd.read_csv(results / f"saes/{layer}/training.csv")
    assert curve["explained_variance"].iloc[-1] > curve["explained_variance"].iloc[0]


def test_sae_quality_has_a_row_a_layer_and_set(results):
    quality = pd.read_csv(results / "saes/quality.csv")
    expected = [(layer, name) for layer in LAYERS for name in ("text", "transcripts")]
    assert list(quality[["layer", "evaluation_set"]].itertuples(index=False, name=None)) == expected
    assert quality["n_tokens"].gt(0).all()
    density = pd.read_csv(results / "saes/density.csv")
    living = density.groupby(["layer", "evaluation_set"])["latents"].sum() / 64
    assert living.tolist() == pytest.approx((1 - quality["dead_share"]).tolist())


def test_sae_examples_are_of_the_latents_that_probes_weigh_most(results):
    examples = pd.read_csv(results / "saes/examples.csv", keep_default_na=False)
    page = (results / "saes/examples.html").read_text()
    for trait in TRAITS:
        probe = files.read_json(results / f"probes/{trait}.json")
        weight = tensors_of(results / f"probes/{trait}.safetensors")[0]["weight"].abs()
        own = examples[examples["trait"] == trait]
        assert set(own["layer"]) == {probe["layer"]}
        assert set(own["latent"]) <= set(weight.topk(8).indices.tolist())
        assert f'id="{trait}"' in page
    strongest = examples.groupby(["trait", "latent"])["activation"]
    assert strongest.apply(lambda values: values.is_monotonic_decreasing).all()


def most_chosen(results):
    """The layer where the most probes sit, the lowest of several."""
    layers = [files.read_json(results / f"probes/{trait}.json")["layer"] for trait in TRAITS]
    return min(layers, key=lambda layer: (-layers.count(layer), layer))


def test_the_second_seed_is_where_the_most_probes_sit_and_its_table_says_where_the_others_are(results):
    stability = pd.read_csv(results / "vectors/stability.csv")
    assert stability["trait"].tolist() == TRAITS
    assert set(stability["layer"]) == {most_chosen(results)}
    own = [files.read_json(results / f"probes/{trait}.json")["layer"] for trait in TRAITS]
    assert stability["probe_layer"].tolist() == own
    assert [path.parent.name for path in (results / "saes").glob("*/again")] == [str(most_chosen(results))]


def test_two_seeds_of_a_layer_are_matched(results):
    (row,) = pd.read_csv(results / "saes/agreement.csv").to_dict("records")
    assert row["layer"] == most_chosen(results)
    assert row["n_latents"] == 64
    # the two are not the same run twice
    assert 0 < row["mean_cosine"] < 0.99


@pytest.mark.parametrize("trait", TRAITS)
def test_probes_and_vectors_agree_on_a_layer(results, trait):
    described = files.read_json(results / f"probes/{trait}.json")
    assert described["layer"] in LAYERS
    assert described["penalty"] in (1, 100)
    weights, _ = tensors_of(results / f"probes/{trait}.safetensors")
    assert {name: weights[name].shape for name in ("weight", "mean", "scale")} == dict.fromkeys(
        ("weight", "mean", "scale"), (LATENTS,)
    )
    manifest = files.read_json(results / "model/manifest.json")
    for method in METHODS:
        named, about = tensors_of(results / f"vectors/{method}/{trait}.safetensors")
        layer = described["layer"]
        direction = named.pop(f"direction.{layer}")
        assert named.pop(f"mean.{layer}").shape == (D_MODEL,)
        code = named.pop(f"code.{layer}", None)
        assert (code is not None) == (method in DECODED)
        assert not named
        assert direction.dtype == torch.float32
        assert direction.norm().item() == pytest.approx(1, abs=1e-6)
        assert (about["method"], about["trait"], about["layer"]) == (method, trait, str(described["layer"]))
        assert json.loads(about["residual_norm"]) == manifest["residual_norm"][about["layer"]]
        assert {"sign", "raw_norm", "dose_calibration", "model"} <= about.keys()


def test_a_dose_is_a_share_of_the_residual_norm(results):
    manifest = files.read_json(results / "model/manifest.json")
    doses = pd.read_csv(results / "vectors/doses.csv")
    norm = doses["layer"].map(lambda layer: manifest["residual_norm"][str(layer)]["centred_mean"])
    assert np.allclose(doses["length"], doses["dose"] * norm)
    assert doses["kl"].gt(0).all()
    # two doses, and what has no aim is pushed one way
    assert len(doses) == 2 * (2 * len(METHODS) - len(NO_AIM)) * len(TRAITS)


def test_every_method_is_compared_at_the_same_kl(results):
    lengths = pd.read_csv(results / "vectors/kl.csv").dropna(subset="length")
    assert set(lengths["method"]) == set(METHODS)
    assert np.allclose(lengths["kl"], lengths["target"], rtol=0.021)
    compared = pd.read_csv(results / "vectors/comparison.csv")
    # nulls of several draws have a row for their mean
    means = {"random", "corpus_random", "shuffled_0", "orthogonal_0"}
    assert set(compared["method"]) == {*METHODS, *CHANCE, *means, "prompt"}
    assert set(zip(compared["trait"], compared["measure"], strict=True)) == {(a, b) for a in TRAITS for b in TRAITS}
    assert (compared["lower"] <= compared["upper"]).all()
    # deference is measured where the task leaves something open
    scenarios = compared.groupby("measure")["n_scenarios"].unique()
    assert {measure: [*found] for measure, found in scenarios.items()} == {"autonomy": [SCENARIOS], "deference": [4]}
    # the plainest estimate, by hand
    decisions = pd.read_parquet(results / "vectors/decisions/deference.parquet")
    asks = decisions[decisions["point"] == "open_task"].pivot(
        index="scenario_id", columns="method", values="p_ask_user"
    )
    row = compared.query("trait == 'deference' and measure == 'deference' and method == 'lda'")
    assert row["estimate"].item() == pytest.approx((asks["lda"] - asks["none"]).mean(), abs=1e-9)
    # three of each kind
    assert row["random_draws"].item() == 6
    # and against its nulls in log-odds
    nulls = pd.read_csv(results / "vectors/nulls.csv").set_index(["trait", "method", "null"])
    odds = np.log(asks / (1 - asks)).mean()
    beyond = odds["sae_probe"] - odds[["shuffled", "shuffled_1"]].mean()
    assert nulls.loc[("deference", "sae_probe", "shuffled"), "gain"] == pytest.approx(beyond)
    assert nulls.loc[("deference", "lda", "corpus_random"), "draws"] == 3
    judged = compared.dropna(subset="verdict")
    assert set(judged["method"]) == {*METHODS} - NO_AIM
    assert (judged["trait"] == judged["measure"]).all()


def test_random_directions_of_a_layer_are_read_at_the_kl_of_comparison(results):
    for each in files.read_json(results / "probes/layers.json")["layers"]:
        chance = pd.read_parquet(results / f"vectors/chance/{each['layer']}.parquet")
        assert [*dict.fromkeys(chance["method"])] == CHANCE
        assert chance.groupby("method")["length"].nunique().eq(1).all()
        assert chance.filter(like="p_").sum(axis=1).to_numpy() == pytest.approx(1)


def test_latents_have_their_chances(results):
    latents = pd.read_parquet(results / "probes/autonomy.latents.parquet")
    assert len(latents) == len(LAYERS) * LATENTS
    assert latents[["p_pairs", "q_pairs", "p_templates"]].stack().between(0, 1).all()


def test_a_probe_is_tried_on_pairs_of_the_trait_of_style_and_of_words_alone(results):
    gaps = pd.read_csv(results / "probes/gaps.csv")
    expected = {(t, f, p) for t in TRAITS for f in ("sae", "raw") for p in ("test", "style", "lexical")}
    assert set(zip(gaps["trait"], gaps["features"], gaps["pairs"], strict=True)) == expected
    assert (gaps.loc[gaps["pairs"] == "lexical", "n_pairs"] == 4 * 4).all()


def test_scores_are_of_every_trait_and_layer(results):
    scores = pd.read_csv(results / "probes/scores.csv")
    assert {(t, n) for t in TRAITS for n in LAYERS} <= set(zip(scores["trait"], scores["layer"], strict=True))
    geometry = pd.read_csv(results / "vectors/geometry.csv")
    assert geometry["cosine"].between(-1.0001, 1.0001).all()


def test_every_scenario_meets_every_condition(results, conditions, outcomes):
    assert list(conditions["condition_id"]) == CONDITIONS
    assert {"method", "trait", "dose", "unit", "timing", "layer", "rule"} <= set(conditions)
    assert not outcomes.duplicated(["condition_id", "scenario_id", "seed"]).any()
    assert (outcomes.groupby("condition_id").size().reindex(CONDITIONS) == SCENARIOS).all()
    assert len(outcomes) == SCENARIOS * len(CONDITIONS)
    measured = outcomes.drop(columns=["condition_id", "scenario_id", "seed", "domain"])
    assert set(measured.dtypes) == {np.dtype("float64")}
    turns = pd.concat(map(pd.read_parquet, sorted((results / "rollouts/turns").iterdir())))
    assert {"messages", "call", "tool", "argument", "tokens", "finish_reason", "ok"} <= set(turns)
    assert turns["turn"].max() < 2
    assert turns.groupby(["condition_id", "scenario_id"]).size().sum() == outcomes["turns"].sum()
    assert np.allclose(turns.filter(regex="^p_").sum(axis=1), 1)


def test_statistics(results, outcomes):
    effects = pd.read_csv(results / "statistics/effects.csv")
    assert {
        *("condition_id", "baseline_id", "outcome", "estimand", "estimate", "lower", "upper"),
        *("p", "p_corrected", "family", "n_scenarios", "n_seeds", "method"),
    } <= set(effects)
    assert set(effects["condition_id"]) == set(CONDITIONS) - {"unsteered"}
    assert set(effects["n_scenarios"]) == {SCENARIOS}
    tested = effects.dropna(subset=["p"])
    assert tested["p"].between(0, 1).all()
    assert (tested["p_corrected"] >= tested["p"] - 1e-9).all()
    # the plainest estimate, by hand
    steered = "sae_probe.autonomy.all.+0.4"
    means = outcomes.groupby("condition_id")["p_act"].mean()
    plain = effects.query("condition_id == @steered and outcome == 'p_act' and estimand == 'mean_difference'")
    assert plain["estimate"].item() == pytest.approx(means[steered] - means["unsteered"])
    assert files.read_json(results / "statistics/summary.json")["n_rollouts"] == len(outcomes)


def test_the_report_holds_every_condition_and_needs_nothing_else(results):
    page = (results / "report/report.html").read_text()
    assert [name for name in CONDITIONS if name not in page] == []
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)
    assert page.count("<svg") + page.count("data:image/svg") >= len(PLOTS)


# --- whether it is true ---


@pytest.fixture(scope="module")
def agent(finished):
    """The model and its protocol, for readings that owe nothing to the caches."""
    manifest = files.read_json(finished.results / "model/manifest.json")
    moved = finished.folder / "manifest-of-the-copy.json"
    files.write_json(moved, {**manifest, "path": str(finished.folder / manifest["path"])})
    _, model, tokenizer = from_manifest(moved)
    return model, protocols.read(finished.folder / "workflow/resources/few_shot.yaml", tokenizer)


def stream(model, tokens: list[int], layer: int) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.tensor([tokens]), output_hidden_states=True).hidden_states[layer + 1][0]


@pytest.mark.parametrize("trait", [*TRAITS, "null"])
def test_a_contrast_row_is_the_residual_stream_of_the_last_token(results, agent, trait):
    model, protocol = agent
    prompts = files.read_jsonl(results / f"prompts/contrast/{trait}.jsonl")
    # the kind that probes are fitted on
    messages = {row["id"]: row["messages"] for row in prompts if row["kind"] == "opening"}
    with Cache.open(results / f"activations/contrast/{trait}.h5") as cache:
        assert set(cache.prompt_ids) == set(messages)
        for place in (0, len(messages) // 2, len(messages) - 1):
            segments = protocol.prompt(messages[cache.prompt_ids[place]])
            tokens = [token for segment in segments for token in segment.tokens]
            for layer in LAYERS:
                row = cache.rows(layer, place, place + 1)[0]
                assert torch.allclose(row, stream(model, tokens, layer)[-1], atol=1e-5)


@pytest.mark.parametrize("source", ["transcripts", "text"])
def test_a_corpus_document_is_all_its_tokens_but_a_first_one(results, agent, source):
    model, protocol = agent
    corpus = {row["id"]: row for row in files.read_jsonl(results / "prompts/corpus.jsonl")}
    # an episode is read after the protocol's header; other text stands alone
    header = protocol.header_tokens() if source == "transcripts" else []
    with Cache.open(results / "activations/corpus/000.h5") as cache:
        place, row = next(
            (place, corpus[name])
            for place, name in enumerate(cache.prompt_ids)
            if (corpus[name]["source"] == "transcripts") == (source == "transcripts")
        )
        tokens = [*header, *protocol.encode(row["text"])[:128]]
        start, end = cache.offsets[place : place + 2]
        first = len(header) or 1
        assert end - start == len(tokens) - first
        for layer in LAYERS:
            rows = cache.rows(layer, start, end)
            assert torch.allclose(rows, stream(model, tokens, layer)[first:], atol=1e-5)


def test_a_hook_with_dose_zero_changes_nothing(results, outcomes):
    turns = pd.read_parquet(results / "rollouts/turns/common.parquet")
    for table in (outcomes, turns):
        rows = {name: part.drop(columns="condition_id") for name, part in table.groupby("condition_id")}
        pd.testing.assert_frame_equal(
            rows["zero"].reset_index(drop=True), rows["unsteered"].reset_index(drop=True), rtol=0, atol=ROUNDING
        )
    effects = pd.read_csv(results / "statistics/effects.csv").query("condition_id == 'zero'")
    assert effects.query("estimand == 'mean_difference'")["estimate"].abs().lt(ROUNDING).all()


def test_a_push_reaches_the_model(outcomes):
    means = outcomes.groupby("condition_id")["p_act"].mean()
    moved = means.drop(["unsteered", "zero"]) - means["unsteered"]
    assert moved.abs().gt(0).all()


# --- whether it stays so ---


def test_a_second_run_does_nothing(finished):
    done = finished.snakemake()
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout


def test_the_same_jobs_in_another_folder_make_the_same_bytes(finished, tmp_path):
    """Some jobs, from training to the page, run again beside a copy of everything they read, under Python itself."""
    again = Project(tmp_path / "elsewhere")
    shutil.copytree(finished.folder, again.folder, symlinks=True)
    # else rollouts, doses and decisions would be taken over, not made
    shutil.rmtree(again.results / "rollouts/.cells")
    for kept in [*(again.results / "vectors").rglob(".kept")]:
        shutil.rmtree(kept)
    trained = ["saes/2/sae_weights.safetensors", "saes/2/training.csv"]
    made = [
        "vectors/random_0/autonomy.safetensors",
        "vectors/sae_probe/autonomy.safetensors",
        "vectors/decisions/autonomy.parquet",
        "rollouts/turns/common.parquet",
        "statistics/summary.json",
        "statistics/effects.csv",
        "report/figures/forest.svg",
        "report/figures/forest.pdf",
        "report/report.html",
    ]
    make_again(again, trained, ["sae"])
    # else probes would be fitted again, whose layers are a checkpoint
    touched = again.snakemake("--touch")
    assert touched.returncode == 0, touched.stdout
    make_again(again, made, ["vectors", "decisions", "rollouts", "statistics_effects", "report_figures", "report_page"])
    both = [*trained, *made]
    assert [n for n in both if (again.results / n).read_bytes() != (finished.results / n).read_bytes()] == []
    # and once more, from what passes gave the first time, none of which is run again
    passes = {path: path.stat().st_mtime_ns for path in again.results.rglob("*.pass")}
    assert {path.parents[2].name for path in passes} == {"vectors", "decisions"}
    make_again(again, made[:3], ["vectors", "decisions"])
    assert {path: path.stat().st_mtime_ns for path in again.results.rglob("*.pass")} == passes
    assert [n for n in made[:3] if (again.results / n).read_bytes() != (finished.results / n).read_bytes()] == []


def make_again(project, names, rules):
    before = {name: (project.results / name).stat().st_mtime_ns for name in names}
    targets = [str(Path("results/small") / name) for name in names]
    done = project.snakemake(*targets, "--force", "--allowed-rules", *rules)
    assert done.returncode == 0, done.stdout
    assert [name for name in names if (project.results / name).stat().st_mtime_ns == before[name]] == []


def test_snakemakes_own_report_holds_the_page_the_figures_and_the_tables(finished):
    done = finished.snakemake("--report", "report.html")
    assert done.returncode == 0, done.stdout
    page = (finished.folder / "report.html").read_text()
    captions = {path.stem for path in (ROOT / "workflow/report").glob("*.rst")}
    assert set(PLOTS) < captions
    assert [name for name in [*PLOTS, "report"] if f"{name}.svg" not in page and f"{name}.html" not in page] == []
    for table in ("statistics/effects", "vectors/comparison", "probes/scores", "saes/quality"):
        assert f"results/small/{table}.csv" in page


def test_the_plan_is_printed_with_what_the_run_came_to(finished):
    done = finished.snakemake("plan", "--quiet")
    assert done.returncode == 0, done.stdout
    (row,) = [line.split() for line in done.stdout.splitlines() if line.startswith("activations ")]
    planned, taken = int(row[1]), int(row[6])
    assert planned == taken == len(SHARDS) + len(TRAITS) + 1
