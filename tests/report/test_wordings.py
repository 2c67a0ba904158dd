"""What the page says of methods, rules, units, timings and outcomes is said by the one that was chosen."""

import copy
import html
import itertools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import choices
import fake_run
import pandas as pd
import pytest
import yaml
from choices import KINDS
from fake_run import changed
from recorded import one_call, scenario

from trimtab.agent.names import CALLS, WITHOUT_VECTOR
from trimtab.artifacts.manifest import ReadAt
from trimtab.config.check import check
from trimtab.errors import TrimtabError
from trimtab.jobs.origins import Origins
from trimtab.report import tables_structure, words
from trimtab.report.abstract import abstract
from trimtab.report.limitations import limitations
from trimtab.report.methods import methods, terms
from trimtab.report.page import render
from trimtab.report.plots_style import dose_label
from trimtab.report.run import WholeRun
from trimtab.rollouts.conditions import Condition
from trimtab.rollouts.outcomes import KEYS, OUTCOMES, outcomes
from trimtab.rollouts.rollout import OVERFLOW
from trimtab.settings.gates import NEEDS, EditGate
from trimtab.settings.saes import SaeOverride
from trimtab.steering import catalogue, gates, places
from trimtab.steering.catalogue import AS_MADE, EDIT_CODE, GATES, REMEMBERS, RULES, TIMINGS
from trimtab.vectors import methods as methods_folder
from trimtab.vectors.baselines import BASELINES
from trimtab.vectors.drawn import KINDS as RANDOM_KINDS
from trimtab.vectors.gates import KINDS as KINDS_OF_GATES
from trimtab.vectors.units import UNITS
from trimtab.wording import of_file

METHODS = [name for name in methods_folder.known() if name not in RANDOM_KINDS and not methods_folder.makes_edits(name)]
"""The config keeps random directions for the controls; methods that make edits have no rule to choose."""
OWN = [name for name in methods_folder.known() if methods_folder.makes_edits(name)]
STEERED = [name for name in TIMINGS if name not in ("none", "decode_<number>")] + ["decode_3"]
COLUMNS = {
    "method": METHODS,
    "rule": [name for name in RULES if name != AS_MADE],
    "unit": list(UNITS),
    "timing": STEERED,
    "outcome": list(OUTCOMES),
}


def accepted(**rollouts: str) -> bool:
    """Whether the config takes the default experiment with these settings of the rollouts."""
    settings = copy.deepcopy(DEFAULT)
    settings["rollouts"] |= rollouts
    settings["rollouts"]["controls"]["negative"] = rollouts["unit"] not in ("chance", "probability")
    if rollouts["rule"] == EDIT_CODE:
        # every vector must come with latents
        settings["rollouts"]["study"] |= {"method": "sae_probe"}
        settings["rollouts"]["controls"] |= {"methods": [], "random": 0}
        settings["statistics"]["confirmatory"] |= {"method": "sae_probe"}
    if rollouts["unit"] == "asc":
        # a bound for all tokens alone
        settings["rollouts"]["study"] |= {"timings": ["all"], "decode_dose": None}
    try:
        check(settings, Origins())
    except TrimtabError:
        return False
    return True


DEFAULT = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())
PAIRS = [pair for pair in itertools.product(RULES, UNITS) if accepted(rule=pair[0], unit=pair[1])]


def every() -> list[dict[str, str]]:
    """Few runs that have every choice between them, each with a rule and a unit that go together."""
    pairs = sorted(PAIRS, key=lambda pair: (pair[1] == "residual_share", pair[0] == "add"))
    length = max(map(len, [*COLUMNS.values(), pairs]))
    names = {kind: list(itertools.islice(itertools.cycle(COLUMNS[kind]), length)) for kind in COLUMNS}
    two = list(itertools.islice(itertools.cycle(pairs), length))
    return [
        {kind: names[kind][at] for kind in ("method", "timing", "outcome")} | {"rule": two[at][0], "unit": two[at][1]}
        for at in range(length)
    ]


def own(run: WholeRun) -> dict[str, set[str]]:
    """Sentences that the run's own choices have, by kind."""
    applied = run.applied
    pairs = {(condition.rule, condition.unit) for condition in applied}
    named = {condition.method for condition in applied}
    return {
        "method": {methods_folder.wording(name).sentence for name in named},
        "transformation": {of_file(path).sentence for name in named for path in methods_folder.files(name)[1:]},
        "control": {WITHOUT_VECTOR[name].sentence for name in WITHOUT_VECTOR if name in named},
        "baseline": {BASELINES[name].sentence for name in run.config.vectors.decoding},
        "rule": {RULES[rule].sentence for rule, unit in pairs if not UNITS[unit].is_rule},
        "unit": {UNITS[unit].sentence for rule, unit in pairs if UNITS[unit].is_rule or RULES[rule].counts == "length"},
        "coupling": {words.coupling(run.config.rollouts.coupling).sentence},
        "timing": {catalogue.timing(condition.timing).sentence for condition in applied},
        "gate": {GATES[gate.kind].sentence for gate in run.edit_gates.values()},
        "memory": {REMEMBERS[gate.remembers].sentence for gate in run.edit_gates.values()},
        "outcome": {OUTCOMES[name].sentence for name in run.plan.primary.values()},
    }


def holds(text: str, sentence: str) -> bool:
    """Whether a text has a sentence, with or without its source in brackets before the full stop."""
    return sentence in text or f"{sentence.removesuffix('.')} (" in text


def wrong(text: str, run: WholeRun, kinds: Iterable[str] = KINDS) -> list[str]:
    """Sentences that are missing, and those of choices that the run has not made."""
    found = []
    for kind in kinds:
        expected = own(run)[kind]
        others = {one.sentence for one in KINDS[kind][1].values()} - expected
        found += [f"missing: {sentence}" for sentence in expected if not holds(text, sentence)]
        found += [f"false: {sentence}" for sentence in others if holds(text, sentence)]
    return found


def told(run: WholeRun) -> str:
    """All sentences of the page that speak of choices."""
    written = abstract(run)
    texts = [written.design, written.headline, *written.results, *written.rest]
    return " ".join([*texts, *(text for _, text in methods(run) + terms(run))])


def test_every_choice_is_in_some_run():
    runs = every()
    for kind, names in COLUMNS.items():
        assert {run[kind] for run in runs} == set(names), kind


@pytest.mark.slow
@pytest.mark.parametrize("picked", every(), ids=lambda picked: "-".join(picked.values()))
def test_the_page_says_what_was_chosen_and_nothing_else(run, results, picked):
    made = fake_run.chosen(run, **picked)
    # episodes say nothing of choices, and are most of the page
    made = with_settings(made, "report", transcripts=0)
    page = html.unescape(render(made, results / "report/figures"))
    assert wrong(page, made) == []
    label = words.method(made.plan.method)
    assert f"<h2>{label} against every other method</h2>" in page


@pytest.mark.parametrize("method", OWN)
def test_edits_of_a_methods_own_are_told_as_made(run, method):
    made = fake_run.chosen(run, method=method, rule=AS_MADE, unit="residual_share")
    text = told(made)
    assert wrong(text, made, ["method", "rule", "unit"]) == []
    assert "edits are as their method made them" in text
    # but by what the method says of itself
    own = methods_folder.wording(method).sentence.removesuffix(".")
    assert "added" not in text.replace(own, "")


@pytest.mark.slow
@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("remembers", REMEMBERS)
def test_a_gate_is_told_with_its_kind_and_its_memory(run, kind, remembers):
    settings = EditGate(kind=kind, remembers=remembers)
    assert wrong(told(run), run, ["gate", "memory"]) == []
    first = next(iter(run.applied)).condition_id
    frame = run.conditions.assign(gate=[("ajar" if one == first else "") for one in run.conditions["condition_id"]])
    rollouts = changed(run.config.rollouts, gates={"ajar": settings})
    made = replace(run, conditions=frame, config=changed(run.config, rollouts=rollouts))
    assert wrong(told(made), made, ["gate", "memory"]) == []
    assert "Gate “ajar”: " in told(made)
    assert words.condition(made.design[first]).endswith(" · gate ajar")


def test_baselines_of_decoding_are_told_where_they_were_read(run):
    for names in ((), ("logit_mixing",), tuple(BASELINES)):
        made = with_settings(run, "vectors", decoding=names)
        assert wrong(told(made), made, ["baseline", "control"]) == []
        assert ("Decoding" in dict(methods(made))) == bool(names)


def test_gates_of_the_config_and_of_the_catalogue_are_the_same():
    assert NEEDS.keys() == GATES.keys() == KINDS_OF_GATES.keys()
    assert [*REMEMBERS] == [*gates.REMEMBERS]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_combination_that_the_config_takes_is_told_as_it_is(run, method):
    base = fake_run.chosen(run, method=method)
    for rule, unit in PAIRS:
        made = fake_run.chosen(base, rule=rule, unit=unit)
        text = told(made)
        assert wrong(text, made, ["method", "rule", "unit"]) == [], (rule, unit)
        adds = rule in ("add", "add_relative", "keep_norm") and unit != "probability"
        assert ("added" in text) == adds, (rule, unit)
        assert ("L2 length" in text) == (unit == "absolute" and RULES[rule].counts == "length"), (rule, unit)
        assert ("nats" in text) == (unit in ("kl", "asc") and RULES[rule].counts == "length"), (rule, unit)


def of_two_kinds(conditions: pd.DataFrame) -> pd.DataFrame:
    """The design with its last random directions drawn as the corpus varies."""
    return conditions.assign(method=conditions["method"].mask((conditions["draw"] >= 3).fillna(False), "corpus_random"))


def with_settings(run: WholeRun, section: str, **values: object) -> WholeRun:
    """The run with other values of some keys of a section of its config."""
    return replace(run, config=changed(run.config, **{section: changed(getattr(run.config, section), **values)}))


def test_terms_say_what_this_runs_agent_and_controls_do(run):
    said = dict(terms(run))
    assert "it reads a task, thinks, calls" in said["Agent"]
    assert "it reads a task, calls" in dict(terms(with_settings(run, "rollouts", protocol="few_shot_at_once")))["Agent"]
    # controls have a dose of their own, which needn't be the declared one
    assert said["Controls"].startswith("Random directions at dose 0.2,")
    weaker = run.conditions.assign(dose=run.conditions["dose"].mask(run.conditions["method"] == "random", 0.1))
    assert "Random directions at dose 0.1," in dict(terms(replace(run, conditions=weaker)))["Controls"]
    for one in words.VERDICTS.values():
        assert f"“{one.label}”: {one.meaning}" in said["Verdict"]


def test_methods_say_how_dictionaries_and_probes_were_fitted(run):
    assert "one template left out at a time" in dict(methods(run))["Probes"]
    assert "with 5 folds that keep templates together" in dict(methods(with_settings(run, "probes", folds=5)))["Probes"]
    trained = "topk, 2,304 latents, 32 active a token, 300,000 training tokens."
    assert trained in dict(methods(run))["Dictionaries"]
    other = with_settings(run, "saes", architecture="jumprelu", overrides={5: SaeOverride(k=64)})
    text = dict(methods(other))["Dictionaries"]
    assert "32 active a token on average" in text
    assert "settings of layers with overrides (5) differ" in text


@pytest.mark.parametrize(("level", "few"), [(0.95, True), (0.8, False)])
def test_few_random_directions_are_those_whose_rank_cannot_reach_the_level(run, level, few):
    """Five directions: p is 1/6 at least."""
    five = run.conditions[run.conditions["draw"].isna() | (run.conditions["draw"] == 0)]
    text = " ".join(limitations(replace(run, conditions=five, plan=replace(run.plan, level=level))))
    assert ("its p is 0.17 at least, and a verdict by direction needs 0.05 or less" in text) == few


@pytest.mark.parametrize(
    ("dose", "text"), [(0.1, "0.10"), (0.025, "0.025"), (-0.05, "\u22120.05"), (2, "2.00"), (0.1 + 0.2, "0.30")]
)
def test_a_dose_keeps_the_digits_that_it_was_given_with(dose, text):
    assert words.given(dose) == text


def test_random_directions_of_two_kinds_are_told_apart(run):
    """Of five a trait, two as the corpus varies: 15 and 10, so p is 1/11 at least."""
    two = replace(run, conditions=of_two_kinds(run.conditions))
    both = "(15 of the sphere and 10 as the corpus varies)"
    assert f"Random directions {both} at dose 0.2," in dict(terms(two))["Controls"]
    text = " ".join(limitations(two))
    assert f"Random directions: 25 {both} were run at the declared dose. A rank among so few of a kind shows" in text
    assert "its p is 0.09 at least" in text
    coarse = " ".join(limitations(replace(two, plan=replace(run.plan, level=0.8))))
    assert "ranks a vector among those of each kind and goes by the larger p" in coarse


def test_known_falsehoods_are_gone(run):
    """The sentences that runs of other choices had (shared/review/lines.md, defect 2)."""
    text = told(fake_run.chosen(run, method="lda", rule="project_out", unit="kl"))
    assert "decoded through the dictionary" not in text
    assert "inverse of the shrunk scatter" in text
    assert "was added to its residual stream" not in text
    assert "What each steered row of the residual stream has along the vector is taken away." in text
    assert "nats" not in text


def test_axes_say_what_a_dose_counts(run):
    assert dose_label(run) == "dose (share of the residual norm)"
    assert dose_label(fake_run.chosen(run, unit="kl")) == "dose (nats)"
    assert dose_label(fake_run.chosen(run, unit="kl", rule="rotate")) == "dose (degrees)"
    assert dose_label(fake_run.chosen(run, unit="probability")) == "dose (the probe's probability)"


def test_a_condition_of_the_grid_names_its_rule():
    made = Condition("a", "grid", "lda", "risk_calibration", None, 0.5, "kl", "decode_4", 3, "clamp")
    assert words.condition(made) == "LDA · Risk · dose 0.50, first 4 own tokens · layer 3, clamped"


@pytest.mark.parametrize(("level", "text"), [(0.95, "95 % of shuffles"), (0.8, "80 % of shuffles")])
def test_bounds_of_shuffles_have_the_level_of_the_statistics(run, level, text):
    made = replace(run, plan=replace(run.plan, level=level))
    assert text in tables_structure.spectrum(made).caption
    assert "90 %" not in tables_structure.spectrum(made).caption


def test_the_score_told_of_a_probe_chose_neither_penalty_nor_layer(run):
    """Nested with the layer given has .3 + .5 at layer 17 in the made-up run; with the layer chosen, .1 less."""
    text = dict(methods(run))["Probes"]
    assert "Autonomy 17 (R² 0.70)" in text
    assert "Deference 17 (R² 0.50)" in text
    studied = with_settings(run, "probes", protocol="study")
    text = dict(methods(studied))["Probes"]
    assert "study's rule" in text
    assert "Autonomy 17 (R² 0.80)" in text


def test_aimless_vectors_are_left_out_by_their_record(run):
    from trimtab.report import plots_parts

    table = run.tables["geometry"]
    aimless = table["a"].str.startswith("raw_probe/"), table["b"].str.startswith("raw_probe/")
    changed = table.assign(a_towards=table["a_towards"].mask(aimless[0]), b_towards=table["b_towards"].mask(aimless[1]))
    figure = plots_parts.geometry(replace(run, tables=run.tables | {"geometry": changed}))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "Risk, mean difference" in labels
    assert "Risk, SAE-decoded probe" in labels
    assert not [label for label in labels if "raw" in label]


@pytest.mark.parametrize("kind", KINDS)
def test_labels_and_sentences_are_whole_and_of_one_choice_each(kind):
    entries = KINDS[kind][1]
    assert all(one.label and one.sentence[0].isupper() and one.sentence.endswith(".") for one in entries.values())
    for one, other in itertools.permutations(entries.values(), 2):
        assert one.label != other.label
        assert not holds(other.sentence, one.sentence)


def test_every_rule_and_timing_has_words():
    assert list(TIMINGS) == list(places.TIMINGS)
    assert all(one.dose.startswith("A dose is") for one in RULES.values())


def test_every_outcome_has_words():
    columns = outcomes(one_call("finish", dict.fromkeys(CALLS, 0.1)), [scenario("finish")]).columns
    assert set(OUTCOMES) == set(columns) - {*KEYS, "domain", OVERFLOW}


@pytest.mark.parametrize("name", ["LABEL", "SENTENCE", "SOURCE"])
def test_a_method_that_says_nothing_of_itself_is_named(name, tmp_path, monkeypatch):
    text = 'LABEL = "Mine"\nSENTENCE = (\n    "The vector is "\n    "mine."\n)\nSOURCE = ""\n'
    path = tmp_path / "mine.py"
    path.write_text(text)
    assert of_file(path).sentence == "The vector is mine."
    path.write_text(text.replace(name, "OTHER"))
    monkeypatch.setattr(methods_folder, "FOLDER", tmp_path)
    settings = copy.deepcopy(DEFAULT)
    settings["vectors"]["methods"] = ["mine"]
    with pytest.raises(TrimtabError) as raised:
        check(settings, Origins())
    assert [line for line in str(raised.value).splitlines() if f"{path}: no constant {name}; expected a text" in line]
    # all that is missing at once
    path.write_text("")
    with pytest.raises(TrimtabError, match=r"no constant LABEL; .*no constant SENTENCE; .*no constant SOURCE; "):
        of_file(path)


def test_the_page_of_choices_is_up_to_date():
    assert choices.PAGE.read_text() == choices.page(), "write it anew: python tests/report/choices.py"


@pytest.mark.parametrize(("kind", "name"), [("mlp_out", "the MLP's output"), ("attention_out", "attention's output")])
def test_at_a_modules_output_sentences_speak_of_that(run, kind, name):
    """No rule, unit or method then says that the residual stream is read or moved."""
    manifest = replace(run.manifest, site=ReadAt(kind, {}))
    assert words.read_at(run.manifest) == "The residual stream is read and steered after a decoder layer."
    assert words.read_at(manifest).lower().startswith(f"{name} is read and steered".lower())
    of_methods = [words.of_method(each) for each in methods_folder.known()]
    for said in (*RULES.values(), *UNITS.values(), *of_methods):
        assert words.at_site(said.sentence, run.manifest) == said.sentence
        told = words.at_site(said.sentence, manifest)
        assert "residual stream" not in told
        assert (name in told) == ("the residual stream" in said.sentence)


def test_the_page_of_an_experiment_at_a_modules_output_says_so(run):
    there = replace(run, manifest=replace(run.manifest, site=ReadAt("mlp_out", {})))
    said = {**dict(methods(there)), "abstract": abstract(there).design}
    assert "The MLP's output is read and steered, as a decoder layer adds it" in said["Model"]
    assert "each row of the MLP's output that is steered" in said["Steering"]
    assert "each row of the MLP's output that is steered" in said["abstract"]
