"""What every method needs, costs and gave on the default model, in docs/methods.md.

`python docs/methods.py results/methods` takes a run of the preset `methods`: it writes docs/gallery/methods.csv, one
row a method and trait, and, of that table alone, what stands between two comments of the page. The picture is the
report's.
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from block import ROOT, Block, as_markdown

from trimtab.league.columns import EFFECT
from trimtab.league.names import called
from trimtab.league.seconds import seconds
from trimtab.vectors import methods
from trimtab.vectors.nulls import is_null

PAGE = Path(__file__).with_suffix(".md")
TABLE = ROOT / "docs/gallery/methods.csv"
LEAGUE = ROOT / "docs/gallery/league.csv"
PICTURE = "figures/methods.svg"
BLOCK = Block("methods", "docs/methods.py")
COSTS = ("seconds", "forwards", "backwards")
TRUTHS = ("five_axes", "one_axis")


def gathered(run: Path) -> pd.DataFrame:
    """One row a method and trait: its effect on the trait's own first actions and its costs, or why it has none."""
    comparison = pd.read_csv(run / "vectors/comparison.csv")
    own = comparison[comparison["trait"] == comparison["measure"]].drop(columns="measure")
    own = own[~own["method"].map(is_null)]
    logs = {trait: (run / f"logs/vectors/{trait}.log").read_text(encoding="utf-8") for trait in own["trait"].unique()}
    not_made = pd.read_csv(run / "vectors/not_made.csv")[["method", "trait", "why"]]
    left_out = pd.concat([not_made, *_beyond_reach(pd.read_csv(run / "vectors/kl.csv"))])
    return own.merge(seconds(logs), how="left").merge(left_out, how="outer").sort_values(["method", "trait"])


def _beyond_reach(lengths: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Of vectors that never have a KL, or edits that touch too few tokens for it, which KL that is."""
    for target, of in lengths[lengths["length"].isna() & (lengths["target"] > 0)].groupby("target"):
        own = of[~of["method"].map(is_null)][["method", "trait"]]
        yield own.assign(why=f"no strength of it comes to {target:g} nats")


def shown(table: pd.DataFrame, league: pd.DataFrame) -> Iterator[str]:
    """The lines of the page: methods that were compared, the one with most effect first; then what was left out.

    Args:
        table: methods.csv.
        league: the league's table, which has some of the methods.
    """
    traits = sorted(table["trait"].unique())
    recovered = {truth: _recovered(league, truth) for truth in TRUTHS}
    heads = ["method", *(f"{trait.replace('_', ' ')} (95 %)" for trait in traits), "random as good", "needs"]
    heads += ["seconds", "forwards", "backwards", *(f"organisms, {truth.replace('_', ' ')}" for truth in TRUTHS)]
    made, rows = table[table["estimate"].notna()], []
    for method in made.groupby("method")["estimate"].mean().sort_values(ascending=False, kind="stable").index:
        of = made[made["method"] == method].set_index("trait").reindex(traits)
        cells = [_effect(row) for _, row in of.iterrows()]
        cells += [", ".join(_ranks(of)), ", ".join(sorted(_needs(method)))]
        cells += [f"{of[cost].mean():.0f}" if of[cost].notna().any() else "" for cost in COSTS]
        cells += [f"{found[method]:.2f}" if method in found else "" for found in recovered.values()]
        rows.append([called(method), *cells])
    yield from as_markdown(heads, rows)
    yield ""
    for why, of in table[table["why"].notna()].groupby("why", sort=False):
        names = ", ".join(f"{called(row['method'])} ({row['trait']})" for row in of.to_dict("records"))
        yield f"- Left out: {names}: {why}"


def _recovered(league: pd.DataFrame, truth: str) -> dict[str, float]:
    found = league[(league["truth"] == truth) & (league["column"] == EFFECT)].dropna(subset="estimate")
    return dict(zip(found["method"], found["estimate"], strict=True))


def _effect(row: pd.Series) -> str:
    return "" if pd.isna(row["estimate"]) else f"{row['estimate']:.2f} ({row['lower']:.2f} to {row['upper']:.2f})"


def _ranks(rows: pd.DataFrame) -> Iterator[str]:
    for row in rows.dropna(subset="random_as_large").to_dict("records"):
        yield f"{row['random_as_large']:.0f}/{row['random_draws']:.0f}"


def _needs(method: str) -> set[str]:
    return methods.needs(method) if methods.exists(method) else set()


if __name__ == "__main__":
    run = Path(sys.argv[1])
    gathered(run).to_csv(TABLE, index=False)
    shutil.copyfile(run / "report/figures/equal_kl.svg", ROOT / "docs" / PICTURE)
    BLOCK.write(PAGE, shown(pd.read_csv(TABLE), pd.read_csv(LEAGUE)))
