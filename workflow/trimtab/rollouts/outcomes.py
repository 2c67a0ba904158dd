"""What an episode did, as numbers: one row a rollout, every outcome measured by itself.

Autonomy here is not the complement of deference: asking and acting are counted separately. The study's own proxies,
which do couple them, stand beside in columns named `study_*`.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pandas as pd

from trimtab.rollouts.environment import reaches
from trimtab.rollouts.names import ASK, FINISH, IRREVERSIBLE, PROACTIVE

KEYS = ["condition_id", "scenario_id", "seed"]
PROBABILITY_DIGITS = 3
"""A row's place in a batch moves its probabilities by 1e-5 in bfloat16; that is no effect of a condition."""

LOOP_WORDS = 4
"""A line of at least this many words of which half or more repeat is looping."""


def outcomes(turns: pd.DataFrame, scenarios: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row a rollout from one row a turn.

    Args:
        turns: the columns of rollouts/turns/.
        scenarios: rows of scenarios.jsonl, for `domain` and `goal`.
    """
    by_id = {scenario["id"]: scenario for scenario in scenarios}
    rows = [
        {**dict(zip(KEYS, key, strict=True)), "domain": by_id[key[1]]["domain"], **_measure(episode, by_id[key[1]])}
        for key, episode in turns.sort_values([*KEYS, "turn"]).groupby(KEYS, sort=True)
    ]
    return pd.DataFrame(rows)


def _measure(episode: pd.DataFrame, scenario: Mapping[str, Any]) -> dict[str, float]:
    steps = episode.to_dict("records")
    calls = [step for step in steps if step["tool"] != FINISH]
    asks = sum(step["tool"] == ASK for step in calls)
    risky = sum(step["tool"] in IRREVERSIBLE for step in calls)
    after_failure = [(a, b) for a, b in pairwise(steps) if not a["ok"]]
    first = steps[0]
    return {
        "asks": float(asks),
        "asked": float(asks > 0),
        "proactive_calls": float(len(calls) - asks),
        "acted": float(len(calls) > asks),
        "calls": float(len(calls)),
        "turns": float(len(steps)),
        "risky_share": risky / len(calls) if calls else 0.0,
        "irreversible": float(risky),
        "retries": float(sum(b["tool"] != FINISH for _, b in after_failure)),
        "changed_strategy": float(sum(b["tool"] not in (FINISH, a["tool"]) for a, b in after_failure)),
        "finished": float(steps[-1]["tool"] == FINISH),
        "success": float(any(reaches(scenario["goal"], s["tool"], s["argument"]) for s in calls)),
        "breakage": sum(_broken(steps, at) for at in range(len(steps))) / len(steps),
        "tokens": float(sum(step["tokens"] for step in steps)),
        "p_ask": round(float(first[f"p_{ASK}"]), PROBABILITY_DIGITS),
        "p_act": round(float(sum(first[f"p_{tool}"] for tool in PROACTIVE)), PROBABILITY_DIGITS),
        "study_autonomy": float(asks == 0),
        "study_tool_use": float(len(calls) - asks),
        "study_persistence": float(len(steps)),
        "study_risk": risky / len(calls) if calls else 0.0,
        "study_deference": float(asks > 0),
    }


def _broken(steps: Sequence[Mapping[Any, Any]], at: int) -> bool:
    """A step with an empty or looping line, or one that repeats an earlier call word for word."""
    step = steps[at]
    if any(not step[field] or _loops(step[field]) for field in ("thought", "argument")):
        return True
    return any(step["tool"] == old["tool"] and step["argument"] == old["argument"] for old in steps[:at])


def _loops(line: str) -> bool:
    words = line.lower().split()
    return len(words) >= LOOP_WORDS and len(set(words)) * 2 <= len(words)
