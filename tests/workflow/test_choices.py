"""What the small experiment leaves at its default, several choices in a run."""

import html
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from chat import byte_tokenizer
from project import Project, script_of_docs
from safetensors.torch import load_file, save_file
from test_reruns import kept, one_bit_other
from tiny import D_MODEL, llama

from trimtab.activations.reader import Cache
from trimtab.agent import protocols
from trimtab.artifacts import files, tensors
from trimtab.forward.sites import ATTENTION_OUT, Sites
from trimtab.prompts.resources import RESOURCES
from trimtab.saes.files import Origin
from trimtab.saes.formats import sparsify
from trimtab.saes.sae import SAE, TopKActivation
from trimtab.settings.vectors import MethodSettings
from trimtab.statistics.contrasts import BEYOND_SUM
from trimtab.steering.catalogue import GATES as CATALOGUE
from trimtab.steering.catalogue import RULES, TIMINGS
from trimtab.vectors import artifact, nulls
from trimtab.vectors.design import TOGETHER
from trimtab.vectors.units import UNITS

METHODS = "[sae_probe, mean_difference, random]"
AROUND = ["specific_sae_attributed", "apart_sae_behaviour", "shuffled_behaviour", "corpus_random"]
"""Vectors that need all that a method may ask for beyond the trait's own rows."""
UNMADE = "shuffled_corpus_random"
"""One without labels that could be shuffled."""
OWN = ["seal", "efficiency", "casal_known"]
"""Methods that learn from the agent's own episodes, of which a model that knows nothing may give them none."""
MORE = f"[sae_probe, mean_difference, imported, ablation, {UNMADE}, {', '.join([*AROUND, *OWN])}, random]"
GATES = ["spaced", "lit", "said", "beyond", "opposed"]


@pytest.fixture(scope="module")
def chosen_run(finished, tmp_path_factory):
    """Dictionaries made elsewhere, doses in nats, and a vector under three rules: what comes after the caches anew."""
    folder = tmp_path_factory.mktemp("chosen") / "project"
    shutil.copytree(finished.folder, folder, symlinks=True)
    project = Project(folder, finished.python)
    # as another tool would have them: without a length of 1, and nothing said of them
    theirs = artifact.read(finished.results / "vectors/raw_probe/deference.safetensors")
    save_file({f"direction.{theirs.layer}": 3 * theirs.unit}, folder / "their deference.safetensors")
    config = f"""
saes: {{pretrained: "{finished.results}/saes/{{layer}}"}}
vectors: {{methods: {MORE}, imported: "{folder}/their {{trait}}.safetensors", episodes: 3}}
probes: {{traits: [deference]}}
statistics: {{confirmatory: {{dose: 0.1}}}}
rollouts:
  unit: kl
  study: {{doses: [0.1], decode_dose: null}}
  controls: {{dose: 0.1, methods: [mean_difference]}}
  grid:
    - {{doses: [0.1], rules: [keep_norm, edit_code]}}
    - {{doses: [-0.05], timings: [user]}}
    - {{methods: [ablation], doses: [0.001]}}
    - {{methods: [{UNMADE}], doses: [0.01]}}
    - {{doses: [0.01], gates: [always, spaced, lit, said, beyond, opposed]}}
  gates:
    spaced: {{kind: trigger, texts: [" ", "e"]}}
    lit: {{kind: latent, layer: 0, latent: 3, above: -0.05, remembers: any}}
    said: {{kind: probe, above: 0.2, remembers: first}}
    beyond: {{kind: projection, above: 0.0}}
    opposed: {{kind: contrast, above: -0.05}}
  best_of: 2
  batch_conditions: auto
  memory_mb: 100
"""
    done = project.snakemake(config=config)
    assert done.returncode == 0, done.stdout
    return project, config


@pytest.fixture(scope="module")
def chosen(chosen_run):
    return chosen_run[0].results


def test_other_content_at_the_same_place_is_read_anew(chosen_run, finished):
    project, config = chosen_run
    theirs, vector = finished.results / "saes/2/sae_weights.safetensors", project.folder / "their deference.safetensors"
    assert project.planned(config) == set()
    with kept(vector):
        one_bit_other(vector)
        planned = project.planned(config)
        assert "vectors deference" in planned
        assert not [job for job in planned if job.startswith("sae ")]
    with kept(theirs):
        one_bit_other(theirs)
        assert [job for job in project.planned(config) if job.startswith("sae ")] == ["sae 2"]


def test_another_declared_outcome_makes_vectors_anew_that_go_by_it(chosen_run):
    project, config = chosen_run
    other = config.replace("{confirmatory: {dose: 0.1}}", "{confirmatory: {dose: 0.1}, primary: {deference: asked}}")
    assert "vectors deference" in project.planned(other)


def test_dictionaries_made_elsewhere_take_the_place_of_training(chosen, finished):
    for layer in (0, 2):
        ours, theirs = (load_file(at / f"saes/{layer}/sae_weights.safetensors") for at in (chosen, finished.results))
        assert all(torch.allclose(ours[name], theirs[name]) for name in ("W_enc", "W_dec", "b_enc", "b_dec"))
        assert len(pd.read_csv(chosen / f"saes/{layer}/training.csv")) == 0
        about = json.loads((chosen / f"saes/{layer}/provenance.json").read_text())
        assert any(f"saes/{layer}/sae_weights.safetensors" in path for path in about["inputs"])


def test_a_vector_made_elsewhere_is_a_method(chosen, finished):
    ours = artifact.read(chosen / "vectors/imported/deference.safetensors")
    theirs = artifact.read(finished.results / "vectors/raw_probe/deference.safetensors")
    assert torch.allclose(ours.unit, theirs.unit, atol=1e-6)
    assert ours.record.raw_norm == pytest.approx(3)
    assert any("their deference.safetensors" in path for path in ours.record.provenance["inputs"])


def test_vectors_are_made_from_more_than_the_traits_own_rows(chosen):
    compared = pd.read_csv(chosen / "vectors/comparison.csv")
    for name in nulls.vector_names(MethodSettings.model_construct(methods=AROUND, random_draws=1, null_draws=1)):
        made = artifact.read(chosen / f"vectors/{name}/deference.safetensors")
        assert made.unit.norm().item() == pytest.approx(1, abs=1e-6)
        origin = made.record.provenance
        assert any("activations/corpus/000.h5" in path for path in origin["inputs"])
        assert origin["settings"]["primary"] == {"deference": "asks"}
        assert name in set(compared["method"]) or None in made.record.lengths(made.plain).values()


def test_a_run_goes_on_without_what_cannot_be_made_and_says_so(chosen):
    rows = pd.read_csv(chosen / "vectors/not_made.csv").set_index("method")
    row = rows.loc[UNMADE]
    assert row["trait"] == "deference"
    assert row["why"] == "shuffled labels of deference: the method is the same without labels; leave it out"
    asked, ran = (
        set(pd.read_csv(chosen / "rollouts" / name)["condition_id"])
        for name in ("conditions/deference.csv", "conditions.csv")
    )
    assert {nulls.plain(name) for name in rows.index} <= {UNMADE, *OWN}
    assert asked - ran == {f"{UNMADE}.deference.all.+0.01"}
    assert row["why"] in html.unescape((chosen / "report/report.html").read_text())


def test_methods_learn_from_the_agents_own_episodes_on_tasks_of_their_own(chosen):
    own = [json.loads(line) for line in (chosen / "rollouts/development.jsonl").read_text().splitlines()]
    tested = {json.loads(line)["id"] for line in (chosen / "prompts/scenarios.jsonl").read_text().splitlines()}
    assert not {one["scenario_id"] for one in own} & tested
    assert {one["run"] for one in own} == {0, 1, 2}
    for name in OWN:
        _, about = tensors.read(chosen / f"vectors/{name}/deference.safetensors")
        assert any("rollouts/development.jsonl" in path for path in json.loads(about["provenance"])["inputs"])


def test_probes_choose_among_unsteered_episodes(chosen):
    table = pd.read_csv(chosen / "rollouts/best_of.csv")
    assert set(table["n"]) == {1, 2}
    gain = table[table["outcome"] == "score"].set_index("n")["estimate"]
    assert gain[1] == pytest.approx(0, abs=1e-9)
    assert gain[2] > 0
    assert 'id="table-best_of"' in (chosen / "report/report.html").read_text()


def test_rows_where_an_action_is_due_are_those_of_the_caches_where_prompts_end_so(chosen):
    """Both read the same prompts, in other passes; of splits that vectors may see alone."""
    table = pd.read_parquet(chosen / "vectors/due/deference.parquet")
    docs = script_of_docs("columns")
    assert all(docs.meaning(docs.table_of("vectors/due/deference.parquet"), column) for column in table)
    prompts = {row["id"]: row for row in files.read_jsonl(chosen / "prompts/contrast/deference.jsonl")}
    assert {prompts[name]["split"] for name in table["prompt_id"]} == {"fit", "select"}
    with Cache.open(chosen / "activations/contrast/deference.h5") as cache:
        of = {name: at for at, name in enumerate(cache.prompt_ids)}
        for site, own in table.groupby("site"):
            ends = [of[name] for name in own["prompt_id"] if prompts[name]["messages"][-1]["role"] == "assistant"]
            assert len(ends) == len(own) > 10
            cached = cache.rows(int(site), 0, cache.n_rows).float()[ends]
            torch.testing.assert_close(torch.tensor(np.stack([*own["row"]])), cached, rtol=1e-3, atol=1e-3)


def test_a_vector_is_applied_by_several_rules(chosen):
    conditions = pd.read_csv(chosen / "rollouts/conditions.csv").set_index("condition_id")
    rules = conditions.loc[conditions["rule"] != "add", "rule"].to_dict()
    assert rules == {
        "sae_probe.deference.all.+0.1.keep_norm": "keep_norm",
        "sae_probe.deference.all.+0.1.edit_code": "edit_code",
        "ablation.deference.all.+0.001": "as_made",
    }
    effects = pd.read_csv(chosen / "statistics/effects.csv")
    assert set(conditions.index) - {"unsteered"} <= set(effects["condition_id"])


def test_a_vector_stands_behind_gates_each_with_a_length_of_its_own(chosen):
    conditions = pd.read_csv(chosen / "rollouts/conditions.csv", keep_default_na=False).set_index("condition_id")
    gated = conditions.loc[conditions["gate"] != "", "gate"].to_dict()
    assert gated == {f"sae_probe.deference.all.+0.01.{name}": name for name in GATES}
    _, texts = tensors.read(chosen / "vectors/sae_probe/deference.safetensors")
    solved = {row.get("gate", ""): row for row in json.loads(texts["kl_calibration"]) if row["target"] == 0.01}
    assert solved.keys() == {"", *GATES}
    assert all(row["kl"] == pytest.approx(0.01, rel=0.03) for row in solved.values())
    # a gate that is closed at some tokens needs a longer push for the same nats; one open at all, the same
    assert all(abs(solved[name]["length"]) >= abs(solved[""]["length"]) * (1 - 1e-5) for name in GATES)


def test_it_is_counted_how_often_each_gate_was_open(chosen):
    """By the last turns of the rollouts, which are counted here in another way."""
    gates = pd.read_csv(chosen / "rollouts/gates.csv").set_index("condition_id")
    assert gates["gate"].to_dict() == {f"sae_probe.deference.all.+0.01.{name}": name for name in GATES}
    turns = pd.read_parquet(chosen / "rollouts/turns/deference.parquet")
    for name, row in gates.iterrows():
        own = turns[turns["condition_id"] == name].groupby(["scenario_id", "seed"])["gates"]
        (counts,) = zip(*(max(map(json.loads, each), key=lambda gates: gates[0][1]) for _, each in own), strict=True)
        opened, tokens = (sum(each) for each in zip(*counts, strict=True))
        assert (row["n_rollouts"], row["tokens"]) == (len(own), tokens)
        assert row["open_share"] == pytest.approx(opened / tokens)
        assert row["rollouts_open"] == sum(count[0] > 0 for count in counts) / len(counts)
    assert (turns.loc[~turns["condition_id"].isin(gates.index), "gates"] == "").all()
    page = html.unescape((chosen / "report/report.html").read_text())
    stuck = gates["open_share"].isin([0, 1]).any()
    assert ("Gates. Never open" in page or "Gates. Open at every token" in page) == stuck


def test_edits_of_a_methods_own_are_measured_and_applied(chosen):
    named, texts = tensors.read(chosen / "vectors/ablation/deference.safetensors")
    assert sorted(named) == ["unit.0", "unit.2"]
    assert texts["edits_version"] == "1"
    doses = pd.read_csv(chosen / "vectors/doses.csv")
    assert doses.loc[doses["method"] == "ablation", "dose"].tolist() == [0.25, 0.5, 1.0]


def test_the_report_says_what_was_chosen(chosen):
    page = html.unescape((chosen / "report/report.html").read_text())
    assert "made elsewhere, not trained in this run" in page
    applied = ("add", "keep_norm", "edit_code", "as_made")
    told = [name for name, rule in RULES.items() if rule.sentence.removesuffix(".") in page]
    assert set(told) == set(applied)
    assert [name for name, unit in UNITS.items() if unit.sentence in page] == ["kl"]
    assert [name for name, gate in CATALOGUE.items() if gate.sentence.removesuffix(".") in page] == [*CATALOGUE]
    assert "At the dose declared before the data (0.1, nats; all tokens;" in page
    assert {name for name, timing in TIMINGS.items() if timing.sentence in page} == {"all", "prefill", "user"}


def attention_adds(model, tokens):
    """What the attention of layer 0 adds to the stream at each token, by a plain hook."""
    seen = []
    handle = model.model.layers[0].self_attn.register_forward_hook(lambda *words: seen.append(words[2][0][0]))
    with torch.no_grad():
        model(torch.tensor([tokens]))
    handle.remove()
    return seen[0]


def test_attention_of_a_model_with_tool_calls_of_its_own_goes_through_the_whole_workflow(new_project):
    """What attention adds is read and steered, by dictionaries that another tool made there. Random weights write no
    call that can be read, and that is counted."""
    project = new_project()
    tokenizer = byte_tokenizer()
    model = llama(vocab_size=len(tokenizer), max_position_embeddings=8192, initializer_range=0.2)
    model.save_pretrained(project.folder / "chatty")
    tokenizer.save_pretrained(project.folder / "chatty")
    theirs = project.folder / "theirs/layers.0.self_attn"
    decoder = torch.randn(64, D_MODEL, generator=torch.Generator().manual_seed(0))
    sparsify.write(
        theirs,
        SAE(decoder.T.contiguous(), torch.zeros(64), decoder, torch.zeros(D_MODEL), TopKActivation(8)),
        Origin.at(Sites(ATTENTION_OUT, ("self_attn",)), "chatty", 0, 0),
    )
    config = f"""
model: {{source: chatty}}
layers: [0]
prompts: {{corpus: {{max_tokens: 256, shards: 1}}, scenarios: 4}}
activations: {{site: attention_out}}
saes: {{second_seeds: 0, pretrained: "{theirs.parent}/layers.{{layer}}.self_attn"}}
probes: {{traits: [deference]}}
vectors: {{methods: {METHODS}, random_draws: 1, chance_draws: 1}}
rollouts:
  protocol: native
  reply_tokens: 12
  study: {{doses: [0.4]}}
  controls: {{methods: [mean_difference]}}
  gates: {{never: {{kind: projection, above: 100}}}}
  grid:
    - {{doses: [0.4], gates: [always, never], also: [mean_difference.deference.0.4]}}
"""
    done = project.snakemake(config=config)
    assert done.returncode == 0, done.stdout
    about = json.loads((project.results / "saes/0/cfg.json").read_text())["metadata"]
    assert (about["hook_name"], about["hf_hook_name"]) == ("blocks.0.hook_attn_out", "model.layers.0.self_attn")
    _, texts = tensors.read(project.results / "vectors/sae_probe/deference.safetensors")
    assert texts["site"] == "attention_out"
    protocol = protocols.read(RESOURCES / "native.yaml", tokenizer)
    prompts = files.read_jsonl(project.results / "prompts/contrast/deference.jsonl")
    messages = {row["id"]: row["messages"] for row in prompts}
    with Cache.open(project.results / "activations/contrast/deference.h5") as cache:
        asked = [token for each in protocol.prompt(messages[cache.prompt_ids[0]]) for token in each.tokens]
        assert torch.allclose(cache.rows(0, 0, 1)[0], attention_adds(model, asked)[-1], atol=1e-5)
    turns = pd.read_parquet(project.results / "rollouts/turns/deference.parquet")
    # a push may bring a mark of calls, and nothing that can be read behind it
    assert {"finish"} <= set(turns["tool"]) <= {"finish", "unparsed"}
    outcomes = pd.read_parquet(project.results / "rollouts/outcomes.parquet")
    assert not list(outcomes.filter(regex="^p_"))
    assert (outcomes["no_call"] == 1).all()
    page = html.unescape((project.results / "report/report.html").read_text())
    assert "attention's output" in page
    # two vectors at once, of which one is behind a gate that never opens
    both = "sae_probe.deference.all.+0.4_with_mean_difference.deference.+0.4"
    shut = "sae_probe.deference.all.+0.4.never_with_mean_difference.deference.+0.4"
    (row,) = pd.read_csv(project.results / "rollouts/gates.csv").to_dict("records")
    assert (row["condition_id"], row["gate"], row["open_share"], row["rollouts_open"]) == (shut, "never", 0, 0)
    assert "Gates. Never open, so that nothing was done behind them: SAE-decoded probe · Deference · dose 0.40" in page
    said = turns[turns["turn"] == 0].set_index(["condition_id", "scenario_id"])["thought"]
    alone = said["mean_difference.deference.all.+0.4"]
    # a row's place in its batch may move a draw
    assert (said[shut] == alone).mean() > 0.5 >= (said[both] == alone).mean()
    contrasts = pd.read_csv(project.results / "statistics/contrasts.csv")
    together = contrasts[contrasts["kind"] == "interaction"].drop_duplicates(["condition_id", "baseline_id"])
    assert together[["condition_id", "baseline_id"]].to_numpy().tolist() == [
        [both, "sum of sae_probe.deference.all.+0.4 and mean_difference.deference.all.+0.4"]
    ]
    assert "Interactions: parts of one condition are not run alone" in page
    assert BEYOND_SUM.sentence in page
    assert TOGETHER.sentence in page
