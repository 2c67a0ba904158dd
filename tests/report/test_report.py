"""What the page says and holds: sentences follow numbers, model text stays text, bytes repeat, nothing is loaded."""

import base64
import io
import re
import shutil
from dataclasses import fields, replace
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
import seaborn as sns
from fake_run import MARKUP, changed
from matplotlib.backends.backend_agg import FigureCanvasAgg

from trimtab.artifacts import files
from trimtab.artifacts.trail import trail
from trimtab.errors import TrimtabError
from trimtab.evaluations import conclusions, evaluators
from trimtab.model.checks import SERVED, ZERO_DOSE
from trimtab.report import (
    observations,
    tables_effects,
    tables_evaluations,
    tables_parts,
    tables_response,
    tables_vectors,
    words,
)
from trimtab.report.abstract import abstract
from trimtab.report.figures import PLOTS, STYLE, plots, write_figure
from trimtab.report.limitations import limitations
from trimtab.report.methods import methods
from trimtab.report.page import render
from trimtab.report.run import DRIFT, ENGINE, EVALUATIONS, read_whole_run
from trimtab.report.transcripts import transcripts
from trimtab.statistics.contrasts import BEYOND_SUM
from trimtab.statistics.summary import Breakage, Rank
from trimtab.vectors import drift
from trimtab.vectors.curves import Looked, Margin
from trimtab.vectors.design import TOGETHER
from trimtab.wording import listed


@pytest.fixture(scope="module")
def page(results: Path) -> str:
    return (results / "report/report.html").read_text()


def test_abstract_follows_the_declared_tests(run):
    found = run.summary.traits
    written = abstract(run)
    moved = [words.trait(name).lower() for name in run.traits if found[name].verdict == "moved"]
    assert moved
    assert f"raised their trait's outcome: {listed(moved)}" in written.headline
    for result, name in zip(written.results, run.traits, strict=True):
        assert words.interval(found[name].lower, found[name].upper) in result
        assert ("Moved, and by its direction." in result) == (found[name].verdict == "moved")
        assert f"more than turned round by {words.number(found[name].turned.estimate)}" in result


def test_figures_have_no_place_for_traits_that_were_not_steered(run):
    """A config may declare outcomes of more traits than an experiment has."""
    few = replace(run, conditions=run.conditions[~run.conditions["trait"].isin(run.traits[2:])])
    assert few.traits == run.traits[:2]
    assert [*few.primary] == [*run.primary]
    drawn = [axis for axis in PLOTS["dose_response"].draw(few).axes if axis.axison and axis.get_title()]
    assert [axis.get_title() for axis in drawn] == [words.trait(name) for name in few.traits]


def test_a_null_is_said_plainly(null_run):
    written = abstract(null_run)
    assert "no vector was shown to move its trait's outcome" in written.headline
    assert all("Not one scenario changed." in result for result in written.results)
    text = " ".join([written.headline, *written.results, *written.rest])
    assert "Moved" not in text
    assert "raised" not in text


def test_the_abstract_says_of_each_trait_whether_its_vector_does_more_than_random_ones_and_whether_it_is_its_own(run):
    def said(verdicts):
        """What is said where the declared vectors of traits have these verdicts, in order."""
        table = run.tables["comparison"].copy()
        for trait, verdict in zip(run.traits, verdicts, strict=True):
            own = (table["method"] == run.plan.method) & (table["trait"] == trait) & (table["measure"] == trait)
            table.loc[own, "verdict"] = verdict
        return " ".join(abstract(replace(run, tables=run.tables | {"comparison": table})).rest)

    names = [words.trait(name).lower() for name in run.traits]
    text = said(["own", "more", "none", "none", "opposite"])
    assert f"than its own null, so by its trait: {names[0]}; " in text
    assert f"not shown to be by its trait: {names[1]}; " in text
    assert f"as far as is shown, than random directions: {names[2]} and {names[3]}" in text
    assert f"the opposite of its trait, by more than random directions do: {names[4]}; " in text
    assert "None of 2 other methods is shown to do more than both nulls for any trait." in text
    # which of them nobody could have shown it
    assert "Of these methods, 2 had no null of their own, without which that can't be shown." in text
    assert "untested" not in text


def with_traits(run, **changes):
    """The run with numbers of every trait replaced."""
    traits = {name: replace(found, **changes) for name, found in run.summary.traits.items()}
    return replace(run, summary=replace(run.summary, traits=traits))


def test_an_effect_that_random_directions_share_is_not_called_the_vectors_own(run):
    random = Rank(draws=5, as_large=3, p=0.67, lowest=-1.0, highest=1.0)
    text = " ".join(abstract(with_traits(run, verdict="moved", random=random)).rest)
    assert "not shown to be the vector's own" in text
    assert "Larger than under every one" not in text


def test_a_single_vector_is_spoken_of_as_one(run):
    one = {name: replace(found, verdict="undecided") for name, found in run.summary.traits.items()}
    first = next(iter(one))
    one[first] = replace(one[first], verdict="pushed")
    written = abstract(replace(run, summary=replace(run.summary, traits=one)))
    assert (
        "1 of 5 vectors changed its trait's outcome, and is not shown to do so by its direction: " in written.headline
    )


@pytest.mark.parametrize(
    ("passed", "said"),
    [
        (True, "changed 2 scenarios. The preflight found that they change no bit of a row in its place, so this is"),
        (False, "changed 2 scenarios: the steering code itself disturbs the model."),
        (None, "changed 2 scenarios: the steering code itself disturbs the model."),
    ],
)
def test_what_hooks_of_dose_0_change_is_rounding_where_they_change_no_bit_in_place(run, passed, said):
    found = [] if passed is None else [pd.DataFrame([{"name": ZERO_DOSE, "passed": passed}])]
    checks = pd.concat([run.checks, *found])
    summary = replace(run.summary, zero_dose=replace(run.summary.zero_dose, changed_scenarios=2))
    assert f"Hooks with dose 0 {said}" in " ".join(abstract(replace(run, checks=checks, summary=summary)).rest)


def test_an_effect_that_no_direction_was_shown_to_have_is_not_called_moved(run):
    written = abstract(with_traits(run, verdict="pushed", turned=None))
    assert "5 of 5 vectors changed their trait's outcome, and are not shown to do so by their" in written.headline
    assert "raised" not in written.headline
    assert all("the vector turned round was not run" in result for result in written.results)
    assert all("Changed, and not shown to be by its direction." in result for result in written.results)


def test_a_share_within_that_of_independent_effects_is_an_axis_of_the_outcomes(run):
    table = run.tables["structure"]
    assert "seen through outcomes that correlate as these do" in " ".join(abstract(run).rest)
    own = table.loc[(table["matrix"] == run.plan.method) & (table["quantity"] == "share"), "value"].item()
    null = (table["matrix"] == "independent") & (table["quantity"] == "share")
    for upper, said in ((own + 0.01, True), (own - 0.01, False)):
        other = replace(run, tables=run.tables | {"structure": table.assign(upper=table["upper"].mask(null, upper))})
        assert ("an axis of the outcomes and none of the vectors" in " ".join(abstract(other).rest)) == said


def test_random_directions_of_two_kinds_are_said_apart(run):
    """Fifteen of the sphere and ten as the corpus varies, of which a rank has 1/11 at least."""
    design = run.conditions.assign(
        method=run.conditions["method"].mask((run.conditions["draw"] >= 3).fillna(False), "corpus_random")
    )
    table = run.tables["structure"]
    share = table[(table["matrix"] == "random") & (table["quantity"] == "share")].assign(
        value=0.4, lower=0.3, upper=0.5
    )
    wider = share.assign(matrix="corpus_random", value=0.6, lower=0.55, upper=2.0)
    rest = table[(table["matrix"] != "random") | (table["quantity"] != "share")]
    two = replace(run, conditions=design, tables=run.tables | {"structure": pd.concat([rest, share, wider])})
    rank = Rank(draws=25, as_large=0, p=1 / 11, lowest=0.0, highest=0.1)
    text = " ".join(abstract(with_traits(two, verdict="moved", random=rank)).rest)
    assert "every one of 25 random directions (15 of the sphere and 10 as the corpus varies) at the same dose" in text
    assert "(the smallest p this comparison can give is 0.09)" in text
    assert (
        "As many random directions at the same dose give 40 % (of the sphere, 30 % to 50 %) and 60 % (as the corpus "
        "varies, 55 % to 200 %), so the share alone does not show an axis"
    ) in text


def test_too_few_random_directions_are_said(run):
    table = run.tables["structure"]
    few = table.assign(value=table["value"].mask(table["matrix"] == "random"))
    text = " ".join(abstract(replace(run, tables=run.tables | {"structure": few})).rest)
    assert "Too few random directions were run" in text


def test_the_declared_method_is_not_compared_with_itself(run):
    moved = with_traits(run, verdict="moved")
    assert "against the mean difference" in " ".join(abstract(moved).rest)
    turned = replace(moved, plan=replace(run.plan, method="mean_difference"))
    assert "against the mean difference" not in " ".join(abstract(turned).rest)


def test_breaking_and_reversal_are_said(run):
    broken = Breakage(estimate=0.3, lower=0.1, upper=0.5, p_corrected=0.01)
    written = abstract(with_traits(run, verdict="reversed", breakage=broken))
    assert "vectors lowered their trait's outcome" in written.headline
    assert "part of these effects may come from breaking the text" in " ".join(written.rest)


def test_limitations_name_failed_gates_power_and_few_draws(run):
    text = " ".join(limitations(run))
    assert "layers 25 and 26 fail" in text
    assert "no declared vector uses them" in text
    assert "Power. With 30 scenarios" in text
    assert "Random directions: 25 were run at the declared dose" in text
    few = replace(run, conditions=run.conditions[run.conditions["draw"].isna() | (run.conditions["draw"] == 0)])
    assert "Random directions: 5 were run at the declared dose. A rank among so few" in " ".join(limitations(few))


def test_limitations_name_dictionaries_that_cost_more_than_a_dose(run):
    # 0.02 nats a layer: of 4, 5, 10, 11, 16, 17, 18, 25 and 26 all from 11 on cost more than 0.2
    text = " ".join(limitations(run))
    assert "those of layers 11, 16, 17, 18, 25 and 26 reconstruct" in text
    assert "by 0.22 to 0.52 nats, more than the 0.2 at which methods are compared" in text


def test_limitations_name_the_dose_from_which_numbers_overflow(run):
    assert "Overflow" not in " ".join(limitations(run))
    hot = run.outcomes["condition_id"].isin(["sae_probe.autonomy.all.+0.2", "sae_probe.autonomy.all.+0.3"])
    # in 3 of 30 scenarios at the lower dose, in all at the higher one
    some = hot & (
        (run.outcomes["condition_id"] != "sae_probe.autonomy.all.+0.2") | (run.outcomes["scenario_id"] < "s03")
    )
    text = " ".join(limitations(replace(run, outcomes=run.outcomes.assign(numerical=some.astype(float)))))
    assert "under 2 conditions logits are NaN or infinite" in text
    named = "SAE-decoded probe · Autonomy · dose 0.20, all tokens, after layer 17 (10 % of its rollouts)"
    assert f"from this dose on: {named}." in text
    assert "limit of bfloat16" in text


BOTH = "sae_probe.autonomy.all.+0.2_with_raw_probe.deference.-0.4"
IN_WORDS = (
    "SAE-decoded probe · Autonomy · dose 0.20, all tokens · layer 17, added · with raw-residual probe of deference, "
    f"dose {words.MINUS}0.40"
)


@pytest.fixture
def with_both(run):
    """And a condition that applies two vectors."""
    own = run.conditions[run.conditions["condition_id"] == "sae_probe.autonomy.all.+0.2"]
    both = own.assign(condition_id=BOTH, arm="grid", also="raw_probe.deference.-0.4")
    return replace(run, conditions=pd.concat([run.conditions, both]))


def test_limitations_name_conditions_whose_parts_are_not_run(run, with_both):
    assert "Interactions" not in " ".join(limitations(run))
    told = f"parts of one condition are not run alone, so that no interaction is known: {IN_WORDS}."
    assert told in " ".join(limitations(with_both))


def test_several_at_once_are_told_with_what_they_do_beyond_the_sum(run, with_both):
    table = run.tables["contrasts"]
    row = table[table["estimand"] == "mean_difference"].iloc[:1]
    about = {"kind": "interaction", "condition_id": BOTH, "baseline_id": "sum of a and b", "p_corrected": 0.5}
    tables = {**run.tables, "contrasts": pd.concat([table, row.assign(**about)])}
    compared = replace(with_both, tables=tables)
    assert "Interactions" not in " ".join(limitations(compared))
    shown = tables_response.contrasts(compared)
    assert BEYOND_SUM.sentence in shown.caption
    assert BEYOND_SUM.sentence not in tables_response.contrasts(run).caption
    texts = [cell.text for cell in shown.rows[-1]]
    assert texts[1:3] == [IN_WORDS, "all at once minus the sum of each alone"]
    assert observations.interactions(run) == ""
    assert observations.interactions(compared).endswith("0 of one difference of the outcome are shown.")
    assert TOGETHER.sentence in " ".join(text for _, text in methods(with_both))
    assert TOGETHER.sentence not in " ".join(text for _, text in methods(run))


def test_limitations_name_gates_that_made_no_difference_between_tokens(run, with_both):
    columns = ["condition_id", "number", "gate", "n_rollouts", "tokens", "open_share", "rollouts_open"]
    assert "Gates." not in " ".join(limitations(run))
    rows = [(BOTH, 0, "lit", 30, 90, 0.0, 0.0), (BOTH, 1, "", 30, 90, 1.0, 1.0), (BOTH, 2, "", 30, 90, 0.5, 1.0)]
    table = pd.DataFrame(rows, columns=columns)
    text = " ".join(limitations(replace(with_both, tables={**run.tables, "gates": table})))
    assert f"Gates. Never open, so that nothing was done behind them: {IN_WORDS}." in text
    assert f"Open at every token, as if there were none: {IN_WORDS}, gate 2 of those that methods made." in text
    assert "gate 3" not in text


def test_limitations_say_how_many_single_latents_another_seed_has(run):
    text = " ".join(limitations(replace(run, methods=("sae_probe", "best_latent"))))
    assert "a dictionary of another seed has 2.5 % of those at layer 4 too" in text
    assert "What rests on single ones (examples of latents and Best single latent) belongs to this dictionary." in text
    assert "no dictionary was trained with a second seed" in " ".join(limitations(replace(run, again={})))


def test_what_dictionaries_cost_stands_beside_their_quality(run):
    """A cross-entropy of 3.4 where the model's own is 3.0, and 0.02 nats a layer."""
    shown = tables_parts.saes(run)
    (row,) = (row for row in shown.rows if [cell.text for cell in row[:2]] == ["16", "transcripts"])
    by_name = dict(zip(shown.headings, (cell.text for cell in row), strict=True))
    assert (by_name["Loss added"], by_name["KL"]) == ("13 %", "0.320")
    assert (by_name["Rows"], by_name["Dead"]) == ("8,000", "0.100")
    assert (by_name["Training rows"], by_name["Dead on these"]) == ("100,000", "0.020")


def test_sections_open_with_what_their_tables_hold(run, null_run):
    tools = run.tables["tools"]
    own = tools[(tools["quantity"] == "distance") & tools["condition_id"].isin(run.confirmatory.values())]
    changed = int((own["p_corrected"] <= 0.05).sum())
    assert changed > 0
    assert f"under {changed} of 5 declared vectors" in observations.mix(run)
    assert "under 0 of 5 declared vectors." in observations.mix(null_run)
    assert "the linear mixed model agrees with" in observations.checks(run)
    assert "0 of 25 differences of the outcome are shown" in observations.timings(null_run)
    assert observations.forecast(null_run) == ""


def test_two_seeds_are_told_with_the_layers_that_they_are_of(run):
    made = run.tables["stability"]
    told = tables_vectors.stability(run).caption
    said = "where the most probes sit; of the vectors of autonomy, made elsewhere, it says nothing."
    assert told.endswith(f"Measured at one layer (17), {said}")
    everywhere = replace(run, tables={**run.tables, "stability": made.assign(probe_layer=17)})
    assert tables_vectors.stability(everywhere).caption.endswith("Measured at one layer (17), where all probes sit.")
    nowhere = replace(run, tables={**run.tables, "stability": made.iloc[:0]})
    assert "Measured" not in tables_vectors.stability(nowhere).caption


def test_what_could_not_be_made_is_told_and_says_why(page, run, results):
    (row,) = tables_vectors.not_made(run).rows
    told = [cell.text for cell in row]
    assert told == ["Persistence", words.method("lat"), "LAT of persistence, layer 17: all rows are the same"]
    assert 'id="table-not_made"' in page
    assert 'id="table-best_of"' not in page
    whole = replace(run, tables={**run.tables, "not_made": run.tables["not_made"].iloc[:0]})
    assert 'id="table-not_made"' not in render(whole, results / "report/figures")


def test_each_evaluator_has_a_section_with_its_own_words(run, page, results, tmp_path):
    assert 'id="evaluations"' not in page
    asked = run.config.evaluations.model_copy(update={"evaluators": ("off_target",)})
    own = run.confirmatory["autonomy"]
    rows = [(own, 0.0, 0.25), ("zero", 0.0, 0.0), ("random.0.autonomy.all.+0.2", 0.0, 0.1)]
    names = ["condition_id", "baseline_mean", "mean", "estimate", "lower", "upper", "p_corrected"]
    frame = pd.DataFrame([(*row, row[2], 0.2, 0.3, 0.01) for row in rows], columns=names)
    frame = frame.assign(evaluator="off_target", outcome="off_target_kl")
    ends = pd.DataFrame([("off_target", "kept_share", own, 0.5, 0.4, 0.6)], columns=conclusions.COLUMNS)
    config = run.config.model_copy(update={"evaluations": asked})
    root = Path(shutil.copytree(results, tmp_path / results.name))
    whole = replace(run, root=root, config=config, evaluations={"means": frame, "conclusions": ends})
    for name, table in whole.evaluations.items():
        files.write_csv(root / EVALUATIONS[name], table)
    (section,) = tables_evaluations.sections(whole)
    measured, concluded = section.tables
    assert section.sentence == words.cited(evaluators.wording("off_target"))
    assert [[cell.text for cell in row] for row in measured.rows] == [
        [words.condition(run.design[own]), "KL off target", "0.000", "0.250", "0.250 (0.200 to 0.300)", "0.010"],
        [words.condition(run.design["zero"]), "KL off target", "0.000", "0.000", "0.000 (0.200 to 0.300)", "0.010"],
    ]
    assert [cell.text for cell in concluded.rows[0]] == [
        "kept share", words.condition(run.design[own]), "0.500 (0.400 to 0.600)"
    ]  # fmt: skip
    shown = render(whole, results / "report/figures")
    assert 'id="evaluations"' in shown
    assert 'id="table-evaluation_off_target"' in shown


def test_what_probes_choose_is_told_by_the_declared_outcome(run):
    names = ["trait", "outcome", "n", "n_scenarios", "baseline_mean", "estimate", "lower", "upper"]
    own = run.plan.primary["autonomy"]
    rows = [("autonomy", "score", 4), ("autonomy", own, 1), ("autonomy", own, 4), ("autonomy", "success", 4)]
    frame = pd.DataFrame([(*row, 30, 1.5, 0.25, -0.5, 1.0) for row in rows], columns=names)
    (shown,) = tables_vectors.best_of(frame, run.plan).rows
    assert [cell.text for cell in shown] == ["Autonomy", words.outcome(own), "4", "1.50", "0.25 (\u22120.50 to 1.00)"]


def test_drift_along_the_assistant_axis_is_told_where_it_was_read(run, page):
    assert 'id="table-drift"' not in page
    rows = [(21, 0, 10, 30, 2.5, 4.0, 0.25, 0.0, 0.0, 0.0), (21, 1, 9, 27, 2.5, 3.5, 0.3, -0.5, -0.75, -0.25)]
    whole = replace(run, tables={**run.tables, "drift": pd.DataFrame(rows, columns=drift.COLUMNS)})
    _, second = tables_vectors.drift(whole.tables["drift"]).rows
    told = [cell.text for cell in second]
    assert told == ["21", "2", "9", "27", "3.50", "2.50", "30 %", "\u22120.50 (\u22120.75 to \u22120.25)"]
    (axis,) = plots(whole)["drift"].draw(whole).axes
    assert axis.lines[-1].get_ydata().tolist() == [0.0, -0.5]
    assert axis.lines[-1].get_xdata().tolist() == [1, 2]
    assert "drift" not in plots(run)
    # an axis that could not be made has a table without a row
    nothing = replace(run, tables={**run.tables, "drift": pd.DataFrame(columns=drift.COLUMNS)})
    assert plots(nothing)["drift"].draw(nothing).axes
    assert run.root / DRIFT in whole.inputs()


def test_trainings_and_what_they_do_to_words_never_met_are_told_where_there_are_some(run, page):
    assert 'id="table-margins"' not in page
    assert "trained" not in plots(run)
    looks = [("bipo", "autonomy", 21, 0, 0, 0, None, 0.7, 0.0, 0), ("bipo", "autonomy", 21, 0, 4, 32, 0.5, 0.6, 1.0, 9)]
    looks.append(("bipo", "autonomy", 21, 0, 8, 64, 0.3, 0.65, 2.0, 9))
    names = ["method", "trait", "layer"]
    splits = [("fit", 4.0), ("select", 2.5), ("test", 0.5)]
    more = {
        "trained": pd.DataFrame(looks, columns=[*names, *(each.name for each in fields(Looked))]),
        "margins": pd.DataFrame(
            [("bipo", "autonomy", 21, split, 8, -1.0, gain - 1) for split, gain in splits],
            columns=[*names, *(each.name for each in fields(Margin))],
        ),
    }
    whole = replace(run, tables={**run.tables, **more})
    (row,) = tables_vectors.margins(more["margins"]).rows
    assert [cell.text for cell in row] == ["Autonomy", "BiPO", "4.00", "2.50", "0.50"]
    axis = next(axis for axis in plots(whole)["trained"].draw(whole).axes if axis.get_title() == "Autonomy")
    kept, own, best = axis.lines[1:]
    assert kept.get_ydata() == pytest.approx([0.0, -0.1, -0.05])
    assert own.get_ydata() == pytest.approx([-0.2, -0.4])
    assert (best.get_xdata()[0], best.get_ydata()[0]) == (32, pytest.approx(-0.1))
    assert {run.root / f"vectors/{name}.csv" for name in ("training", "margins")} <= {*whole.inputs()}


def test_outcomes_that_cannot_come_apart_are_a_limitation(run):
    text = " ".join(limitations(run))
    assert "Coupled outcomes" in text
    assert "proactive calls and tool calls" in text


def test_the_page_leads_from_statistics_to_their_sources(page, run):
    links = {link.file: link.state for link in trail(run.root, "statistics/summary.json")}
    assert set(links.values()) == {"same"}
    assert {"rollouts/outcomes.parquet", "probes/scores.csv", "rollouts/turns/000.parquet"} <= set(links)
    section = page[page.index('id="table-trail"') :]
    assert all(name in section for name in links)


def test_the_studys_numbers_are_the_published_ones_and_marked(run):
    table = tables_effects.study(run)
    first = [cell.text for cell in table.rows[0]]
    assert first[:2] == ["Autonomy", "Autonomy"]
    assert first[-2:] == ["0.938", "2.1e-05"]
    assert "another model's" in table.caption
    unknown = [row for row in table.rows if row[0].text == "Deference"]
    assert all(row[-2].text == words.DASH for row in unknown)


def test_a_tables_csv_is_the_full_precision(run):
    table = tables_effects.declared(run)
    frame = pd.read_csv(io.BytesIO(base64.b64decode(table.csv)))
    assert frame["estimate"][0] == pytest.approx(run.summary.traits["autonomy"].estimate)


def test_text_of_the_model_is_never_markup(page):
    assert MARKUP not in page
    assert "<img" not in page
    assert page.count("<script") == 2
    assert page.count("</script>") == 2


def test_a_hostile_title_and_trait_are_escaped(run, results):
    hostile = replace(run, config=changed(run.config, report=changed(run.config.report, title=MARKUP)))
    assert MARKUP not in render(hostile, results / "report/figures")


def test_nothing_is_loaded(page):
    # names of XML vocabularies are no requests
    bare = re.sub(r"xmlns(:\w+)?=\"[^\"]*\"", "", page)
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']?\s*(?:https?:)?//", bare)
    assert not re.findall(r"@import|url\((?!#)", bare)
    assert "default-src 'none'" in page


def test_every_id_is_unique_and_every_link_has_a_target(page):
    ids = re.findall(r"\bid=\"([^\"]+)\"", page)
    assert len(ids) == len(set(ids))
    links = re.findall(r"(?:href=\"|url\()#([^\")]+)", page)
    assert set(links) <= set(ids)


def test_transcripts_are_chosen_by_rule(run):
    shown = transcripts(run)
    assert [s["domain"] for s in shown["scenarios"]][:4] == ["coding", "communication", "data", "research"]
    assert shown["first"] == ["unsteered", "sae_probe.autonomy.all.+0.2"]
    assert set(shown["episodes"]["s00"]) == set(run.conditions["condition_id"])


def test_figures_are_the_same_bytes_each_time(run, results, tmp_path):
    # points, shifted lines and an image
    for name in ("forest", "breakage", "probes"):
        write_figure(run, name, tmp_path)
        for suffix in (".svg", ".pdf"):
            again = (tmp_path / f"{name}{suffix}").read_bytes()
            assert again == (results / f"report/figures/{name}{suffix}").read_bytes()


@pytest.mark.parametrize("name", PLOTS)
def test_titles_and_labels_of_a_figure_lie_apart_and_within_it(run, name):
    # the longest name of a method leaves the panels beside it the least room
    table = run.tables["comparison"].replace({"method": {"mean_difference": "shuffled_specific_behaviour"}})
    with mpl.rc_context({**sns.axes_style("ticks"), **STYLE}):
        figure = PLOTS[name].draw(replace(run, tables=run.tables | {"comparison": table}))
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        texts = [text for axis in figure.axes for text in (axis.title, axis.xaxis.label, axis.yaxis.label)]
        boxes = {text: text.get_window_extent(canvas.get_renderer()) for text in texts if text.get_text()}
    assert not [(str(a), str(b)) for (a, x), (b, y) in combinations(boxes.items(), 2) if x.overlaps(y)]
    assert not [str(text) for text, box in boxes.items() for point in box.corners() if not figure.bbox.contains(*point)]


def test_every_figure_has_a_caption_for_snakemakes_report():
    folder = Path(__file__).parents[2] / "workflow/report"
    for name, plot in PLOTS.items():
        text = (folder / f"{name}.rst").read_text()
        assert plot.title in text
        assert plot.caption in text


def test_a_missing_artifact_is_named(tmp_path, run):
    with pytest.raises(TrimtabError, match=r"manifest\.json: not there"):
        read_whole_run(tmp_path, run.config)


@pytest.mark.parametrize("name", ["forest", "dose_response", "cross_trait", "timing", "breakage", "tools"])
def test_figures_of_a_run_without_effects_are_drawn(null_run, name):
    assert PLOTS[name].draw(null_run).axes


@pytest.mark.parametrize(
    ("value", "text"),
    [(-0.004, "0.00"), (-1.5, "\u22121.50"), (float("nan"), "\u2013"), (float("inf"), "∞"), (1234.5, "1,234.50")],
)
def test_numbers(value, text):
    assert words.number(value) == text


def test_p_values():
    assert [words.p_value(p) for p in (0.0004, 0.0123, 0.5)] == ["p < 0.001", "p = 0.012", "p = 0.50"]


def test_checks_of_vllm_stand_beside_those_of_the_model(run, results, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(results, folder)
    of_vllm = {"name": SERVED, "passed": True, "figure": 1e-6, "tolerance": 1e-4, "detail": "relative difference"}
    files.write_json(folder / ENGINE, {"checks": [of_vllm]})
    rollouts = run.config.rollouts.model_copy(update={"engine": "vllm"})
    whole = read_whole_run(folder, run.config.model_copy(update={"rollouts": rollouts}))
    assert [*whole.checks["name"]] == [*run.checks["name"], SERVED]
    assert folder / ENGINE in whole.inputs()
    assert tables_parts.preflight(whole).rows[-1][0].text == SERVED
