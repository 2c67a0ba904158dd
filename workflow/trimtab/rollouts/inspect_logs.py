"""Rollouts as logs of Inspect (UK AISI): one log a condition, one sample a scenario and seed.

A log is Inspect's JSON format, version 2, which `inspect view`, `inspect_ai.log` and `inspect_ai.analysis` open; no
package of Inspect is needed to write it. Inspect reads headers up to `samples`, so keys stand in its own order.
Messages are those of the turns as they were, events tell the same episode call by call, and outcomes are scores with
their means. A log has no time of its own: it says when the rollouts were written.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from trimtab.agent.names import FINISH, NUMERICAL, UNPARSED
from trimtab.agent.turn import Turn, turns_of
from trimtab.artifacts import files
from trimtab.artifacts.files import records
from trimtab.artifacts.manifest import Manifest
from trimtab.errors import TrimtabError
from trimtab.rollouts.conditions import read_conditions
from trimtab.rollouts.counted import turn_files
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
    batches = turn_files(results)
    turns = pd.concat(map(pd.read_parquet, batches), ignore_index=True)
    outcomes = pd.read_parquet(results / "rollouts/outcomes.parquet")
    model = Manifest.read(results / "model/manifest.json").model
    created = datetime.fromtimestamp(max(path.stat().st_mtime for path in batches), UTC).isoformat()
    written = []
    for name in conditions.index if wanted is None else [wanted]:
        # what the table leaves empty is null: JSON has no NaN
        about = json.loads(conditions.loc[name].to_json())
        episodes, measured = (rows[rows["condition_id"] == name] for rows in (turns, outcomes))
        path = out / _file_name(name, created)
        files.write_json(path, as_log(about, episodes, measured, model, created), sort_keys=False)
        written.append(path)
    return written


def _file_name(condition: str, created: str) -> str:
    """Inspect takes time, task and task's id from a name, which it splits at `_`, and the id at `-` as well.

    It would write a dose's sign as `-` whatever it is; a plus is left out instead.
    """
    task = condition.replace("_", "-").replace("+", "")
    return f"{created[:19].replace(':', '-')}+00-00_{task}_{_id(condition)}.json"


def _id(*parts: object) -> str:
    """A name without any mark, the same for the same parts and no others."""
    return hashlib.sha256(files.canonical(list(parts)).encode()).hexdigest()[:22]


def as_log(
    condition: Mapping[str, Any], turns: pd.DataFrame, outcomes: pd.DataFrame, model: str, created: str
) -> dict[str, Any]:
    """One condition's rollouts as an Inspect log."""
    name = condition["condition_id"]
    ordered = turns.sort_values("turn").groupby(KEYS)
    samples = [
        _sample(turns_of(ordered.get_group(tuple(row[key] for key in KEYS))), row, model, created)
        for row in records(outcomes)
    ]
    ids = sorted({sample["id"] for sample in samples})
    measured = outcomes.drop(columns=list(NOT_SCORES))
    counts = {str(outcome): int(count) for outcome, count in measured.count().items()}
    means = {str(outcome): float(mean) for outcome, mean in measured.mean().items()}
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "eval_id": _id(name, created),
            "run_id": _id(created),
            "task_id": _id(name),
            "created": created,
            "task": name,
            "task_args": condition,
            "dataset": {"name": "scenarios", "samples": len(ids), "sample_ids": ids},
            "model": f"trimtab/{model}",
            "config": {"epochs": int(turns["seed"].nunique())},
            "metadata": condition,
        },
        "plan": {"name": "plan", "steps": [{"solver": "agent", "params": condition}], "config": {}},
        "results": {
            "total_samples": len(samples),
            "completed_samples": len(samples),
            "scores": [
                {
                    "name": outcome,
                    "scorer": outcome,
                    "scored_samples": counts[outcome],
                    "unscored_samples": len(samples) - counts[outcome],
                    "metrics": {"mean": {"name": "mean", "value": value}},
                }
                for outcome, value in means.items()
                # that of no value is none
                if counts[outcome]
            ],
        },
        "stats": {"started_at": created, "completed_at": created},
        "samples": samples,
    }


def _sample(turns: list[Turn], measured: Mapping[str, Any], model: str, created: str) -> dict[str, Any]:
    """One episode; `measured` is its row of outcomes."""
    scenario, seed, first = measured["scenario_id"], int(measured["seed"]), turns[0]
    name = _id(measured["condition_id"], scenario, seed)
    times = {"timestamp": created, "working_start": 0.0}
    sample = {"input": first.prompt, "target": "", "id": scenario}
    messages: list[dict[str, Any]] = [{"role": "system", "content": first.system}] if first.system else []
    messages.append({"role": "user", "content": first.prompt, "source": "input"})
    for at, message in enumerate(messages):
        message["id"] = f"{name}{at}"
    events: list[dict[str, Any]] = [{"event": "sample_init", "sample": sample, **times}]
    for turn in turns:
        said = _said(turn, f"{name}.{turn.turn}", model)
        output = {"model": model, "choices": [{"message": said, "stop_reason": _stop_reason(turn)}]}
        events.append(
            {
                "event": "model",
                "model": model,
                "input": list(messages),
                "tools": [],
                "tool_choice": "auto",
                "config": {},
                "output": output,
                **times,
            }
        )
        messages.append(said)
        for call in said.get("tool_calls", []):
            error = {} if turn.ok else {"error": {"type": "unknown", "message": turn.observation}}
            about = {"function": call["function"], **error}
            answer = {"id": f"{said['id']}.answer", "role": "tool", "content": turn.observation}
            messages.append({**answer, "tool_call_id": call["id"], **about})
            arguments = {"id": call["id"], "arguments": call["arguments"], "result": turn.observation}
            events.append({"event": "tool", "type": "function", **arguments, **about, **times})
    for at, event in enumerate(events):
        event["uuid"] = f"{name}{at}"
    return {
        "id": scenario,
        # Inspect counts them from 1
        "epoch": seed + 1,
        "input": first.prompt,
        "target": "",
        "messages": messages,
        "output": output,
        # JSON has no NaN: what wasn't measured has no score
        "scores": {
            outcome: {"value": value}
            for outcome, value in measured.items()
            if outcome not in NOT_SCORES and value == value
        },
        "metadata": {"tokens": [int(turn.tokens) for turn in turns]},
        "events": events,
        "uuid": name,
    }


def _said(turn: Turn, name: str, model: str) -> dict[str, Any]:
    """The assistant's message; its metadata has the reply as it was written, where the message shows it taken apart."""
    reply = json.loads(turn.messages)[-1]["content"]
    said: dict[str, Any] = {"id": name, "role": "assistant", "source": "generate", "model": model}
    about = {"reply": reply} | ({"fault": turn.fault} if turn.fault else {})
    if turn.fault == NUMERICAL:
        return {**said, "content": turn.thought, "metadata": about}
    if turn.tool == FINISH:
        content = "\n\n".join(filter(None, (turn.thought, turn.argument)))
        return {**said, "content": content, "metadata": about}
    call = {"id": f"{name}.call", "type": "function", "function": turn.tool, "arguments": _arguments(turn)}
    if turn.tool == UNPARSED:
        return {**said, "content": reply, "metadata": about, "tool_calls": [{**call, "parse_error": turn.fault}]}
    return {**said, "content": turn.thought, "metadata": about, "tool_calls": [call]}


def _stop_reason(turn: Turn) -> str:
    """Why the model stopped in a turn, in Inspect's words."""
    if turn.finish_reason == NUMERICAL:
        return "unknown"
    # a turn of one written field is cut where that field is; of several, each has its own limit
    if not turn.thought_ended and not turn.chances:
        return "max_tokens"
    return STOPS[turn.finish_reason]


def _arguments(turn: Turn) -> dict[str, Any]:
    """A call's arguments by name where the agent named them."""
    if not turn.argument:
        return {}
    try:
        named = json.loads(turn.argument)
        # Python reads NaN and 1e999, which no JSON has
        files.canonical(named)
    except (ValueError, RecursionError):
        named = None
    return named if isinstance(named, dict) else {"input": turn.argument}
