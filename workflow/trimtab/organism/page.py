"""The page that sets what was recovered beside the truth, of one organism or of several side by side.

Tables only: answers, joined over each organism's trainings and put where they can be compared. Layout is in
workflow/report/recovery.html.j2.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from trimtab.organism import questions
from trimtab.organism.claims import MADE, claims
from trimtab.organism.strips import Scale, Strip
from trimtab.organism.trainings import joined, over, spread
from trimtab.report.templates import fill
from trimtab.vectors import methods


class Training(NamedTuple):
    """One training of an organism."""

    answers: pd.DataFrame
    """Its recovery.csv, or its answers.csv where nothing was rolled out."""
    processor: str
    """Vector instructions of the processor that trained it."""


Organisms = Mapping[str, Sequence[Training]]
"""The trainings of each organism, by the name of its experiment; the first one has rollouts."""


@dataclass(frozen=True)
class Cell:
    text: str
    strip: Strip | None = None
    """Each training's value and the interval over them, where there are several."""


@dataclass(frozen=True)
class Table:
    caption: str
    head: list[str]
    rows: list[list[Cell]]


@dataclass(frozen=True)
class Section:
    title: str
    text: str
    tables: list[Table]


def page(organisms: Organisms, dose: float, method: str) -> str:
    """The page's text.

    Args:
        dose: the one at which methods, timings and random directions are compared.
        method: the one whose timings are compared.
    """
    answers = _Answers(organisms)
    short = {name: _short(answers.all[answers.all["organism"] == name], dose, method) for name in organisms}
    several = {name: trainings for name, trainings in organisms.items() if len(trainings) > 1}
    sections = _sections(answers, dose, method)
    if several:
        sections = [_claimed(several, dose, method), _spread(answers, several), *sections]
    unit = [_unit(name, trainings) for name, trainings in organisms.items()]
    return fill("recovery.html.j2", short=short, sections=sections, unit=unit, several=bool(several))


def _unit(name: str, trainings: Sequence[Training]) -> str:
    """What an organism's numbers are a sample of, and which processors give the same bytes again."""
    where = " and ".join(sorted({training.processor for training in trainings}))
    many = "one training" if len(trainings) == 1 else f"{len(trainings)} trainings"
    return f"{name}: {many} ({where})"


class _Answers:
    """The answers of all organisms, over their trainings, as one table."""

    def __init__(self, organisms: Organisms) -> None:
        self.names = list(organisms)
        tables = [
            joined([training.answers for training in trainings]).assign(organism=name)
            for name, trainings in organisms.items()
        ]
        self.all = pd.concat(tables, ignore_index=True)

    def pivot(
        self, caption: str, question: str, row: str, column: str, truth: str | None = None, **only: object
    ) -> Table:
        """Answers to one question, a cell each.

        Args:
            row, column: columns of the table.
            truth: name of a first row that has what the law says, where it says one thing a column.
            only: values of other columns; an answer that has none is shown too.
        """
        chosen = self.all[self.all["question"] == question]
        for name, value in only.items():
            chosen = chosen[(chosen[name] == value) | chosen[name].isna()]
        heads, names = (list(dict.fromkeys(chosen[key].dropna())) for key in (column, row))
        if chosen.duplicated([row, column]).any():
            raise ValueError(f"{caption} two answers for one {row} and {column}: an answer's other keys are not named")
        scale = Scale(value for values in chosen["values"] for value in values)
        cells = {
            (getattr(one, row), getattr(one, column)): Cell(_cell(one), _strip(one, scale))
            for one in chosen.itertuples()
        }
        rows = [[Cell(_plain(name)), *(cells.get((name, head), Cell("")) for head in heads)] for name in names]
        if truth is not None and rows:
            said = chosen.drop_duplicates(column).set_index(column)["truth"]
            rows.insert(0, [Cell(truth), *(Cell(f"{said[head]:.3g}") for head in heads)])
        return Table(caption, [row, *map(_plain, heads)], rows)

    def each(
        self, caption: str, question: str, row: str, column: str, truth: str | None = None, **only: object
    ) -> list[Table]:
        """The same of every organism, those without an answer left out."""
        found = [
            self.pivot(f"{caption} {name}.", question, row, column, truth, organism=name, **only) for name in self.names
        ]
        return [table for table in found if table.rows]


def _short(table: pd.DataFrame, dose: float, method: str) -> list[str]:
    """One organism in a few sentences; each range goes over the traits, whose intervals are in the tables.

    Args:
        table: its answers, joined over trainings.
    """
    name = _plain(method)
    asked = table.set_index("question")
    follows = asked.loc[[questions.KL]].query("method == 'model'").iloc[0]
    persona = asked.loc[[questions.MOVED]].query("method == 'persona' and truth != 0")
    read = asked.loc[[questions.READ]].query("method == @method")
    own, others = read[read["trait"] == read["target"]], read[read["trait"] != read["target"]]
    share = asked.loc[[questions.SHARE]].query("method == @method and dose == @dose")
    at_dose = asked.loc[[questions.SHARE]].query("dose == @dose")
    compared = at_dose[at_dose["method"].isin(MADE) & at_dose["method"].ne(method)]
    by_timing = {timing: rows["estimate"] for timing, rows in share.groupby("timing")}
    chance = asked.loc[[questions.CHANCE]].query("method == @method and dose == @dose")
    axes = {row.method: row for row in asked.loc[[questions.AXES]].itertuples()}
    seen = asked.loc[[questions.ROLLOUT_AXES]].query("method == @method").iloc[0]
    significant, sizeable = (
        asked.loc[[question]]["estimate"] for question in (questions.SIGNIFICANT, questions.SIZEABLE)
    )
    lines = [
        f"Decisions are {_cell(follows)} nats from the law, and personas move their own trait by "
        f"{_range(persona['estimate'].abs())} levels; the truth is 4.",
        f"Read along the vector of its {name}, the true level of its trait has a correlation of "
        f"{_range(own['estimate'])}, that of other traits at most {others['estimate'].abs().max():.2f} in size.",
        f"At dose {dose:g} and all tokens the {name} vectors do {_range(by_timing['all'])} of what the personas do, "
        f"and change the probability of the trait's own action by {_range(chance['estimate'] / chance['truth'])} of "
        "what the law gives a persona.",
    ]
    if questions.LEAK in asked.index:
        leak = asked.loc[[questions.LEAK]].query("method == @method and dose == @dose and timing == 'all'")["estimate"]
        lines.append(f"Their largest effect on another trait is {_range(leak)} of the one on their own.")
    return [
        *lines,
        f"Their effects have a participation ratio of {_interval(axes[method])}; the personas' is "
        f"{_interval(axes['persona'])} and the truth's {_number(axes[method], 'truth')}. From the rollouts alone, of "
        f"one training, the report finds {_interval(seen)}.",
        f"Added at the decision token alone the vectors do {_range(by_timing['decision token'])} of what the personas "
        f"do, at given text alone {_range(by_timing['prefill'])}.",
        f"Of random directions of the same length, {_range(significant)} are significant on a trait's axis by a "
        f"paired t test, and {_range(sizeable)} do at least {questions.NEGLIGIBLE:.0%} of what the persona does.",
        *(
            f"Vectors of the {_plain(other)} do {_range(rows['estimate'])} of what the personas do."
            for other, rows in compared.groupby("method")
        ),
    ]


def _range(values: pd.Series) -> str:
    low, high = f"{values.min():.2f}", f"{values.max():.2f}"
    return low if low == high else f"{low} to {high}"


def _interval(one: object) -> str:
    return f"{_number(one, 'estimate')} [{_number(one, 'lower')}, {_number(one, 'upper')}]"


def _number(one: object, key: str) -> str:
    return f"{getattr(one, key):.2f}"


def _claimed(organisms: Organisms, dose: float, method: str) -> Section:
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


def _spread(answers: _Answers, organisms: Organisms) -> Section:
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


def _sections(answers: _Answers, dose: float, method: str) -> list[Section]:
    pushed: dict[str, Any] = {"dose": dose, "timing": "all"}
    shown = _plain(method)
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
            "Does a vector do what the persona does?",
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
            "What leaks to other traits?",
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


def _plain(value: object) -> str:
    """A cell of the table in words; of a method its own label."""
    if value in methods.known():
        return methods.wording(str(value)).inside
    return f"{value:g}" if isinstance(value, float) else str(value).replace("_", " ")


def _cell(one: object) -> str:
    estimate, lower, upper = (getattr(one, key) for key in ("estimate", "lower", "upper"))
    return f"{estimate:.3g}" if math.isnan(lower) else f"{estimate:.3g} [{lower:.3g}, {upper:.3g}]"


def _strip(one: object, scale: Scale) -> Strip | None:
    values, lower, upper = (getattr(one, key) for key in ("values", "lower", "upper"))
    return scale.strip(values, lower, upper)
