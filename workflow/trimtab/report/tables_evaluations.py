"""What evaluators found, a section each: the evaluator's own words, what it measured, and what it concludes."""

from collections.abc import Iterator
from dataclasses import dataclass

from trimtab.evaluations import evaluators
from trimtab.report import words
from trimtab.report.run import WholeRun
from trimtab.report.table import Table, p, table, text, value, with_interval
from trimtab.rollouts.conditions import UNSTEERED_ID
from trimtab.wording import Wording

DIGITS = 3
"""Of means: entropies and divergences differ by hundredths."""


@dataclass(frozen=True)
class Section:
    """One evaluator on the page."""

    wording: Wording
    sentence: str
    """With its source."""
    tables: tuple[Table, ...]


def sections(run: WholeRun) -> Iterator[Section]:
    """One an evaluator, in the config's order; none where the experiment has none."""
    for name in run.config.evaluations.evaluators:
        wording = evaluators.wording(name)
        found = (measured(run, name), concluded(run, name))
        yield Section(wording, words.cited(wording), tuple(each for each in found if each.rows))


def measured(run: WholeRun, name: str) -> Table:
    """An evaluator's measures under the declared conditions and their controls, random directions left out."""
    shown = {
        each.condition_id: words.condition(each)
        for each in run.design.values()
        if each.condition_id != UNSTEERED_ID
        and not each.is_random
        and (each.is_control or _declared(run, each.condition_id))
    }
    columns = evaluators.measures(name)
    frame = run.evaluations["means"]
    frame = frame[(frame["evaluator"] == name) & frame["condition_id"].isin(shown)]
    frame = frame.assign(condition=frame["condition_id"].map(shown))
    said = " ".join(f"{each.label.capitalize()} ({each.unit}): {each.sentence}" for each in columns.values())
    return table(
        f"evaluation_{name}",
        f"{said} Change: from the unsteered model, over the same items; p is Benjamini-Hochberg-corrected over all "
        "conditions and measures of this evaluator. All conditions: evaluations/means.csv.",
        frame,
        {
            "Condition": text("condition"),
            "Measure": text("outcome", lambda column: columns[column].label if column in columns else column),
            "Unsteered": value("baseline_mean", DIGITS),
            "Mean": value("mean", DIGITS),
            "Change": with_interval("estimate", "lower", "upper", DIGITS),
            "p": p("p_corrected"),
        },
    )


def _declared(run: WholeRun, condition: str) -> bool:
    return condition in run.confirmatory.values()


def concluded(run: WholeRun, name: str) -> Table:
    """What an evaluator says of conditions as a whole."""
    frame = run.evaluations["conclusions"]
    labels = {each.condition_id: words.condition(each) for each in run.design.values()}
    return table(
        f"conclusions_{name}",
        "Of conditions as a whole, with intervals over items.",
        frame[frame["evaluator"] == name],
        {
            "Quantity": text("quantity", lambda quantity: quantity.replace("_", " ")),
            "Of": text("subject", lambda subject: labels.get(subject, subject)),
            "Estimate": with_interval("estimate", "lower", "upper", DIGITS),
        },
    )
