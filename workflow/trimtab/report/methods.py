"""What was done, stage by stage, with the settings it was done with, and what the page's own words mean."""

from collections import Counter
from collections.abc import Sequence

from trimtab.agent.names import WITHOUT_VECTOR
from trimtab.report import words
from trimtab.report.run import Run, WholeRun, each
from trimtab.rollouts.outcomes import OUTCOMES
from trimtab.settings.saes import Saes
from trimtab.statistics.bootstrap import FEWEST
from trimtab.statistics.nulls import SHUFFLES
from trimtab.statistics.significance import EXACT_PAIRS
from trimtab.steering import catalogue
from trimtab.steering.catalogue import AS_MADE
from trimtab.vectors.baselines import BASELINES
from trimtab.vectors.design import TOGETHER
from trimtab.vectors.drawn import of_kinds
from trimtab.wording import listed

PROTOCOLS = {
    "few_shot": "few-shot text",
    "few_shot_at_once": "few-shot text",
    "native": "its chat template",
    "native_thinking": "its chat template, with thinking turned on",
}
"""By what an agent is prompted."""


def terms(run: WholeRun) -> list[tuple[str, str]]:
    """For a reader who meets the project here."""
    thinks = "" if run.config.rollouts.protocol == "few_shot_at_once" else "thinks, "
    return [
        (
            "Agent",
            f"The language model in a loop: it reads a task, {thinks}calls one of a few tools (search, read or write a "
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
            "A steering vector is a direction in the model's internal state, made for a trait; the state is changed "
            "along it while the model reads and writes. The dose says how strongly. The claim that is tested is that "
            "a positive dose raises the trait.",
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
            f"rollouts; effects of {run.plan.smallest_effect:g} and more were declared to be of interest. The range in "
            "brackets is an interval: values that the data are compatible with.",
        ),
        (
            "Verdict",
            f"{'; '.join(f'“{one.label}”: {one.meaning}' for one in words.VERDICTS.values())}. Tests are corrected for "
            "the number of traits.",
        ),
        ("Controls", _controls(run)),
    ]


def methods(run: WholeRun) -> list[tuple[str, str]]:
    """What was done, stage by stage, with the settings it was done with."""
    c = run.config
    manifest, summary = run.manifest, run.summary
    protocol = PROTOCOLS[c.rollouts.protocol]
    quality = run.tables["quality"]
    return [
        (
            "Model",
            f"{manifest.model}, {manifest.architecture}, {manifest.layers} layers, d_model "
            f"{manifest.d_model}, {manifest.dtype}, prompted by {protocol}. {words.read_at(manifest)}",
        ),
        (
            "Dictionaries",
            f"A sparse autoencoder at each of the layers {listed([str(layer) for layer in c.layers])}: "
            f"{_trained(c.saes)}. Explained variance {words.number(quality['explained_variance'].min())} to "
            f"{words.number(quality['explained_variance'].max())}, loss recovered "
            f"{words.number(quality['loss_recovered'].min())} to {words.number(quality['loss_recovered'].max())} on "
            "held-out data.",
        ),
        (
            "Probes",
            "Ridge regression on standardised SAE latents, trait by trait, on contrast prompts of kind "
            f"“{c.probes.contrast}”; penalties {listed([f'{p:g}' for p in c.probes.penalties])}. " + _picked(run),
        ),
        ("Vectors", words.at_site(_vectors(run), manifest)),
        ("Steering", words.at_site(_steering(run), manifest)),
        *([("Decoding", _decoding(c.vectors.decoding))] if c.vectors.decoding else []),
        (
            "Timing",
            " ".join(
                f"“{words.timing(name).capitalize()}”: {catalogue.timing(name).sentence}"
                for name in dict.fromkeys(condition.timing for condition in run.applied)
            ),
        ),
        (
            "Outcomes",
            " ".join(
                f"{words.outcome_unit(name).capitalize()}: {OUTCOMES[name].sentence}"
                for name in dict.fromkeys(run.primary.values())
            ),
        ),
        (
            "Rollouts",
            f"{summary.n_scenarios} scenarios, at most {c.rollouts.max_turns} turns, five tools with canned "
            f"replies, temperature {c.rollouts.temperature:g}, {words.count(summary.n_seeds, 'seed')}. "
            "All conditions of a scenario share their sampling noise, so that conditions are compared pair by pair. "
            + words.cited(words.coupling(c.rollouts.coupling)),
        ),
        (
            "Statistics",
            f"Differences are averaged over seeds within a scenario. Intervals ({100 * run.plan.level:g} "
            f"%): bootstrap of scenarios, {run.plan.draws:,} draws, bias-corrected and accelerated, "
            "with Student's t in place of the normal (percentile where that is undefined, as the table says); a "
            f"jackknife t interval where fewer than {FEWEST} scenarios differ; exact for shares of scenarios; what "
            "doesn't vary has no bounds; where interval and test contradict each other, the test's own interval. p: "
            f"two-sided sign-flip permutation of scenarios, exact up to {EXACT_PAIRS} that differ. Holm over the "
            "declared tests, Benjamini-Hochberg over the rest. A trait counts as moved only where three things hold: "
            "the effect, the effect less that of the same vector turned round, and a rank among random directions of "
            "the same dose, of each kind. “No effect of interest” is claimed only where two one-sided jackknife t "
            f"tests, Holm-corrected, exclude d = {run.plan.smallest_effect:g} with the uncertainty of its SD. "
            "Cohen's d is over the pooled SD of single rollouts. Axes of effect: "
            f"singular values of the matrix of d against {SHUFFLES:,} shuffles of the conditions within scenarios.",
        ),
    ]


def _picked(run: WholeRun) -> str:
    """How each trait's layer was chosen, and what the choice as a whole scores on rows that it hasn't seen."""
    settings = run.config.probes
    left_out = settings.folds == "leave_one_out"
    folds = (
        "one template left out at a time" if left_out else f"with {settings.folds} folds that keep templates together"
    )
    if settings.protocol == "study":
        text = (
            "Penalty and layer are those of the study's rule: the best on the test part of one split of rows. The R² "
            "given is of that same part, so it is too high."
        )
        rows = run.tables["scores"].query("features == 'sae' and split == 'study'")
    else:
        text = (
            f"Penalty and layer are picked in cross-validation, {folds}. The R² given is nested: both are picked anew "
            "without the templates that are scored."
        )
        rows = run.best_scores
    picked = [f"{words.trait(row.trait)} {row.layer} (R² {words.number(row.r2)})" for row in each(rows)]
    return f"{text} Chosen layers: {listed(picked)}."


UNIT_LENGTH = "Vectors have unit length."


def _vectors(run: Run) -> str:
    """How the vectors that the run applies were made; each method's file says it."""
    own = run.plan.method
    others = [name for name in run.in_order(condition.method for condition in run.applied) if name != own]
    texts = [f"{words.method(name)}: {words.cited(words.of_method(name))}" for name in [own, *others]]
    has_edits = any(condition.rule == AS_MADE for condition in run.applied)
    first = "Vectors have unit length, and edits are as their method made them." if has_edits else UNIT_LENGTH
    return f"{first} {' '.join(texts)}"


def _steering(run: WholeRun) -> str:
    """What is done with a vector, and what a dose of it is, for each rule that the run applies."""
    texts = []
    for rule, unit in run.actions:
        action = words.action(rule, unit)
        # a unit that is a rule says both in one sentence
        meaning = "" if action.sentence == words.dose(rule, unit) else f" {words.dose(rule, unit)}"
        texts.append(f"{action.label.capitalize()}: {words.cited(action)}{meaning}")
    for name, gate in run.edit_gates.items():
        kind = catalogue.GATES[gate.kind]
        texts.append(f"Gate “{name}”: {words.cited(kind)} {catalogue.REMEMBERS[gate.remembers].sentence}")
    if any(condition.also for condition in run.applied):
        texts.append(TOGETHER.sentence)
    return f"{' '.join(texts)} What lengths come to in KL is tabulated below."


def _decoding(names: Sequence[str]) -> str:
    """What is done to logits in place of a vector, for comparison."""
    texts = [f"{BASELINES[name].label}: {words.cited(BASELINES[name])}" for name in names]
    return f"{' '.join(texts)} Read in first decisions alone, at the KL of all vectors there."


def _controls(run: Run) -> str:
    """Which controls the run has."""
    controls = [condition for condition in run.design.values() if condition.is_control]
    made = [name for name in run.control_methods if name not in WITHOUT_VECTOR]
    random = [condition for condition in controls if condition.is_random]
    doses = [f"{dose:g}" for dose in sorted({one.dose for one in random})]
    drawn = of_kinds(Counter(one.method for one in random))
    kinds = {
        f"random directions{drawn} at dose {listed(doses)}": bool(random),
        f"vectors made in other ways ({listed([words.of_method(name).inside for name in made])})": bool(made),
        "the vector at a negative dose": any(one.method == run.plan.method and one.dose < 0 for one in controls),
        "the steering code with dose 0": any(one.is_zero for one in controls),
        "asking for the trait in the prompt": any(one.is_prompt for one in controls),
    }
    found = [name for name, present in kinds.items() if present]
    return f"{listed(found).capitalize()}." if found else "None were run."


def _trained(saes: Saes) -> str:
    if saes.pretrained:
        return "made elsewhere, not trained in this run"
    active = f"{saes.k} active a token{'' if saes.architecture == 'topk' else ' on average'}"
    text = f"{saes.architecture}, {saes.latents:,} latents, {active}, {saes.tokens:,} training tokens"
    if saes.massive_norm is not None:
        text += f", rows longer than {saes.massive_norm:g} times the layer's median left out"
    layers = listed([str(layer) for layer in sorted(saes.overrides)])
    return f"{text}; settings of layers with overrides ({layers}) differ" if layers else text
