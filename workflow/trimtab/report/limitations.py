"""What a run cannot say, computed from the run: power, seeds, failed gates and checks, breakage, few controls."""

from collections.abc import Mapping
from typing import Any

from trimtab.artifacts.files import records
from trimtab.report import words
from trimtab.report.run import Run, WholeRun
from trimtab.rollouts.conditions import Condition
from trimtab.rollouts.rollout import OVERFLOW
from trimtab.statistics.contrasts import BEYOND_SUM, INTERACTION
from trimtab.statistics.coupling import UNSTEERED_MATRIX
from trimtab.statistics.declared import random_at
from trimtab.vectors.drawn import of_kinds
from trimtab.wording import listed

SURE = 0.9
"""Share of samples that must choose a layer again for it not to be called noise: equal layers reach two thirds."""


SINGLE_LATENTS = ("best_latent", "sae_probe_top")
"""Methods whose vectors decode one latent or a few."""


def limitations(run: WholeRun) -> list[str]:
    """What this run cannot say, with its own figures."""
    traits = run.summary.traits
    texts = []
    smallest = [
        f"{words.trait(name)} {words.number(found.smallest_detectable)} {words.outcome(found.outcome)}"
        for name, found in traits.items()
        if found.smallest_detectable is not None
    ]
    if smallest:
        n = max(found.n_scenarios for found in traits.values())
        texts.append(
            f"Power. With {words.count(n, 'scenario')} and the spread seen, a change found in 80 % of repetitions at "
            f"the strictest Holm step is at least: {listed(smallest)}. Smaller effects can be missed."
        )
    if run.summary.n_seeds == 1:
        texts.append(
            "One seed a scenario: how much a scenario varies by itself is not known, and is part of every interval."
        )
    texts += _unsure_layers(run)
    texts += _failed_gates(run)
    texts += _costly_dictionaries(run)
    texts += _single_latents(run)
    failed = [check["name"] for check in records(run.checks) if not check["passed"]]
    if failed:
        texts.append(
            f"Preflight checks that failed, and that the config accepts: {listed(failed)}. Every number that "
            "comes from the model may be wrong."
        )
    texts += _broken_conditions(run)
    texts += _overflows(run)
    texts += _never_or_always_open(run)
    texts += _without_sums(run)
    texts += _coupled(run)
    texts.append(_few_directions({kind: len(ids) for kind, ids in random_at(run.conditions, run.plan).items()}, run))
    if any(found.turned is None for found in traits.values()):
        texts.append("Without the vectors turned round, no effect can be shown to be by a vector's direction.")
    if any(found.rising + found.falling < 10 for found in traits.values()):
        texts.append(
            "Where few scenarios change at all, resampled intervals would be too narrow, so there they are Student's t "
            "(docs/validity.md). Where interval and permutation test contradict each other, the test decides: the "
            "interval is then the one that the test itself gives."
        )
    texts.append(
        f"Everything but the declared test is exploratory ({run.summary.n_tests - len(traits):,} tests, "
        "Benjamini-Hochberg). Intervals are of single estimates and not corrected for their number. Monte Carlo "
        f"p-values cannot fall below {1 / (run.plan.draws + 1):.1g}."
    )
    texts.append(
        "Scenarios, tool replies and contrast prompts were written for this project; the results hold for this model, "
        "these tasks and this agent protocol."
    )
    return texts


def _few_directions(counts: Mapping[str, int], run: Run) -> str:
    """What a rank among random directions can show: that among the kind that has the fewest."""
    several = len(counts) > 1
    least = 1 / (min(counts.values(), default=0) + 1)
    text = f"Random directions: {sum(counts.values())}{of_kinds(counts)} were run at the declared dose"
    if least > run.plan.alpha:
        return (
            f"{text}. A rank among so few{' of a kind' if several else ''} shows little: its p is "
            f"{words.number(least)} at least, and a verdict by direction needs {run.plan.alpha:.2g} or less."
        )
    among = "those of each kind and goes by the larger p" if several else "all of them"
    return (
        f"{text}, over the layers of all traits. A verdict ranks a vector among {among}; the tables rank it among "
        "those of its own layer, which are fewer."
    )


def _coupled(run: Run) -> list[str]:
    """Primary outcomes that change together, whatever a vector does."""
    table = run.tables["structure"]
    unsteered = (table["quantity"] == "coupling") & (table["matrix"] == UNSTEERED_MATRIX)
    rows = table[unsteered & (table["value"].abs() >= 0.7)]
    if rows.empty:
        return []
    pairs = [
        f"{words.outcome(row['outcome'])} and {words.outcome(row['other'])} ({words.number(row['value'])})"
        for row in records(rows)
    ]
    return [
        f"Coupled outcomes, by correlation over unsteered scenarios: {listed(pairs)}. A vector that moves one "
        "moves the other, so their traits cannot be told apart by these outcomes."
    ]


def _unsure_layers(run: Run) -> list[str]:
    """Layers that other templates would not have chosen, and probes that do no better than on swapped labels."""
    scores = run.tables["scores"]
    own = records(scores[(scores["features"] == "sae") & (scores["split"] == "nested_with_layer")])
    texts = []
    unsure = [
        f"{words.trait(row['trait'])}, layer {row['layer']} ({words.percent(row['layer_support'])})"
        for row in own
        if row["layer_support"] < SURE
    ]
    if unsure:
        texts.append(
            f"Layers picked by noise, with the share of bootstrap samples of templates that pick the same layer: "
            f"{listed(unsure)}. Between layers that are equally good this share is about two thirds by chance "
            "alone, so another layer could as well have been steered."
        )
    chance = [
        f"{words.trait(row['trait'])} ({words.p_value(row['r2_p'])})" for row in own if row["r2_p"] > run.plan.alpha
    ]
    if chance:
        texts.append(
            "Probes whose nested R² is not shown to be above that of labels swapped for whole templates: "
            f"{listed(chance)}. With few templates p can't be small: with seven it is 1 in 64 at least."
        )
    return texts


def _never_or_always_open(run: Run) -> list[str]:
    """Gates that made no difference between tokens."""
    table = run.tables["gates"]
    kinds = {"Never open, so that nothing was done behind them": 0, "Open at every token, as if there were none": 1}
    texts = []
    for told, share in kinds.items():
        rows = records(table[table["open_share"] == share])
        if rows:
            named = [f"{words.condition(run.design[row['condition_id']])}{_of_method(row)}" for row in rows]
            texts.append(f"{told}: {_some(named)}.")
    return [" ".join(["Gates.", *texts])] if texts else []


def _of_method(row: Mapping[str, Any]) -> str:
    """Which of a condition's gates, where its name doesn't say so."""
    return "" if row["gate"] else f", gate {row['number'] + 1} of those that methods made"


def _without_sums(run: Run) -> list[str]:
    """Conditions that apply several things, of which nobody can say whether these add up."""
    table = run.tables["contrasts"]
    compared = set(table.loc[table["kind"] == INTERACTION, "condition_id"])
    alone = [words.condition(one) for one in run.design.values() if one.also and one.condition_id not in compared]
    if not alone:
        return []
    return [
        f"Interactions: parts of {words.count(len(alone), 'condition')} are not run alone, so that no "
        f"{BEYOND_SUM.label} is known: {_some(alone)}."
    ]


def _failed_gates(run: Run) -> list[str]:
    quality = run.tables["quality"]
    failed = quality[~quality["passes_gates"].astype(bool)]
    if failed.empty:
        return []
    layers = sorted({int(layer) for layer in failed["layer"]})
    used = sorted(set(layers) & {run.design[name].layer for name in run.confirmatory.values()})
    gates = run.gates
    text = (
        f"SAE gates (explained variance ≥ {gates.explained_variance:g}, loss recovered ≥ "
        f"{gates.loss_recovered:g}, dead ≤ {gates.dead_share:g}): layer{'s' if len(layers) > 1 else ''} "
        f"{listed([str(layer) for layer in layers])} fail on at least one evaluation set"
    )
    users = f"declared vectors use {listed([str(layer) for layer in used])}"
    return [f"{text}; {users if used else 'no declared vector uses them'}."]


def _costly_dictionaries(run: WholeRun) -> list[str]:
    """Dictionaries whose reconstruction moves the model farther than the vectors that are compared."""
    quality, dose = run.tables["quality"], float(run.config.vectors.comparison_kl)
    costly = quality[quality["kl_sae"] > dose]
    if costly.empty:
        return []
    layers = listed([str(layer) for layer in sorted({int(layer) for layer in costly["layer"]})])
    lowest, highest = words.number(costly["kl_sae"].min()), words.number(costly["kl_sae"].max())
    return [
        f"Dictionaries: what those of layers {layers} reconstruct, in the layer's place, moves the next token by "
        f"{lowest} to {highest} nats, more than the {dose:g} at which methods are compared. What is said of a single "
        "latent of theirs is not shown to hold at the size of a dose."
    ]


def _single_latents(run: WholeRun) -> list[str]:
    """What belongs to one training of a dictionary, and how few of its latents another finds."""
    users = [words.method(name) for name in SINGLE_LATENTS if name in run.methods]
    told = f"What rests on single ones ({listed(['examples of latents', *users])}) belongs to this dictionary"
    if not run.again:
        return [f"Single latents: no dictionary was trained with a second seed. {told}, as far as is known."]
    shares = [f"{100 * share:.2g} % of those at layer {layer}" for layer, share in run.again.items()]
    return [f"Single latents: a dictionary of another seed has {listed(shares)} too. {told}."]


def _broken_conditions(run: Run) -> list[str]:
    effects = run.tables["effects"]
    rows = effects[(effects["outcome"] == "breakage") & (effects["estimand"] == "mean_difference")]
    broken = rows[(rows["lower"] > 0) & (rows["p_corrected"] <= run.plan.alpha)]
    if broken.empty:
        return ["Breakage: under no condition was a rise of broken turns shown."]
    worst = max(records(broken), key=lambda row: float(row["estimate"]))
    return [
        f"Breakage: {len(broken)} of {words.count(len(rows), 'condition')} raise the share of broken turns, most of "
        f"all {words.condition(run.design[worst['condition_id']])} (by {words.number(worst['estimate'])}, "
        f"{words.interval(worst['lower'], worst['upper'])})."
    ]


NAMED = 6
"""Conditions of a kind that are named; of more, how many."""


def _some(named: list[str]) -> str:
    return "; ".join(named[:NAMED]) + (f", and {len(named) - NAMED} more" if len(named) > NAMED else "")


def _overflows(run: Run) -> list[str]:
    """From which dose on the model's numbers overflow, by vector and way of applying it."""
    share = (run.outcomes[OVERFLOW] > 0).groupby(run.outcomes["condition_id"]).mean()
    hit = run.conditions.assign(share=run.conditions["condition_id"].map(share).fillna(0.0))
    hit = hit[hit["share"] > 0].assign(side=lambda table: table["dose"] > 0, size=lambda table: table["dose"].abs())
    if hit.empty:
        return []
    first = hit.sort_values(["size", "condition_id"]).drop_duplicates(
        ["method", "trait", "timing", "layer", "rule", "gate", "also", "unit", "draw", "side"]
    )
    named = [
        f"{_at_layer(run.design[row['condition_id']])} ({words.percent(row['share'])} of its rollouts)"
        for row in records(first)
    ]
    return [
        f"Overflow: under {words.count(len(hit), 'condition')} logits are NaN or infinite, and the episode ends as "
        f"broken. Of each vector, from this dose on: {_some(named)}. That is a limit of "
        f"{run.manifest.dtype} and no behaviour of the model."
    ]


def _at_layer(one: Condition) -> str:
    """A condition in words, which name the layer in any case."""
    return words.condition(one) if one.of_grid else f"{words.condition(one)}, after layer {one.layer}"
