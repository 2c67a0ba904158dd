"""The league's page: what can be told for each purpose, a picture, and a table a group of columns.

Layout and the standing text are in workflow/report/league.html.j2. Numbers come from `trimtab.league.table` alone.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from trimtab.league.agreement import Agreement
from trimtab.league.columns import COLUMNS, COST, EFFECT, EQUAL_KL, EQUAL_SHARE, Column
from trimtab.league.names import called
from trimtab.league.picture import CAPTION
from trimtab.league.table import ALL, League, groups
from trimtab.league.winners import ENOUGH, Purpose, purposes
from trimtab.organism.tables import Cell, Section, Table
from trimtab.report.page import inline_svg
from trimtab.report.templates import fill

LISTED = 6
"""Tied methods that are named; of more, the first and how many."""
PARTS: Mapping[str, Mapping[str, Column]] = {
    "At one KL": EQUAL_KL,
    "At one share of the residual norm": EQUAL_SHARE,
    "Cost": COST,
}


def page(
    rows: pd.DataFrame,
    found: League,
    missing: pd.DataFrame,
    picture: Path,
    agreements: Mapping[str, Sequence[Agreement]],
    kl: float,
    dose: float,
) -> str:
    """The page's text.

    Args:
        rows: as `trimtab.league.table.league` takes them.
        missing: organism, method and why, of what could not be made.
        picture: the drawn SVG.
        agreements: name of another model -> how far its order is this one.
        kl: nats at which methods are compared.
        dose: the share at which directions are.
    """
    told = purposes(rows)
    sections = [
        *(_part(title, columns, found, kl, dose) for title, columns in PARTS.items()),
        _tests(found),
        *([_agreement(agreements)] if agreements else []),
        _missing(rows, missing),
    ]
    return fill(
        "league.html.j2",
        unit=unit(rows),
        short=[{"purpose": each.purpose, "said": said(each)} for each in told],
        rule=f"Purposes besides the first are asked of methods that do at least {ENOUGH:.0%} of what the best does.",
        picture=inline_svg(picture, "league", CAPTION),
        caption=CAPTION,
        sections=sections,
    )


def said(one: Purpose) -> str:
    """The winner of a purpose, or that none can be told."""
    if one.winner:
        return f"{called(one.winner)} (of {one.candidates} methods; Friedman p {one.p:.2g})."
    names = [called(each) for each in one.tied[:LISTED]]
    more = f" and {len(one.tied) - LISTED} more" if len(one.tied) > LISTED else ""
    listed = f"{', '.join(names)}{more}"
    return f"none can be told; {len(one.tied)} of {one.candidates} methods can't be told from the best: {listed}."


def unit(rows: pd.DataFrame) -> str:
    """How many organisms and methods the rows are of."""
    counts = rows.groupby("truth", sort=False)["organism"].nunique()
    listed = " and ".join(f"{count} of the truth {truth}" for truth, count in counts.items())
    methods = rows["method"].nunique()
    return (
        f"{rows['organism'].nunique()} organisms: {listed}; {methods} methods, nulls and asking in the prompt included."
    )


def _part(title: str, columns: Mapping[str, Column], found: League, kl: float, dose: float) -> Section:
    """Methods by columns, for each group of organisms, in the order of their effect."""
    tables = []
    for truth, own in found.table.groupby("truth", sort=False):
        by_column = {name: part.set_index("method") for name, part in own.groupby("column")}
        shown = [name for name in columns if by_column[name]["estimate"].notna().any()]
        order = by_column[EFFECT].sort_values("estimate", ascending=False, kind="stable").index
        methods = [name for name in order if any(by_column[each].loc[name, "organisms"] for each in shown)]
        body = [[Cell(called(name)), *(_cell(by_column[each].loc[name]) for each in shown)] for name in methods]
        if body:
            tables.append(Table(_group(str(truth)), ["method", *(columns[each].label for each in shown)], body))
    strength = {"At one KL": f"{kl:g} nats. ", "At one share of the residual norm": f"Dose {dose:g}. "}.get(title, "")
    meanings = " ".join(f"{column.label.capitalize()}: {column.sentence}" for column in columns.values())
    return Section(title, strength + meanings, tables)


def _group(truth: str) -> str:
    return "All organisms." if truth == ALL else f"Organisms of the truth {truth}."


def _cell(row: Any) -> Cell:
    """Mean, interval, rank and its range."""
    if not row["organisms"]:
        return Cell("")
    text = _number(row["estimate"])
    if pd.notna(row["lower"]):
        text += f" [{_number(row['lower'])}, {_number(row['upper'])}]"
    if pd.notna(row["rank"]):
        text += f"; {row['rank']:g}"
        if pd.notna(row["rank_lower"]):
            text += f" [{row['rank_lower']:g}, {row['rank_upper']:g}]"
        text += " ≈" if row["tied"] else ""
    return Cell(text)


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _tests(found: League) -> Section:
    tied = found.table[found.table["tied"].eq(True)].groupby(["truth", "column"]).size()
    body = []
    for row in found.tests[found.tests["methods"] > 0].to_dict("records"):
        truth, column, p, least = (row[name] for name in ("truth", "column", "friedman_p", "critical_difference"))
        told = ["" if pd.isna(p) else f"{p:.2g}", "" if pd.isna(least) else f"{least:.1f}"]
        counts = [row["organisms"], row["methods"], *told, tied.get((truth, column), 0)]
        body.append([Cell(_group(truth)), Cell(COLUMNS[column].label), *(Cell(str(each)) for each in counts)])
    head = ["organisms", "column", "organisms", "methods", "Friedman p", "critical difference", "tied with the best"]
    return Section(
        "What can be told apart",
        "Friedman's test asks whether methods differ at all in their ranks within organisms; two methods whose mean "
        "ranks differ by less than Nemenyi's critical difference can't be told apart. It grows with the number of "
        "methods, so a league of fewer methods, or of more organisms, tells more.",
        [Table("By column.", head, body)],
    )


def _agreement(found: Mapping[str, Sequence[Agreement]]) -> Section:
    body = [
        [
            Cell(other),
            Cell(each.name),
            Cell(f"{each.estimate:.2f} [{each.lower:.2f}, {each.upper:.2f}]"),
            Cell(str(each.methods)),
        ]
        for other, agreements in found.items()
        for each in agreements
    ]
    return Section(
        "Does the order hold on another model?",
        "Rank correlation of what methods recover here, mean over all organisms, with what they add to the chance of "
        "the traits' actions on another model at the same KL, mean over traits (vectors/comparison.csv of its run). "
        "In brackets: 95 % of the bootstrap draws of organisms and methods together.",
        [Table("Other models.", ["model", "correlation", "estimate", "methods in common"], body)],
    )


def _missing(rows: pd.DataFrame, missing: pd.DataFrame) -> Section:
    """Methods without a number in some organism, and why."""
    of = {truth: own["organism"].nunique() for truth, own in groups(rows).items()}
    whole = max(of.values())
    there = rows[rows[EFFECT].notna()].groupby("method")["organism"].nunique()
    body = []
    for method in rows["method"].unique():
        count = int(there.get(method, 0))
        if count < whole:
            whys = missing.loc[missing["method"] == method, "why"].unique()
            why = "; ".join(map(str, whys)) or "for too many traits no length comes to this KL"
            body.append([Cell(called(str(method))), Cell(f"{count} of {whole}"), Cell(why)])
    return Section(
        "What is missing",
        "A method has a number in an organism if it could be made for more than half of the traits and comes to the KL "
        "there (rows.csv says for how many), and a rank if it has a number in all organisms.",
        [Table("Methods with fewer organisms.", ["method", "organisms", "why"], body)] if body else [],
    )
