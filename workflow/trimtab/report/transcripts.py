"""Episodes for the page's comparison: some scenarios, chosen by a rule that cannot see results, under every condition.

The page holds them as JSON and shows them as text; nothing here is markup.
"""

from typing import Any

import pandas as pd

from trimtab.agent.turn import Turn, turns_of
from trimtab.report import words
from trimtab.report.run import WholeRun, each
from trimtab.statistics.declared import BASELINE


def transcripts(run: WholeRun) -> dict[str, Any]:
    """Scenarios and conditions to choose from, the first choice, and the turns of each."""
    seed = run.turns["seed"].min()
    chosen = _scenarios(run.outcomes, run.config.report.transcripts)
    turns = run.turns[(run.turns["seed"] == seed) & run.turns["scenario_id"].isin([name for name, _ in chosen])]
    # sorting once makes the order independent of how rollouts were batched
    turns = turns.sort_values(["scenario_id", "condition_id", "turn"], kind="stable")
    episodes: dict[str, dict[str, list[dict[str, str | bool]]]] = {name: {} for name, _ in chosen}
    for (scenario, condition), group in turns.groupby(["scenario_id", "condition_id"], sort=False):
        episodes[str(scenario)][str(condition)] = [_shown(turn) for turn in turns_of(group)]
    declared = list(run.confirmatory.values())
    return {
        "scenarios": [{"id": name, "domain": domain} for name, domain in chosen],
        "conditions": [{"id": name, "label": words.condition(one)} for name, one in run.design.items()],
        "first": [BASELINE, declared[0] if declared else BASELINE],
        "episodes": episodes,
    }


def _scenarios(outcomes: pd.DataFrame, wanted: int) -> list[tuple[str, str]]:
    """The first scenarios of each domain in turn, in the order of their ids."""
    known = outcomes[["scenario_id", "domain"]].drop_duplicates().sort_values("scenario_id")
    known["place"] = known.groupby("domain").cumcount()
    picked = known.sort_values(["place", "domain"], kind="stable").head(wanted)
    return [(str(row.scenario_id), str(row.domain)) for row in each(picked)]


def _shown(turn: Turn) -> dict[str, str | bool]:
    """What the page shows of a turn."""
    names = ("prompt", "thought", "tool", "argument", "observation")
    return {**{name: getattr(turn, name) for name in names}, "ok": bool(turn.ok)}
