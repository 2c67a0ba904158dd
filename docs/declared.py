"""Writes docs/declared.md: which method the default experiment declares, chosen without looking at a scenario.

`python docs/declared.py results/smollm2` reads what the run's own vectors do to their traits' first actions on
development data: the tasks of contrast prompts (tasks.yaml, `contrast`), each at the point of its trait's measure,
after a thought without a lean. No rollout is run on them and no scenario is among them. Methods are ranked by what
they do beyond their own null, mean over traits; one without such a null can't be declared, since nothing would say that
what it does is the trait's.
"""

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import yaml

from trimtab.agent import protocols
from trimtab.agent.calibration import Calibration
from trimtab.agent.points import Decisions, conversations
from trimtab.forward.sites import Sites
from trimtab.model.source import from_manifest
from trimtab.prompts import resources
from trimtab.report import words
from trimtab.steering.edits import after
from trimtab.vectors.comparison import measures
from trimtab.vectors.decisions import DecisionReader, Situation, as_table, at_kl
from trimtab.vectors.verdicts import TRAIT, against_nulls

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/declared.md"
RESOURCES = ROOT / "workflow/resources"
LEVEL = 0.95


def decided(run: Path, kl: float, primary: dict[str, str]) -> Iterator[pd.DataFrame]:
    """Decisions on the development tasks under every vector of each trait, at its measure's point."""
    described, model, tokenizer = from_manifest(run / "model/manifest.json")
    protocol = protocols.read(RESOURCES / "few_shot.yaml", tokenizer)
    offsets = Calibration.read(run / "rollouts/calibration.json").offsets
    known, tasks = Decisions.read(RESOURCES / "decisions.yaml"), resources.tasks(RESOURCES / "tasks.yaml")["contrast"]
    for trait in primary:
        point = known.point_of(trait)
        asked = enumerate(conversations(known.points[point], tasks))
        read = [Situation(point, f"task_{number}", messages) for number, messages in asked]
        edits, _ = at_kl(sorted(run.glob(f"vectors/*/{trait}.safetensors")), kl, Sites.of(described))
        start = min(after(each) for each in edits.values())
        reader = DecisionReader(model, protocol, offsets, read, start)
        chances = reader.chances([(), *edits.values()])
        yield as_table(dict(zip(["none", *edits], chances, strict=True)), trait, read, protocol.tools)


def ranked(told: pd.DataFrame) -> pd.DataFrame:
    """One row a method, best first: nats of its traits' log-odds, and beyond its own null and random directions.

    Args:
        told: what `trimtab.vectors.verdicts.against_nulls` gives.
    """
    own, random = told[told["without"] == TRAIT], told[told["without"] != TRAIT]
    found = pd.DataFrame(
        {
            "moved": told.drop_duplicates(["method", "trait"]).groupby("method")["estimate"].mean(),
            "over_null": own.groupby("method")["gain"].mean(),
            # of several kinds of random directions, the one that does most
            "over_random": random.groupby(["method", "trait"])["gain"].min().groupby("method").mean(),
            "shown": own[(own["p_corrected"] < 1 - LEVEL) & (own["gain"] > 0)].groupby("method")["trait"].nunique(),
        }
    )
    return found.fillna({"shown": 0}).sort_values(["over_null", "over_random"], ascending=False, na_position="last")


def page(table: pd.DataFrame, declared: str, kl: float, traits: int) -> str:
    """The page, whatever the numbers are."""
    best = str(table["over_null"].idxmax())
    label = {method: words.method(method) for method in {best, declared, *table.index}}
    verdict = f"The best of them is {label[best].lower()}"
    verdict += (
        ", which the default experiment declares"
        if best == declared
        else f"; the default experiment declares {label[declared].lower()}"
    )
    text = (
        "The default experiment's method is chosen on development data alone: the tasks of contrast prompts, each at "
        "the point where its trait is measured. No scenario is read. Each method has its vectors of the default run, "
        f"at the same KL ({kl:g} nats). Figures are nats of the log-odds of the first actions that a trait's measure "
        "counts, mean over traits: what the vector does, what it does beyond its own null (the same recipe without the "
        "trait), and beyond random directions (the kind that does more)."
    )
    lines = ["<!-- written by docs/declared.py -->", "# Which method is declared", ""]
    lines += ["```sh", "python docs/declared.py results/smollm2", "```", "", textwrap.fill(text, 119), ""]
    lines += [
        f"| method | moved | beyond its own null | beyond random directions | shown against its null, of {traits} |"
    ]
    lines += ["|---|---|---|---|---|"]
    for method, row in table.iterrows():
        cells = [f"{row[name]:+.2f}" if pd.notna(row[name]) else "none made" for name in ("moved", "over_null")]
        lines.append(
            f"| {label[str(method)]} | {cells[0]} | {cells[1]} | {row['over_random']:+.2f} | {row['shown']:.0f} |"
        )
    return "\n".join([*lines, "", f"{verdict}. The study's filter stays as an arm with a name.", ""])


if __name__ == "__main__":
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    kl, primary = config["vectors"]["comparison_kl"], config["statistics"]["primary"]
    measured = Decisions.read(RESOURCES / "decisions.yaml").measured(primary)
    read = pd.concat(decided(Path(sys.argv[1]), kl, primary), ignore_index=True)
    table = ranked(against_nulls(measures(read, measured), LEVEL))
    print(table.round(3).to_string())
    PAGE.write_text(page(table, config["rollouts"]["study"]["method"], kl, len(primary)), encoding="utf-8")
