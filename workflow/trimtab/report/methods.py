"""What was done, stage by stage, with the settings it was done with, and what the page's own words mean."""

from collections.abc import Mapping
from typing import Any

from trimtab.report import words
from trimtab.report.run import Run, each
from trimtab.statistics.bootstrap import FEWEST
from trimtab.statistics.nulls import SHUFFLES
from trimtab.statistics.significance import EXACT_PAIRS


def terms(run: Run) -> list[tuple[str, str]]:
    """For a reader who meets the project here."""
    return [
        (
            "Agent",
            "The language model in a loop: it reads a task, thinks, calls one of a few tools (search, read or write a "
            "file, run code, ask the user), sees the reply, and goes on or finishes. Tools are simulated.",
        ),
        (
            "Scenario, rollout",
            "A scenario is one task with its simulated world. A rollout is one episode of the agent in it. Every "
            "condition runs the same scenarios with the same random numbers, so conditions are compared scenario by "
            "scenario.",
        ),
        (
            "Steering vector, dose",
            "A direction in the model's internal state that is added while it reads and writes, and how much of it. A "
            "vector is made for a trait, from prompts that show the trait high and low; a positive dose should raise "
            "it.",
        ),
        (
            "Primary outcome",
            "The one count or share that a trait is judged by, declared before the data: "
            + "; ".join(f"{words.trait(name).lower()}, {words.outcome(run.plan.primary[name])}" for name in run.traits)
            + ".",
        ),
        (
            "Difference, d",
            "Mean outcome steered less mean outcome unsteered. Cohen's d is the same in units of the spread between "
            f"rollouts; this run was declared to care about {run.plan.smallest_effect:g} and more. The range in "
            "brackets is an interval: values that the data are compatible with.",
        ),
        (
            "Verdict",
            "“Moved”: the declared test, corrected for the number of traits, shows a rise. “Moved the other way”: it "
            "shows a fall. “No effect of interest”: an effect of the size above is excluded. “Not shown”: neither. "
            "“Not shown” is not “no effect”.",
        ),
        (
            "Controls",
            "The same length of push in random directions, vectors made in other ways, the vector turned round, the "
            "steering code with dose 0, and simply asking for the trait in the prompt.",
        ),
    ]


def methods(run: Run) -> list[tuple[str, str]]:
    """What was done, stage by stage, with the settings it was done with."""
    c = run.config
    manifest, summary = run.records["manifest"], run.records["summary"]
    chosen = run.probe_scores[run.probe_scores["chosen"].astype(bool)]
    picked = [f"{words.trait(row.trait)} {row.layer} (R² {words.number(row.r2)})" for row in each(chosen)]
    protocol = "its chat template" if c["rollouts"]["protocol"] == "native" else "few-shot text"
    gates = run.tables["quality"]
    return [
        (
            "Model",
            f"{manifest['model']}, {manifest['architecture']}, {manifest['layers']} layers, d_model "
            f"{manifest['d_model']}, {manifest['dtype']}, prompted by {protocol}. The residual stream is read and "
            "steered after a decoder layer.",
        ),
        (
            "Dictionaries",
            f"A sparse autoencoder at each of layers {words.listed([str(layer) for layer in c['layers']])}: "
            f"{_trained(c['saes'])}. Explained variance {words.number(gates['explained_variance'].min())} to "
            f"{words.number(gates['explained_variance'].max())}, loss recovered "
            f"{words.number(gates['loss_recovered'].min())} to {words.number(gates['loss_recovered'].max())} on "
            "held-out data.",
        ),
        (
            "Probes",
            "Ridge regression on standardised SAE latents, trait by trait, on contrast prompts of kind "
            f"“{c['probes']['contrast']}”; penalties {words.listed([f'{p:g}' for p in c['probes']['penalties']])} and "
            f"layer picked inside nested cross-validation with {c['probes']['folds']} folds that keep templates "
            f"together. Chosen layers: {words.listed(picked)}.",
        ),
        (
            "Vectors",
            "The probe's weights decoded through the dictionary to one direction of unit length. Controls: difference "
            "of the poles' means, a probe on the raw residual stream, random directions of the same length, the "
            "vector turned round, hooks with dose 0, and asking for the trait in the prompt.",
        ),
        (
            "Dose",
            "A dose is a share of the mean residual norm at the layer (about the mean activation); the absolute "
            "length and the KL divergence it causes are tabulated below."
            if c["rollouts"]["unit"] == "residual_share"
            else "A dose is the absolute L2 length of the push; the KL divergence it causes is tabulated below.",
        ),
        (
            "Timing",
            "“All tokens”: prompt, tool replies and the agent's own text are steered. “Given text only” (prefill): "
            "prompt and tool replies. “Own text only” (decode): the tokens that the agent writes itself.",
        ),
        (
            "Rollouts",
            f"{summary['n_scenarios']} scenarios, at most {c['rollouts']['max_turns']} turns, five tools with canned "
            f"replies, temperature {c['rollouts']['temperature']:g}, {words.count(summary['n_seeds'], 'seed')}. "
            "Sampling noise is shared by all conditions of a scenario, so that conditions are compared pair by pair.",
        ),
        (
            "Statistics",
            f"Differences are averaged over seeds within a scenario. Intervals ({100 * c['statistics']['level']:g} "
            f"%): bootstrap of scenarios, {c['statistics']['draws']:,} draws, bias-corrected and accelerated, "
            "widened as t is against the normal (percentile where that is undefined, as the table says), Student's t "
            f"below {FEWEST} scenarios, exact for shares of scenarios; nothing that doesn't vary has bounds. p: "
            f"two-sided sign-flip permutation of scenarios, exact up to {EXACT_PAIRS} that differ. Holm over the "
            "declared tests, Benjamini-Hochberg over the rest. A trait counts as moved only where three things hold: "
            "the effect, the effect less that of the same vector turned round, and a rank among random directions of "
            "the same dose. “No effect of interest” is claimed only where two one-sided jackknife t tests, "
            f"Holm-corrected, exclude d = {run.plan.smallest_effect:g} with the uncertainty of its SD. "
            "Cohen's d is over the pooled SD of single rollouts. Axes of effect: "
            f"singular values of the matrix of d against {SHUFFLES:,} shuffles of the conditions within scenarios.",
        ),
    ]


def _trained(saes: Mapping[str, Any]) -> str:
    if saes["pretrained"]:
        return "made elsewhere, not trained in this run"
    return (
        f"{saes['architecture']}, {saes['latents']:,} latents, {saes['k']} active, {saes['tokens']:,} training tokens"
    )
