"""The report's abstract: written from `statistics/summary.json`, never by hand.

A sentence says what its test said and no more. A trait that was not shown to move is named as plainly as one that was;
a difference is always given with its interval and with the number of scenarios that changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from trimtab.agent.names import PROMPT, RANDOM
from trimtab.artifacts.files import records
from trimtab.model.checks import ZERO_DOSE
from trimtab.report import words
from trimtab.report.against_nulls import against_nulls
from trimtab.report.run import Run, WholeRun
from trimtab.statistics.declared import random_at
from trimtab.statistics.nulls import INDEPENDENT, RELABELLED
from trimtab.statistics.study import PUBLISHED_SHARE
from trimtab.statistics.summary import CHANGED, Finding, Turned, Verdict
from trimtab.vectors.drawn import KINDS, of_kinds
from trimtab.wording import listed


def design(run: WholeRun) -> str:
    """What was done."""
    manifest, summary = run.manifest, run.summary
    model, traits = words.model(manifest.model), len({each.trait for each in run.design.values()} - {""})
    actions = " ".join(dict.fromkeys(words.action(rule, unit).sentence for rule, unit in run.actions))
    return (
        f"{model} ({manifest.layers} layers, {manifest.d_model} dimensions) acted as a tool-using agent in "
        f"{words.count(summary.n_scenarios, 'scenario')} under {words.count(summary.n_conditions, 'condition')}, "
        f"{summary.n_rollouts:,} rollouts in all, {words.count(summary.n_seeds, 'seed')} a scenario. A "
        f"condition applies a steering vector for one of {words.count(traits, 'trait')}, or is a control. "
        f"{words.at_site(actions, manifest)}"
    )


@dataclass(frozen=True)
class Abstract:
    """The abstract's parts, in the order in which they are read."""

    design: str
    headline: str
    """The declared tests' outcome in one sentence."""
    results: list[str]
    """One entry a trait, with its numbers."""
    rest: list[str]
    """Controls, side effects and structure."""


def abstract(run: WholeRun) -> Abstract:
    """What was found, from the numbers alone."""
    found = run.summary.traits
    traits = {name: found[name] for name in run.traits if name in found}
    if not traits:
        rest = [*against_nulls(run), *_axes(run)]
        return Abstract(design(run), "No declared condition was run, so nothing was tested.", [], rest)
    return Abstract(
        design(run),
        _headline(run, traits),
        [_result(run, name, numbers) for name, numbers in traits.items()],
        [
            " ".join(texts)
            for texts in (
                [*_random(run, traits), *_makers(run, traits)],
                against_nulls(run),
                [*_breakage(traits), *_zero(run)],
                _axes(run),
            )
            if texts
        ],
    )


def _headline(run: WholeRun, traits: Mapping[str, Finding]) -> str:
    def named(verdict: Verdict) -> list[str]:
        return [words.trait(name).lower() for name, found in traits.items() if found.verdict == verdict]

    moved, turned, pushed = named("moved"), named("reversed"), named("pushed")
    rest = [words.trait(name).lower() for name, found in traits.items() if found.verdict not in CHANGED]
    where = (
        f"At the dose declared before the data ({run.plan.dose:g}, {words.counted(*run.actions[0])}; "
        f"{words.timing(run.plan.timing)}; Holm-corrected over {words.count(len(traits), 'test')})"
    )

    def some(found: Sequence[str], verb: str) -> str:
        return f"{len(found)} of {len(traits)} vectors {verb} {_own(found)} trait's outcome"

    parts = []
    if moved:
        parts.append(f"{some(moved, 'raised')}: {listed(moved)}")
    if turned:
        parts.append(f"{some(turned, 'lowered')}: {listed(turned)}")
    if pushed:
        parts.append(
            f"{some(pushed, 'changed')}, and {'is' if len(pushed) == 1 else 'are'} not shown to do so by "
            f"{_own(pushed)} direction: {listed(pushed)}"
        )
    if not parts:
        return f"{where}, no vector was shown to move its trait's outcome."
    if rest:
        parts.append(f"not shown to move: {listed(rest)}")
    return f"{where}, {'; '.join(parts)}."


def _own(found: Sequence[str]) -> str:
    return "its" if len(found) == 1 else "their"


def _result(run: Run, name: str, found: Finding) -> str:
    """One trait: means, difference with interval, d, p, and how many scenarios changed."""
    label, _, unit = words.outcome_unit(found.outcome).partition(" (")
    unit = unit.rstrip(")")
    text = (
        f"{words.trait(name)}: {label} {words.number(found.baseline_mean)} → {words.number(found.mean)}"
        f"{' ' + unit if unit.startswith('a ') else ''}; difference {words.number(found.estimate)} "
        f"({_level(run)} interval {words.interval(found.lower, found.upper)})"
    )
    if found.d_estimate is not None:
        text += f", d = {words.number(found.d_estimate)}"
    text += f", {words.p_value(found.p_corrected)}; up in {found.rising} and down in {found.falling} of "
    text += f"{words.count(found.n_scenarios, 'scenario')}{_turned(found.turned)}. "
    if found.verdict == "equivalent":
        p = words.p_value(found.p_equivalence)
        return f"{text}Not shown to move; an effect of d = {run.plan.smallest_effect:g} is excluded (equivalence {p})."
    return text + words.VERDICTS[found.verdict].closing


def _turned(turned: Turned | None) -> str:
    """The effect less that of the same vector turned round."""
    if turned is None:
        return "; the vector turned round was not run"
    return (
        f"; more than turned round by {words.number(turned.estimate)} "
        f"({words.interval(turned.lower, turned.upper)}), {words.p_value(turned.p_corrected)}"
    )


def _level(run: Run) -> str:
    return f"{100 * run.plan.level:g} %"


def _random(run: Run, traits: Mapping[str, Finding]) -> list[str]:
    """Does a random direction at the same dose do as much?"""
    shown = {name: found for name, found in traits.items() if found.verdict in CHANGED}
    if not shown:
        return []
    ranks = {name: found.random for name, found in shown.items() if found.random is not None}
    if not ranks:
        return ["No random directions were run, so it is open whether any direction would do the same."]
    own = [words.trait(name) for name, rank in ranks.items() if rank.as_large == 0]
    other = [f"{words.trait(name)} ({rank.as_large} of {rank.draws})" for name, rank in ranks.items() if rank.as_large]
    draws = next(iter(ranks.values())).draws
    kinds = of_kinds({kind: len(ids) for kind, ids in random_at(run.conditions, run.plan).items()})
    texts = []
    if own:
        others = f"{words.count(draws, 'random direction')}{kinds}"
        least = min(rank.p for rank in ranks.values())
        texts.append(
            f"Larger than under {'the' if draws == 1 else 'every one of'} {others} at the same dose: the effect "
            f"for {listed(own)} (the smallest p this comparison can give is {words.number(least)})."
        )
    if other:
        texts.append(
            f"Random directions at the same dose did as much or more for {listed(other)}, so there the effect "
            "is not shown to be the vector's own."
        )
    return texts


def _makers(run: Run, traits: Mapping[str, Finding]) -> list[str]:
    """Does the declared vector do more than other makers' vectors and than asking?"""
    shown = [found.condition_id for found in traits.values() if found.verdict in CHANGED]
    controls = run.tables["controls"]
    tests = controls[controls["estimand"] == "mean_difference"]
    texts = []
    for method in run.control_methods:
        ids = [name for name, one in run.design.items() if one.method == method]
        rows = tests[tests["condition_id"].isin(shown) & tests["baseline_id"].isin(ids)]
        if len(rows):
            texts.append(f"against the {_named(method)}, {_tally(rows, run.plan.alpha)}")
    if not texts:
        return []
    return [
        "Compared with other ways to push the traits that moved, on the same outcome and corrected: "
        f"{'; '.join(texts)}."
    ]


def _named(method: str) -> str:
    """A control in a sentence."""
    return "request in the prompt" if method == PROMPT else words.of_method(method).inside


def _tally(rows: pd.DataFrame, alpha: float) -> str:
    differs = rows["p_corrected"] <= alpha
    more, less = int((differs & (rows["estimate"] > 0)).sum()), int((differs & (rows["estimate"] < 0)).sum())
    return f"higher for {more}, lower for {less}, no difference shown for {len(rows) - more - less} of {len(rows)}"


def _breakage(traits: Mapping[str, Finding]) -> list[str]:
    shown = {name: found.breakage for name, found in traits.items() if found.verdict in CHANGED}
    broken = [
        f"{words.trait(name)} ({words.number(found.estimate)}, {words.interval(found.lower, found.upper)})"
        for name, found in shown.items()
        if found.lower is not None and found.lower > 0
    ]
    if broken:
        return [
            f"The share of broken turns rose under {listed(broken)}; part of these effects may come from "
            "breaking the text."
        ]
    worst = max((found.upper for found in shown.values() if found.upper is not None), default=None)
    if worst is None:
        return []
    return [f"No rise of broken turns was shown where a trait moved (largest upper bound {words.number(worst)})."]


def _zero(run: Run) -> list[str]:
    zero = run.summary.zero_dose
    if zero is None:
        return ["Hooks with dose 0 were not run."]
    changed = zero.changed_scenarios
    if changed == 0:
        return ["Hooks with dose 0 changed nothing."]
    sentence = f"Hooks with dose 0 changed {words.count(changed, 'scenario')}"
    in_place = run.checks.loc[run.checks["name"] == ZERO_DOSE, "passed"]
    if len(in_place) and in_place.all():
        return [
            f"{sentence}. The preflight found that they change no bit of a row in its place, so this is rounding: a "
            "row's last digits hang on where it stands in a batch."
        ]
    return [f"{sentence}: the steering code itself disturbs the model."]


def _axes(run: Run) -> list[str]:
    table = run.tables["structure"]
    share = {row["matrix"]: row for row in records(table[table["quantity"] == "share"])}
    own = share.get(run.plan.method)
    if own is None or pd.isna(own["value"]):
        return []
    text = (
        f"One component holds {words.percent(own['value'])} of the squared effects of vectors on primary outcomes "
        f"({_level(run)} interval {words.percent(own['lower'])} to {words.percent(own['upper'])}; the study, on its "
        f"own model and proxies: {words.percent(PUBLISHED_SHARE)})."
    )
    axes = table.loc[table["quantity"] == "axes", "value"]
    shuffled = share.get(RELABELLED)
    if len(axes) and shuffled is not None and not pd.isna(shuffled["value"]):
        text += (
            f" If no vector did anything, one component would hold {words.percent(shuffled['value'])} "
            f"({words.percent(shuffled['lower'])} to {words.percent(shuffled['upper'])}; conditions shuffled within "
            f"scenarios). {words.count(int(axes.iloc[0]), 'axis', 'axes').capitalize()} of effect "
            f"{'is' if axes.iloc[0] == 1 else 'are'} stronger than such noise, which is a lower bound"
        )
        power = table.loc[table["quantity"] == "power_of_two_axes", "value"]
        text += (
            f": two true axes of that strength are both found in {words.percent(power.iloc[0])} of simulated matrices."
            if len(power)
            else "."
        )
    coupled = share.get(INDEPENDENT)
    if coupled is not None and not pd.isna(coupled["value"]):
        text += (
            f" Effects that have nothing to do with one another, seen through outcomes that correlate as these do, "
            f"would have a component that holds {words.percent(coupled['value'])} "
            f"({words.percent(coupled['lower'])} to {words.percent(coupled['upper'])})"
        )
        text += (
            ", so the share shows an axis of the outcomes and none of the vectors."
            if own["value"] <= coupled["upper"]
            else f" ({words.p_value(coupled['p'])})."
        )
    drawn = {kind: share[kind] for kind in KINDS if kind in share and not pd.isna(share[kind]["value"])}
    if not drawn:
        return [f"{text} Too few random directions were run to say what share they have."]
    given = []
    for kind, null in drawn.items():
        more = [KINDS[kind]] if [*drawn] != [RANDOM] else []
        if null["lower"] != null["upper"]:
            more.append(f"{words.percent(null['lower'])} to {words.percent(null['upper'])}")
        given.append(words.percent(null["value"]) + (f" ({', '.join(more)})" if more else ""))
    text += f" As many random directions at the same dose give {listed(given)}"
    hidden = any(null["upper"] >= own["lower"] for null in drawn.values())
    return [f"{text}, so the share alone does not show an axis of these traits." if hidden else f"{text}."]
