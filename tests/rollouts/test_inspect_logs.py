"""Logs hold what the turns hold, in Inspect's format; the real library reads them where there is one.

`TRIMTAB_INSPECT` names the python of an environment with `pip install inspect_ai==0.3.285`.
"""

import json
import os
import subprocess

import pandas as pd
import pytest

from trimtab.agent.turn import rows
from trimtab.artifacts import files
from trimtab.errors import TrimtabError
from trimtab.rollouts.conditions import COLUMNS
from trimtab.rollouts.episode import Arm
from trimtab.rollouts.inspect_logs import write_logs
from trimtab.rollouts.outcomes import outcomes

READER = """
import json, sys
from inspect_ai.log import list_eval_logs, read_eval_log, read_eval_log_sample
found = {}
for info in list_eval_logs(sys.argv[1]):
    log = read_eval_log(info)
    sample = read_eval_log_sample(info, log.samples[0].id, log.samples[0].epoch)
    found[log.eval.task] = {
        "status": log.status,
        "samples": [[s.id, s.epoch, len(s.messages), s.scores["calls"].value] for s in log.samples],
        "mean": next(s.metrics["mean"].value for s in log.results.scores if s.name == "calls"),
        "tools": [[c.function, c.arguments] for m in sample.messages for c in getattr(m, "tool_calls", None) or []],
        "completion": sample.output.completion,
    }
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory, engine, scenarios):
    root = tmp_path_factory.mktemp("results")
    turns = pd.DataFrame(
        [turn for run in (0, 1) for turn in rows(engine.run([Arm("a.b.+0.4"), Arm("c")], scenarios, 5, run))]
    )
    turns.loc[0, "thought"] = "<script>alert(1)</script> \u2028 é"
    design = [[name, "study", "m", "t", pd.NA, 0.4, "absolute", "all", 2, "add"] for name in ("a.b.+0.4", "c")]
    files.write_csv(root / "rollouts/conditions.csv", pd.DataFrame(design, columns=COLUMNS))
    files.write_parquet(root / "rollouts/turns/one.parquet", turns, {})
    files.write_parquet(root / "rollouts/outcomes.parquet", outcomes(turns, scenarios), {})
    files.write_json(root / "model/manifest.json", {"model": "tiny"})
    return root


def of(results, condition, scenario, seed):
    turns = pd.read_parquet(results / "rollouts/turns/one.parquet")
    own = (turns["condition_id"] == condition) & (turns["scenario_id"] == scenario) & (turns["seed"] == seed)
    return turns[own].sort_values("turn").to_dict("records")


def test_a_log_a_condition_and_a_sample_an_episode(results, tmp_path, scenarios):
    paths = write_logs(results, tmp_path)
    assert [path.name.partition("_")[2] for path in paths] == ["a.b.+0.4_a.b.+0.4.json", "c_c.json"]
    log = json.loads(paths[0].read_text())
    assert log["eval"]["metadata"]["dose"] == 0.4
    assert log["eval"]["metadata"]["draw"] is None
    assert len(log["samples"]) == log["results"]["completed_samples"] == 2 * len(scenarios)
    measured = pd.read_parquet(results / "rollouts/outcomes.parquet").query("condition_id == 'a.b.+0.4'")
    means = {score["name"]: score["metrics"]["mean"]["value"] for score in log["results"]["scores"]}
    assert means["calls"] == pytest.approx(measured["calls"].mean())
    for sample in log["samples"]:
        turns = of(results, "a.b.+0.4", sample["id"], sample["epoch"] - 1)
        messages = sample["messages"]
        assert messages[0] == {"role": "user", "content": turns[0]["prompt"]}
        calls = [call for message in messages for call in message.get("tool_calls", [])]
        assert [call["function"] for call in calls] == [turn["tool"] for turn in turns if turn["tool"] != "finish"]
        answers = [message for message in messages if message["role"] == "tool"]
        assert [answer["content"] for answer in answers] == [t["observation"] for t in turns if t["tool"] != "finish"]
        assert [answer["tool_call_id"] for answer in answers] == [call["id"] for call in calls]


def test_one_condition_or_an_error_in_one_line(results, tmp_path):
    assert [path.name.partition("_")[2] for path in write_logs(results, tmp_path, "c")] == ["c_c.json"]
    for where, condition, complaint in (
        (results, "d", r"conditions.csv: no condition 'd'; there are a.b.\+0.4, c"),
        (tmp_path, None, "conditions.csv: no such file; expected the results folder of a run"),
    ):
        with pytest.raises(TrimtabError, match=complaint) as error:
            write_logs(where, tmp_path, condition)
        assert "\n" not in str(error.value)


@pytest.mark.skipif("TRIMTAB_INSPECT" not in os.environ, reason="TRIMTAB_INSPECT names no python with inspect_ai")
def test_inspect_opens_them(results, tmp_path, scenarios):
    write_logs(results, tmp_path)
    words = [os.environ["TRIMTAB_INSPECT"], "-c", READER, str(tmp_path)]
    # this project's own path must not shadow the library's environment
    own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(words, capture_output=True, text=True, env=own)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == {"a.b.+0.4", "c"}
    for name, log in found.items():
        assert log["status"] == "success"
        assert len(log["samples"]) == 2 * len(scenarios)
        first, epoch, count, calls = log["samples"][0]
        turns = of(results, name, first, epoch - 1)
        made = [turn for turn in turns if turn["tool"] != "finish"]
        assert count == 1 + len(turns) + len(made)
        assert calls == len(made)
        assert log["tools"] == [[turn["tool"], {"input": turn["argument"]}] for turn in made]
        assert turns[-1]["thought"] in log["completion"]
