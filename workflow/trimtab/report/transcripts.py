"""Episodes for the page's comparison: some scenarios, chosen by a rule that cannot see results, under every condition.

The page holds them as JSON and shows them as text; nothing here is markup.
"""

from typing import Any

import pandas as pd

from trimtab.artifacts.files import records
from trimtab.report import words
from trimtab.report.run import Run, each
from trimtab.statistics.declared import BASELINE


def transcripts(run: Run) -> dict[str, Any]:
    """Scenarios and conditions to choose from, the first choice, and the turns of each."""
    seed = run.turns["seed"].min()
    chosen = _scenarios(run.outcomes, run.config["report"]["transcripts"])
    turns = run.turns[(run.turns["seed"] == seed) & run.turns["scenario_id"].isin([name for name, _ in chosen])]
    # sorting once makes the order independent of how rollouts were batched
    turns = turns.sort_values(["scenario_id", "condition_id", "turn"], kind="stable")
    episodes: dict[str, dict[str, list[dict[str, Any]]]] = {name: {} for name, _ in chosen}
    for (scenario, condition), group in turns.groupby(["scenario_id", "condition_id"], sort=False):
        episodes[str(scenario)][str(condition)] = [_turn(row) for row in records(group)]
    declared = list(run.confirmatory.values())
    return {
        "scenarios": [{"id": name, "domain": domain} for name, domain in chosen],
        "conditions": [{"id": row["condition_id"], "label": words.condition(row)} for row in records(run.conditions)],
        "first": [BASELINE, declared[0] if declared else BASELINE],
        "episodes": episodes,
    }


def _scenarios(outcomes: pd.DataFrame, wanted: int) -> list[tuple[str, str]]:
    """The first scenarios of each domain in turn, in the order of their ids."""
    known = outcomes[["scenario_id", "domain"]].drop_duplicates().sort_values("scenario_id")
    known["place"] = known.groupby("domain").cumcount()
    picked = known.sort_values(["place", "domain"], kind="stable").head(wanted)
    return [(str(row.scenario_id), str(row.domain)) for row in each(picked)]


def _turn(row: dict[str, Any]) -> dict[str, Any]:
    keys = ("prompt", "thought", "tool", "argument", "observation")
    return {**{key: str(row[key] or "") for key in keys}, "ok": bool(row["ok"])}
