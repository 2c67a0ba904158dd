"""What a finished league found, in docs/league.md and the README: what can be told, its table, picture and page.

`python docs/league.py results/league` copies page and tables to docs/gallery and the picture to docs/figures, and
writes what stands between two comments in each page. Sentences and numbers are the league's own.
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from block import ROOT, Block, as_markdown

from trimtab.league.columns import COLUMNS, EFFECT, EQUAL_KL
from trimtab.league.names import called
from trimtab.league.page import said, unit
from trimtab.league.table import ALL
from trimtab.league.winners import purposes

BLOCK = Block("league", "docs/league.py")
PICTURE, GALLERY = "figures/league.svg", ROOT / "docs/gallery"
TABLES = ("rows", "league", "agreement")
SHOWN = [*(name for name in EQUAL_KL if name != EFFECT), "passes"]


def table(league: pd.DataFrame) -> Iterator[str]:
    """Methods with an effect, the one with most first: the effect for each truth with its interval, and means over all
    organisms.

    Args:
        league: league.csv.
    """
    of = {key: part.set_index("method") for key, part in league.groupby(["truth", "column"])}
    effects = {f"{COLUMNS[EFFECT].label}, {truth}": of[truth, EFFECT] for truth in league["truth"].unique()}
    effects.pop(f"{COLUMNS[EFFECT].label}, {ALL}")
    others = {COLUMNS[name].label: of[ALL, name] for name in SHOWN}
    methods = of[ALL, EFFECT]["estimate"].dropna().sort_values(ascending=False, kind="stable").index
    # organisms of a truth may lack a method that others have
    effects = {label: each.reindex(methods) for label, each in effects.items()}
    rows = []
    for method in methods:
        cells = [cell(each.loc[method], interval=True) for each in effects.values()]
        cells += [cell(each.loc[method], interval=False) for each in others.values()]
        rows.append([called(str(method)), *cells])
    yield from as_markdown(["method", *effects, *others], rows)


def cell(row: pd.Series, interval: bool) -> str:
    if pd.isna(row["estimate"]):
        return ""
    if interval and not pd.isna(row["lower"]):
        return f"{row['estimate']:.2f} ({row['lower']:.2f} to {row['upper']:.2f})"
    return f"{row['estimate']:.0f}" if row["estimate"] >= 100 else f"{row['estimate']:.2f}"


def found(rows: pd.DataFrame, league: pd.DataFrame, agreement: pd.DataFrame) -> Iterator[str]:
    """The lines of docs/league.md."""
    yield f"{unit(rows)} [The whole page](gallery/league.html), with intervals and ranks of every column.\n"
    yield from (f"- *{begun(each.purpose)}*: {said(each)}" for each in purposes(rows))
    yield from (f"\n{line}" for line in agreed(agreement))
    yield f"\n![Effect against capability lost, a point a method]({PICTURE})\n"
    yield "Means over organisms, the effect with its 95 % interval:\n"
    yield from table(league)


def begun(purpose: str) -> str:
    """With a capital, and those that it has."""
    return purpose[0].upper() + purpose[1:]


def agreed(agreement: pd.DataFrame) -> Iterator[str]:
    """Whether methods stand in the same order on other models, by Kendall's tau."""
    for row in agreement[agreement["name"] == "Kendall's tau"].to_dict("records"):
        found = "goes with" if row["lower"] > 0 else "goes against" if row["upper"] < 0 else "is not shown to go with"
        yield (
            f"The order of methods there {found} that on the default model (`{row['other']}`): Kendall's tau "
            f"{row['estimate']:.2f} ({row['lower']:.2f} to {row['upper']:.2f}) over {row['methods']} methods."
        )


def in_short(rows: pd.DataFrame, agreement: pd.DataFrame) -> Iterator[str]:
    """The lines of the README."""
    best = purposes(rows)[0]
    yield (
        f"[The league](docs/league.md) ([picture](docs/{PICTURE})) compares {rows['method'].nunique()} methods, nulls "
        f"and asking in the prompt included, on {rows['organism'].nunique()} *organisms*: tiny models that Trimtab "
        "trains itself, so that the true directions are known."
    )
    asked = "Which method moves a trait farthest by a push of one size?"
    yield " ".join([asked, begun(said(best)), *agreed(agreement)])


def pages() -> dict[Path, list[str]]:
    """What stands in each page, of the tables in docs/gallery."""
    rows, league, agreement = (pd.read_csv(GALLERY / f"{name}.csv") for name in TABLES)
    return {
        ROOT / "docs/league.md": [*found(rows, league, agreement)],
        ROOT / "README.md": [*in_short(rows, agreement)],
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name in ("league.html", *(f"{table}.csv" for table in TABLES)):
        shutil.copyfile(folder / name, GALLERY / name)
    shutil.copyfile(folder / "league.svg", ROOT / "docs" / PICTURE)
    for page, lines in pages().items():
        BLOCK.write(page, lines)
