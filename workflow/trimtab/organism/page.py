"""The page that sets what was recovered beside the truth, of one organism or of several side by side.

Tables (`trimtab.organism.tables`) under what they answer, below a few sentences (`trimtab.organism.sentences`). Layout
is in workflow/report/recovery.html.j2.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from trimtab.organism import questions
from trimtab.organism.claims import claims
from trimtab.organism.compared import compared
from trimtab.organism.sentences import sentences
from trimtab.organism.strips import Scale
from trimtab.organism.tables import Answers, Cell, Organisms, Section, Table, Training, in_words
from trimtab.organism.trainings import over, spread
from trimtab.report.templates import fill

HEADS = ["reads", "recovered", "least trait", "most trait", "leak (median trait)", "largest leak"]
"""Of the fields of `Compared`."""


def page(organisms: Organisms, dose: float, method: str) -> str:
    """The page's text.

    Args:
        dose: the one at which methods, timings and random directions are compared.
        method: the one whose timings are compared.
    """
    answers = Answers(organisms)
    short = {name: sentences(answers.all[answers.all["organism"] == name], dose, method) for name in organisms}
    several = {name: trainings for name, trainings in organisms.items() if len(trainings) > 1}
    sections = [of_methods(organisms, dose), *_sections(answers, dose, method)]
    if several:
        sections = [claimed(several, dose, method), _spread(answers, several), *sections]
    unit = [_unit(name, trainings) for name, trainings in organisms.items()]
    return fill("recovery.html.j2", short=short, sections=sections, unit=unit, several=bool(several))


def _unit(name: str, trainings: Sequence[Training]) -> str:
    """What an organism's numbers are a sample of, and which processors give the same bytes again."""
    where = " and ".join(sorted({training.processor for training in trainings}))
    many = "one training" if len(trainings) == 1 else f"{len(trainings)} trainings"
    return f"{name}: {many} ({where})"


def claimed(organisms: Organisms, dose: float, method: str) -> Section:
    """Each claim as one number a training."""
    tables = []
    for name, trainings in organisms.items():
        each = [claims(training.answers, dose, method) for training in trainings]
        rows = []
        for claim in each[0]:
            values = [found[claim] for found in each]
            mean, lower, upper, sd = over(values)
            strip = Scale(values).strip(values, lower, upper)
            text = f"{mean:.3g} [{lower:.3g}, {upper:.3g}]"
            listed = ", ".join(f"{value:.3g}" for value in values)
            rows.append([Cell(claim), Cell(text, strip), Cell(f"{sd:.2g}"), Cell(listed)])
        head = ["claim", "mean over trainings", "SD between trainings", "each training"]
        tables.append(Table(f"{name}, {len(trainings)} trainings.", head, rows))
    return Section(
        "What is claimed, over trainings",
        "One number a training for each claim: the mean over traits, where nothing else is said. In brackets are 95 % "
        "t intervals over trainings, which hold for another training with another seed; they rest on few, so they are "
        "wide and lean on the trainings' values being near normal. A dot is a training, the bar its interval; each row "
        "has a scale of its own.",
        tables,
    )


def of_methods(organisms: Organisms, dose: float) -> Section:
    """Each method's recovery and leak, over trainings."""
    tables = []
    for name, trainings in organisms.items():
        each = [compared(training.answers, dose) for training in trainings]
        columns = [[[found[method][at] for found in each] for method in each[0]] for at in range(len(HEADS))]
        shown = [at for at, column in enumerate(columns) if any(np.isfinite(value) for row in column for value in row)]
        cells = {at: _column(columns[at]) for at in shown}
        rows = [[Cell(in_words(method)), *(cells[at][row] for at in shown)] for row, method in enumerate(each[0])]
        many = "one training" if len(each) == 1 else f"{len(each)} trainings"
        tables.append(Table(f"{name}, {many}.", ["method", *(HEADS[at] for at in shown)], rows))
    return Section(
        "What does each method recover, and what leaks?",
        f"Vectors at dose {dose:g}, in shares of the residual norm, and all tokens; each training is one number, and "
        "brackets hold 95 % t intervals over trainings. Recovered: the effect on the own trait's axis as a share of "
        "what the persona does, mean over traits, and of the trait with least and with most of it. Leak: the largest "
        "effect on another trait's axis as a share of the own effect, whatever their signs; it runs off where the own "
        "effect is near nothing, so over traits it is the median, and the largest beside it. Reads: correlation of the "
        "stream's coordinate along the vector with the trait's true level. Shuffled labels and random codes are what "
        "the same method makes without the trait; of several draws the mean.",
        tables,
    )


def _column(rows: Sequence[Sequence[float]]) -> list[Cell]:
    """A number a method over trainings, all on one scale."""
    scale = Scale(value for values in rows for value in values)
    cells = []
    for values in rows:
        mean, lower, upper, _ = over(values)
        text = f"{mean:.2f}" if len(values) == 1 else f"{mean:.2f} [{lower:.2f}, {upper:.2f}]"
        cells.append(Cell(text, scale.strip(values, lower, upper)) if np.isfinite(mean) else Cell(""))
    return cells


def _spread(answers: Answers, organisms: Organisms) -> Section:
    """How far trainings differ, beside what one training's interval says."""
    tables = []
    for name in organisms:
        found = spread(answers.all[answers.all["organism"] == name])
        rows = [
            [
                Cell(str(one.question)),
                Cell(str(one.answers)),
                Cell(f"{one.sd:.2g}"),
                Cell(f"{one.se:.2g}"),
                Cell(f"{one.times:.2g}"),
                Cell(f"{one.held:.0%}"),
            ]
            for one in found.itertuples()
        ]
        head = ["question", "answers", "SD between", "SE within", "between / within", "intervals that hold the mean"]
        tables.append(Table(f"{name}.", head, rows))
    return Section(
        "How far do trainings differ?",
        "Beside each other: the spread of an answer between trainings, and the standard error that a single training's "
        "own interval claims (over its tasks, personas or directions); medians over the question's answers. Were a "
        "training's interval enough, 95 % of them would hold the mean of all trainings.",
        tables,
    )


def _sections(answers: Answers, dose: float, method: str) -> list[Section]:
    pushed: dict[str, Any] = {"dose": dose, "timing": "all"}
    shown = in_words(method)
    return [
        Section(
            "Does the organism follow its law?",
            "KL from the law's probabilities to the model's at first decisions after random personas, beside that of "
            "one distribution for all decisions.",
            [answers.pivot("Nats.", questions.KL, "method", "organism")],
        ),
        Section(
            "What a persona does",
            "Levels of each axis (columns) between decisions after a persona's high and its low pole. The truth is 4 "
            "in the trait's own axis, -4 where the trait moves that axis the other way, and 0 elsewhere.",
            answers.each("Personas,", questions.MOVED, "trait", "target", method="persona"),
        ),
        Section(
            "Does a direction read the trait?",
            f"Correlation of the stream's coordinate along each {shown} vector, where the action is due, with the true "
            "level of each trait, over random personas that name up to three traits.",
            answers.each("Vectors (rows) and traits (columns),", questions.READ, "trait", "target", method=method),
        ),
        Section(
            "Does a vector do what the persona does, trait by trait?",
            "Levels between the vector and its opposite, as a share of what the persona does, at all tokens. Methods "
            f"are compared at dose {dose:g}, in shares of the residual norm.",
            [
                *answers.each("Methods,", questions.SHARE, "method", "trait", **pushed),
                *answers.each(f"Doses of {shown},", questions.SHARE, "dose", "trait", method=method, timing="all"),
            ],
        ),
        Section(
            "How much likelier does it make the trait's own action?",
            f"Probability of the action that the trait moves most, on the high side minus on the low one: of personas, "
            f"and of vectors against their opposites at dose {dose:g} and all tokens. The law's row is the truth of "
            "personas.",
            answers.each("Methods,", questions.CHANCE, "method", "trait", "law", **pushed),
        ),
        Section(
            "What leaks to other traits, one by one?",
            "The largest effect on another trait's axis, as a share of the effect on the own one. A truth of one axis "
            "has no other.",
            answers.each("Methods,", questions.LEAK, "method", "trait", **pushed),
        ),
        Section(
            "One axis or five?",
            "Participation ratio of the traits' effects on the actions: 1 where all move the same axis, 5 where each "
            "moves its own by as much. The truth's own ratio: "
            + "; ".join(f"{name} {truth:.2f}" for name, truth in _truths(answers.all).items())
            + ".",
            [
                answers.pivot(
                    f"Log-probabilities of decisions, at dose {dose:g}; personas as they are.",
                    questions.AXES,
                    "method",
                    "organism",
                ),
                answers.pivot(
                    "Outcomes of the first training's rollouts, as in the report; of random directions the range over "
                    "sets of five.",
                    questions.ROLLOUT_AXES,
                    "method",
                    "organism",
                ),
                answers.pivot(
                    "Components of the rollouts' outcomes, of the first training, that their null doesn't reach.",
                    questions.ABOVE_NULL,
                    "method",
                    "organism",
                ),
            ],
        ),
        Section(
            "Which tokens carry the decision?",
            f"Share of what the persona does, by the tokens that the {shown} vector is added to, at dose {dose:g}. "
            "Prefill is the header and the task, decode the agent's own thought and cues; the decision token is the "
            "cue behind which the action stands.",
            answers.each("Timings,", questions.SHARE, "timing", "trait", method=method, dose=dose),
        ),
        Section(
            "How often is a random direction called a finding?",
            f"{questions.DIRECTIONS} random directions of the vector's length at its layer, each tested on the trait's "
            "own axis, and all conditions of the first training's rollouts with the tests of the report.",
            [
                *(
                    answers.pivot(f"Share of random directions: {question}.", question, "trait", "organism")
                    for question in (questions.SIGNIFICANT, questions.SIZEABLE, questions.AS_LARGE)
                ),
                *answers.each(f"Share of conditions {questions.REPORTED},", questions.REPORTED, "method", "dose"),
            ],
        ),
    ]


def _truths(table: pd.DataFrame) -> dict[str, float]:
    found = table[table["question"] == questions.AXES]
    return {str(name): float(group["truth"].iloc[0]) for name, group in found.groupby("organism", sort=False)}
