"""Rollouts as logs of Inspect (UK AISI), for its viewer: one log a condition, one sample a scenario and seed.

A log is Inspect's JSON format, version 2, which `inspect view` and `inspect_ai.log.read_eval_log` open; no package of
Inspect is needed to write it. Messages are those of the turns as they were, outcomes are scores with their means. A
log has no time of its own: it says when the rollouts were written.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from trimtab.agent.names import FINISH, UNPARSED
from trimtab.agent.turn import Turn, turns_of
from trimtab.artifacts import files
from trimtab.artifacts.files import records
from trimtab.errors import TrimtabError
from trimtab.rollouts.conditions import read_conditions
from trimtab.rollouts.outcomes import KEYS

NOT_SCORES = (*KEYS, "domain")
STOPS = {"finish": "stop", "context": "model_length", "turns": "tool_calls", "call": "tool_calls"}


def write_logs(results: Path, out: Path, wanted: str | None = None) -> list[Path]:
    """Write a log for the `wanted` condition (for each, if None) of a results folder into `out`.

    Raises:
        TrimtabError: no rollouts are there, or not this condition.
    """
    table = results / "rollouts/conditions.csv"
    if not table.is_file():
        raise TrimtabError(f"{table}: no such file; expected the results folder of a run with its rollouts")
    conditions = read_conditions(table).set_index("condition_id", drop=False)
    if wanted is not None and wanted not in conditions.index:
        raise TrimtabError(f"{table}: no condition {wanted!r}; there are {', '.join(conditions.index[:8])} ...")
    batches = sorted((results / "rollouts/turns").glob("*.parquet"))
    turns = pd.concat(map(pd.read_parquet, batches), ignore_index=True)
    outcomes = pd.read_parquet(results / "rollouts/outcomes.parquet")
    model = files.read_json(results / "model/manifest.json")["model"]
    created = datetime.fromtimestamp(max(path.stat().st_mtime for path in batches), UTC).isoformat()
    written = []
    for name in conditions.index if wanted is None else [wanted]:
        # what the table leaves empty is null: JSON has no NaN
        about = json.loads(conditions.loc[name].to_json())
        episodes, measured = (rows[rows["condition_id"] == name] for rows in (turns, outcomes))
        # `inspect view` lists files by names that begin with a time
        path = out / f"{created[:19].replace(':', '-')}+00-00_{name}_{name}.json"
        files.write_json(path, as_log(about, episodes, measured, model, created))
        written.append(path)
    return written


def as_log(
    condition: Mapping[str, Any], turns: pd.DataFrame, outcomes: pd.DataFrame, model: str, created: str
) -> dict[str, Any]:
    """One condition's rollouts as an Inspect log."""
    name = condition["condition_id"]
    ordered = turns.sort_values("turn").groupby(KEYS)
    samples = [
        _sample(turns_of(ordered.get_group(tuple(row[key] for key in KEYS))), row, model) for row in records(outcomes)
    ]
    ids = sorted({sample["id"] for sample in samples})
    means = outcomes.drop(columns=list(NOT_SCORES)).mean()
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "eval_id": name,
            "run_id": name,
            "task_id": name,
            "created": created,
            "task": name,
            "task_args": condition,
            "dataset": {"name": "scenarios", "samples": len(ids), "sample_ids": ids},
            "model": f"trimtab/{model}",
            "config": {"epochs": int(turns["seed"].nunique())},
            "metadata": condition,
        },
        "results": {
            "total_samples": len(samples),
            "completed_samples": len(samples),
            "scores": [
                {"name": outcome, "scorer": outcome, "metrics": {"mean": {"name": "mean", "value": value}}}
                for outcome, value in means.items()
            ],
        },
        "stats": {"started_at": created, "completed_at": created},
        "samples": samples,
    }


def _sample(turns: list[Turn], measured: Mapping[str, Any], model: str) -> dict[str, Any]:
    """One episode; `measured` is its row of outcomes."""
    scenario, seed = measured["scenario_id"], int(measured["seed"])
    messages: list[dict[str, Any]] = [{"role": "user", "content": turns[0].prompt}]
    for turn in turns:
        call = f"{scenario}.{seed}.{turn.turn}"
        said = {"role": "assistant", "content": turn.thought, "model": model}
        if turn.tool == FINISH:
            messages.append({**said, "content": "\n\n".join(filter(None, (turn.thought, turn.argument)))})
            continue
        function = {"id": call, "type": "function", "function": turn.tool, "arguments": _arguments(turn)}
        if turn.tool == UNPARSED:
            function["parse_error"] = turn.fault
        answer: dict[str, Any] = {
            "role": "tool",
            "content": turn.observation,
            "tool_call_id": call,
            "function": turn.tool,
        }
        if not turn.ok:
            answer["error"] = {"type": "unknown", "message": turn.observation}
        messages += [{**said, "tool_calls": [function]}, answer]
    last = next(message for message in reversed(messages) if message["role"] == "assistant")
    return {
        "id": scenario,
        # Inspect counts them from 1
        "epoch": seed + 1,
        "input": turns[0].prompt,
        "target": "",
        "messages": messages,
        "output": {
            "model": model,
            "choices": [{"message": last, "stop_reason": STOPS[turns[-1].finish_reason]}],
        },
        "scores": {name: {"value": value} for name, value in measured.items() if name not in NOT_SCORES},
        "metadata": {"tokens": [int(turn.tokens) for turn in turns]},
    }


def _arguments(turn: Turn) -> dict[str, Any]:
    """A call's arguments by name where the agent named them."""
    try:
        named = json.loads(turn.argument)
    except ValueError:
        named = None
    return named if isinstance(named, dict) else {"input": turn.argument}
