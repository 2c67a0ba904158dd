"""Logs hold what the turns hold, in Inspect's format; Inspect itself reads them, and its viewer shows them."""

import functools
import http.server
import json
import queue
import re
import subprocess
import threading
from itertools import chain

import pandas as pd
import pytest
from chat import byte_tokenizer
from chromium import CHROMIUM, FLAGS
from other_tools import beside_tools, needs_tools
from recorded import manifest
from tiny import llama

from trimtab.agent import protocols
from trimtab.agent.scenario import Scenario
from trimtab.agent.turn import rows
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.errors import TrimtabError
from trimtab.prompts import resources
from trimtab.rollouts import inspect_logs
from trimtab.rollouts.conditions import COLUMNS
from trimtab.rollouts.engine import Engine
from trimtab.rollouts.episode import Arm, Choice
from trimtab.rollouts.inspect_logs import write_logs
from trimtab.rollouts.outcomes import outcomes
from trimtab.settings.rollouts import EpisodeSettings

CREATED = "2026-01-01T00:00:00+00:00"
LIMIT = 96
"""Tokens of a native reply."""
READER = """
import json, subprocess, sys
from inspect_ai.analysis import EvalModel, EvalResults, EvalTask, EventInfo, ModelEventColumns, ToolEventColumns
from inspect_ai.analysis import evals_df, events_df, messages_df, samples_df
from inspect_ai.log import list_eval_logs, read_eval_log, read_eval_log_sample
folder, found = sys.argv[1], {}
for info in list_eval_logs(folder):
    # the reading that lists and tables use, which stops before the samples
    header = read_eval_log(info, header_only=True)
    log = read_eval_log(info)
    sample = read_eval_log_sample(info, log.samples[0].id, log.samples[0].epoch)
    found[log.eval.task] = {
        "listed": [info.task, info.task_id],
        "header": [header.eval.task, header.eval.task_id, header.status],
        "samples": [[s.id, s.epoch, len(s.messages), s.scores["calls"].value] for s in log.samples],
        "mean": next(s.metrics["mean"].value for s in header.results.scores if s.name == "calls"),
        "tools": [[c.function, c.arguments] for m in sample.messages for c in getattr(m, "tool_calls", None) or []],
        "events": [event.event for event in sample.events],
        "completion": sample.output.completion,
    }
inspect = [sys.executable, "-m", "inspect_ai", "log", "list", "--json", "--log-dir", folder]
def events(kind, columns):
    return events_df(folder, EventInfo + columns, filter=lambda event: event.event == kind, strict=True, quiet=True)
tables = {
    "evals": evals_df(folder, strict=True, quiet=True),
    "samples": samples_df(folder, strict=True, quiet=True),
    "messages": messages_df(folder, strict=True, quiet=True),
    "events": events_df(folder, strict=True, quiet=True),
    "calls of the model": events("model", ModelEventColumns),
    "calls of tools": events("tool", ToolEventColumns),
}
print(json.dumps({
    "logs": found,
    "list": len(json.loads(subprocess.run(inspect, capture_output=True, text=True, check=True).stdout)),
    "rows": {name: len(table) for name, table in tables.items()},
    "tasks": sorted(tables["evals"]["task_name"]),
    "unique": [bool(tables[name][key].is_unique) for name, key in
               (("samples", "sample_id"), ("messages", "message_id"), ("events", "event_id"))],
}))
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory, engine, scenarios):
    root = tmp_path_factory.mktemp("results")
    turns = pd.DataFrame(
        [turn for run in (0, 1) for turn in rows(engine.run([Arm("a.b.+0.4"), Arm("c")], scenarios, 5, run))]
    )
    turns.loc[0, "thought"] = "<script>alert(1)</script> \u2028 é"
    # first of the condition whose calls are counted below, and without a first choice
    turns.loc[0, [name for name in turns if name.startswith("p_")]] = None
    design = [[name, "study", "m", "t", pd.NA, 0.4, "absolute", "all", 2, "add"] for name in ("a.b.+0.4", "c")]
    files.write_csv(root / "rollouts/conditions.csv", pd.DataFrame([[*row, "", ""] for row in design], columns=COLUMNS))
    files.write_parquet(root / "rollouts/turns/one.parquet", turns, {})
    record = provenance([root / "rollouts/turns/one.parquet"], {})
    files.write_parquet(root / "rollouts/outcomes.parquet", outcomes(turns, scenarios), record)
    manifest().write(root / "model/manifest.json")
    return root


def of(results, condition, scenario, seed):
    turns = pd.read_parquet(results / "rollouts/turns/one.parquet")
    own = (turns["condition_id"] == condition) & (turns["scenario_id"] == scenario) & (turns["seed"] == seed)
    return turns[own].sort_values("turn").to_dict("records")


@pytest.mark.slow
def test_a_log_a_condition_and_a_sample_an_episode(results, tmp_path, scenarios):
    paths = write_logs(results, tmp_path)
    tasks, ids = zip(*(path.stem.split("_")[1:] for path in paths), strict=True)
    assert tasks == ("a.b.0.4", "c")
    assert all(re.fullmatch("[0-9a-f]{22}", each) for each in ids)
    log = json.loads(paths[0].read_text())
    # read up to samples, header after header
    assert list(log) == ["version", "status", "eval", "plan", "results", "stats", "samples"]
    assert log["eval"]["task_id"] == ids[0] != ids[1]
    assert log["eval"]["metadata"]["dose"] == 0.4
    assert log["eval"]["metadata"]["draw"] is None
    assert len(log["samples"]) == log["results"]["completed_samples"] == 2 * len(scenarios)
    measured = pd.read_parquet(results / "rollouts/outcomes.parquet").query("condition_id == 'a.b.+0.4'")
    means = {score["name"]: score["metrics"]["mean"]["value"] for score in log["results"]["scores"]}
    assert means["calls"] == pytest.approx(measured["calls"].mean())
    (p_ask,) = (score for score in log["results"]["scores"] if score["name"] == "p_ask")
    assert (p_ask["scored_samples"], p_ask["unscored_samples"]) == (len(measured) - 1, 1)
    assert sum("p_ask" in sample["scores"] for sample in log["samples"]) == len(measured) - 1
    for sample in log["samples"]:
        turns = of(results, "a.b.+0.4", sample["id"], sample["epoch"] - 1)
        messages = sample["messages"]
        system, user = messages[:2]
        assert (system["role"], system["content"]) == ("system", turns[0]["system"])
        assert (user["role"], user["content"]) == ("user", turns[0]["prompt"])
        calls = [call for message in messages for call in message.get("tool_calls", [])]
        assert [call["function"] for call in calls] == [turn["tool"] for turn in turns if turn["tool"] != "finish"]
        answers = [message for message in messages if message["role"] == "tool"]
        assert [answer["content"] for answer in answers] == [t["observation"] for t in turns if t["tool"] != "finish"]
        assert [answer["tool_call_id"] for answer in answers] == [call["id"] for call in calls]
        kinds = [["model", "tool"] if turn["tool"] != "finish" else ["model"] for turn in turns]
        assert [event["event"] for event in sample["events"]] == ["sample_init", *chain(*kinds)]
        # what a call of the model was given is what had been said until then
        said = [event["output"]["choices"][0]["message"] for event in sample["events"] if event["event"] == "model"]
        given = [event["input"] for event in sample["events"] if event["event"] == "model"]
        assert [[*before, now] for before, now in zip(given, said, strict=True)] == [
            messages[: messages.index(each) + 1] for each in said
        ]


def test_doses_of_either_sign_are_tasks_of_their_own(results, tmp_path):
    names = [inspect_logs._file_name(f"sae_probe.autonomy.all.{dose}", CREATED) for dose in ("+0.4", "-0.4")]
    assert [name.split("_")[1] for name in names] == ["sae-probe.autonomy.all.0.4", "sae-probe.autonomy.all.-0.4"]
    assert len({name.split("_")[2] for name in names}) == 2


def as_one_log(table, scenario):
    return inspect_logs.as_log({"condition_id": "c"}, table, outcomes(table, [scenario]), "m", CREATED)


def native(replies, turns=1, instruction=""):
    """Turns whose model writes the given replies."""
    tokenizer = byte_tokenizer()
    protocol = protocols.read(resources.RESOURCES / "native.yaml", tokenizer)
    told = [protocol.encode(reply) for reply in replies]
    waiting = [[*tokens, tokenizer.eos_token_id] if len(tokens) < LIMIT else tokens for tokens in told]

    class Told(Engine):
        def _chosen(self, episodes, logits):
            if not episodes[0].line:
                self.now = iter(waiting.pop(0))
            return [Choice(next(self.now))]

    model = llama(vocab_size=len(tokenizer), max_position_embeddings=8192)
    short = EpisodeSettings(max_turns=turns, reply_tokens=LIMIT, temperature=0.8, coupling="gumbel")
    engine = Told(model, protocol, short, dict.fromkeys(protocol.tools, 0.0))
    scenario = Scenario.of(resources.scenarios()[0])
    return pd.DataFrame(rows(engine.run([Arm("c", instruction=instruction)], [scenario], 0, 0)))


@pytest.mark.slow
def test_what_the_model_wrote_is_in_the_log_whatever_it_is(scenarios):
    broken, cut = "<tool_call>{WHAT THE MODEL WROTE</tool_call>", "x" * 300
    good = '<think>hm</think>Look. <tool_call>{"name": "web_search", "arguments": {"query": "a"}}</tool_call>'
    (sample,) = as_one_log(native([broken, good, cut], 3, "Ask a lot."), scenarios[0])["samples"]
    system, _, first, answer, second, _, last = sample["messages"]
    assert system["content"].endswith("Ask a lot.")
    assert first["content"] == broken
    (call,) = first["tool_calls"]
    assert (call["arguments"], call["parse_error"]) == ({}, "malformed")
    assert answer["error"]["message"].startswith("Error: this is no call")
    # a call that can be read is taken apart, and what it was made of is kept
    assert (second["content"], second["metadata"]["reply"]) == ("Look.", good)
    assert second["tool_calls"][0]["arguments"] == {"input": "a"}
    assert last["content"] == "x" * LIMIT
    reasons = [e["output"]["choices"][0]["stop_reason"] for e in sample["events"] if e["event"] == "model"]
    assert reasons == ["tool_calls", "tool_calls", "max_tokens"]
    assert sample["output"]["choices"][0]["stop_reason"] == "max_tokens"


@pytest.mark.parametrize("argument", ['{"a": NaN}', '{"a": 1e999}', "{" * 5000, '{"a": ["b"]}', "[1]", ""])
def test_an_argument_that_is_hardly_json(results, scenarios, tmp_path, argument):
    turns = pd.read_parquet(results / "rollouts/turns/one.parquet")
    turns = turns[(turns["condition_id"] == "c") & (turns["scenario_id"] == scenarios[0].id)]
    turns = turns.assign(tool="file_read", argument=argument, fault="")
    log = as_one_log(turns, scenarios[0])
    files.write_json(tmp_path / "log.json", log, sort_keys=False)
    call = log["samples"][0]["messages"][2]["tool_calls"][0]
    expected = {'{"a": ["b"]}': {"a": ["b"]}, "": {}}
    assert call["arguments"] == expected.get(argument, {"input": argument})


def test_one_condition_or_an_error_in_one_line(results, tmp_path):
    assert [path.name.split("_")[1] for path in write_logs(results, tmp_path, "c")] == ["c"]
    for where, condition, complaint in (
        (results, "d", r"conditions.csv: no condition 'd'; there are a.b.\+0.4, c"),
        (tmp_path, None, "conditions.csv: no such file; expected the results folder of a run"),
    ):
        with pytest.raises(TrimtabError, match=complaint) as error:
            write_logs(where, tmp_path, condition)
        assert "\n" not in str(error.value)


@pytest.mark.slow
@needs_tools
def test_inspect_opens_them(results, tmp_path, scenarios):
    write_logs(results, tmp_path)
    done = beside_tools("-c", READER, tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    found = told["logs"]
    assert set(found) == {"a.b.+0.4", "c"}
    episodes = 2 * 2 * len(scenarios)
    turns = pd.read_parquet(results / "rollouts/turns/one.parquet")
    calls = int((turns["tool"] != "finish").sum())
    assert told["list"] == 2
    assert told["tasks"] == ["a.b.+0.4", "c"]
    # an episode begins with an event, a system line and a task; an answer that no model read is no message of a table
    assert told["rows"] == {
        "evals": 2,
        "samples": episodes,
        "messages": 2 * episodes + len(turns) + calls - int((turns["finish_reason"] == "turns").sum()),
        "events": episodes + len(turns) + calls,
        "calls of the model": len(turns),
        "calls of tools": calls,
    }
    assert told["unique"] == [True, True, True]
    for name, log in found.items():
        assert log["listed"] == [name.replace("+", ""), log["header"][1]]
        assert log["header"] == [name, log["listed"][1], "success"]
        assert len(log["samples"]) == 2 * len(scenarios)
        first, epoch, count, called = log["samples"][0]
        turns = of(results, name, first, epoch - 1)
        made = [turn for turn in turns if turn["tool"] != "finish"]
        assert count == 2 + len(turns) + len(made)
        assert called == len(made)
        assert log["tools"] == [
            [turn["tool"], {"input": turn["argument"]} if turn["argument"] else {}] for turn in made
        ]
        assert log["events"].count("tool") == len(made)
        assert turns[-1]["thought"] in log["completion"]


class Viewer(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and at /pages frames of it, whose texts come back again and again."""

    def __init__(self, *given, pages, told, **named):
        self.pages, self.told = pages, told
        super().__init__(*given, **named)

    def do_GET(self):
        if self.path != "/pages":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        frames = "".join(f'<iframe src="{page}" width="1600" height="1200"></iframe>' for page in self.pages)
        self.wfile.write((frames + TELLING).encode())

    def do_POST(self):
        self.told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *given):
        pass


TELLING = """<script>
const text = frame => frame.contentDocument?.body?.innerText ?? "";
const texts = () => [...document.querySelectorAll("iframe")].map(text);
setInterval(() => fetch("/", {method: "POST", body: JSON.stringify(texts())}), 300);
</script>"""


def shown(folder, pages, wanted, profile):
    """Texts of pages of a folder in the browser, once each has all that is wanted of it, or after some minutes."""
    told = queue.SimpleQueue()
    handler = functools.partial(Viewer, directory=folder, pages=pages, told=told)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/pages"
        # the port keeps it from ending
        command = [str(CHROMIUM), *FLAGS, "--remote-debugging-port=0", f"--user-data-dir={profile}", address]
        browser = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            for _ in range(1200):
                texts = told.get(timeout=120)
                if all(each in text for text, each in zip(texts, wanted, strict=True) for each in each):
                    break
        finally:
            browser.terminate()
            browser.wait()
            server.shutdown()
    return texts


@pytest.mark.slow
@needs_tools
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_inspects_viewer_shows_them(results, tmp_path, scenarios):
    logs, site = tmp_path / "logs", tmp_path / "site"
    paths = write_logs(results, logs)
    made = beside_tools("-m", "inspect_ai", "view", "bundle", "--log-dir", logs, "--output-dir", site)
    assert made.returncode == 0, made.stderr
    first = json.loads(paths[0].read_text())["samples"][0]
    log = f"index.html#/logs/{paths[0].name}"
    pages = ["index.html", log, f"{log}/samples/sample/{first['id']}/{first['epoch']}"]
    rows = f"{2 * len(scenarios)} rows"
    said = " ".join(first["messages"][-1]["content"].split()[:2])
    wanted = [["a.b.+0.4"], ["a.b.+0.4", rows, first["id"]], [first["input"], said]]
    for text, each in zip(shown(site, pages, wanted, tmp_path / "profile"), wanted, strict=True):
        assert [one for one in each if one not in text] == []
