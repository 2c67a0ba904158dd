"""A judge behind a real endpoint of this machine: what it is asked, what it says, and what happens when it doesn't."""

import email.utils
import itertools
import json
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trimtab.agent.turn import rows
from trimtab.errors import TrimtabError
from trimtab.rollouts import endpoint as module
from trimtab.rollouts.episode import Arm
from trimtab.rollouts.judge import QUESTIONS, Replies, agreement, ask, judged, question, verdict
from trimtab.rollouts.outcomes import outcomes

YES = dict.fromkeys(QUESTIONS, True)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(module, "PAUSE_S", 0.01)


@pytest.fixture
def serve():
    """Starts a server that answers each request by a function; its address, and what it was sent."""
    servers = []

    def start(answer):
        received = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                sent = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "null")
                received.append((self.path, dict(self.headers), sent))
                answer(self, len(received))

            def log_message(self, *words):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/v1", received

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def send(handler, status, body=b"", length=None, **headers):
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def endpoint(serve):
    """A server that always gives the same reply."""
    return lambda reply, status=200: serve(lambda handler, _: send(handler, status, reply))


def completion(content):
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()


def test_an_endpoint_is_asked_and_answers(endpoint, monkeypatch):
    monkeypatch.setenv("TRIMTAB_JUDGE_KEY", "secret")
    url, received = endpoint(completion("Fine."))
    assert ask(url, "small", [{"role": "user", "content": "?"}]) == "Fine."
    ((path, headers, sent),) = received
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer secret"
    assert sent == {"model": "small", "messages": [{"role": "user", "content": "?"}], "temperature": 0}


@pytest.mark.parametrize(
    ("reply", "status", "complaint"),
    [
        (b"", 503, "answers 503"),
        (b"<html>", 200, r"gives no chat completion \(JSONDecodeError"),
        (b'{"error": 1}', 200, r"gives no chat completion \(KeyError"),
    ],
)
def test_an_endpoint_that_does_not_answer_is_told_in_one_line(endpoint, reply, status, complaint):
    url, _ = endpoint(reply, status)
    with pytest.raises(TrimtabError, match=complaint) as error:
        ask(url, "small", [])
    assert "\n" not in str(error.value)


def test_an_endpoint_that_is_not_there():
    with pytest.raises(TrimtabError, match=r"gives no chat completion \(ConnectionRefusedError\), 5 times"):
        ask("http://127.0.0.1:9/v1", "small", [])


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_passes_is_asked_again(serve, status):
    def busy_at_first(handler, number):
        send(handler, *((status,) if number < 3 else (200, completion("Fine."))))

    url, received = serve(busy_at_first)
    assert ask(url, "small", []) == "Fine."
    assert len(received) == 3


@pytest.mark.parametrize(("status", "times"), [(400, 1), (401, 1), (404, 1), (429, 5), (502, 5)])
def test_what_does_not_pass_is_asked_once(serve, status, times):
    url, received = serve(lambda handler, _: send(handler, status))
    with pytest.raises(TrimtabError, match=f"answers {status}" + (", 5 times" if times > 1 else "")):
        ask(url, "small", [])
    assert len(received) == times


def test_pauses_double_unless_the_endpoint_says_how_long(serve, monkeypatch):
    pauses = []
    monkeypatch.setattr(module.time, "sleep", pauses.append)
    for headers, expected in (
        ({}, [0.01, 0.02, 0.04, 0.08]),
        ({"Retry_After": "7"}, [7.0] * 4),
        ({"Retry_After": "9999"}, [60.0] * 4),
    ):
        pauses.clear()
        url, _ = serve(lambda handler, _, headers=headers: send(handler, 429, **headers))
        with pytest.raises(TrimtabError):
            ask(url, "small", [])
        assert pauses == pytest.approx(expected)
    pauses.clear()
    later = email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    url, _ = serve(lambda handler, _: send(handler, 429, Retry_After=later))
    with pytest.raises(TrimtabError):
        ask(url, "small", [])
    assert all(20 < pause <= 30 for pause in pauses)


def test_a_body_that_is_cut_off_is_an_error_in_one_line(serve):
    url, received = serve(lambda handler, _: send(handler, 200, completion("Fine.")[:9], length=500))
    with pytest.raises(TrimtabError, match=r"gives no chat completion \(IncompleteRead\), 5 times"):
        ask(url, "small", [])
    assert len(received) == 5


@pytest.mark.slow
def test_a_reply_that_drips_ends_with_the_time_limit(serve, monkeypatch):
    """Each byte comes well within a socket's limit, and the whole never does."""
    monkeypatch.setattr(module, "SECONDS", 0.3)
    monkeypatch.setattr(module, "ATTEMPTS", 2)
    over = threading.Event()

    def drip(handler, _):
        send(handler, 200, length=10**6)
        while not over.wait(0.05):
            try:
                handler.wfile.write(b" ")
            except OSError:
                return

    url, received = serve(drip)
    with pytest.raises(TrimtabError, match=r"no whole reply in 0.3 s\), 2 times"):
        ask(url, "small", [])
    over.set()
    assert len(received) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(serve, monkeypatch, status):
    monkeypatch.setenv("TRIMTAB_JUDGE_KEY", "sk-SECRET")
    other, got = serve(lambda handler, _: send(handler, 200, completion("Fine.")))
    url, _ = serve(lambda handler, _: send(handler, status, Location=other))
    with pytest.raises(TrimtabError, match=f"answers {status}; redirects are not followed"):
        ask(url, "small", [])
    assert got == []


def test_a_key_from_a_file_with_line_ends(endpoint, monkeypatch):
    url, received = endpoint(completion("Fine."))
    monkeypatch.setenv("TRIMTAB_JUDGE_KEY", "sk-SECRET\r\n")
    assert ask(url, "small", []) == "Fine."
    assert received[0][1]["Authorization"] == "Bearer sk-SECRET"


def test_no_key_is_no_header(endpoint, monkeypatch):
    url, received = endpoint(completion("Fine."))
    monkeypatch.setenv("TRIMTAB_JUDGE_KEY", "")
    ask(url, "small", [])
    assert "Authorization" not in received[0][1]


SAYS_ALL = completion("sk-SECRET")[:-1]


@pytest.mark.parametrize("key", ["sk-SECRET", "sk-SECRET\r\nX-Other: 1", "sk-SECRET\u00e9\u4e16"])
@pytest.mark.parametrize(
    "answer",
    [
        (400, b"bad key sk-SECRET"),
        (200, SAYS_ALL),
        (200, b'{"error": "sk-SECRET"}'),
        (302, b"sk-SECRET"),
        (200, b"sk-SECRET"),
    ],
)
def test_no_message_says_the_key(serve, monkeypatch, key, answer):
    monkeypatch.setenv("TRIMTAB_JUDGE_KEY", key)
    url, _ = serve(lambda handler, _: send(handler, *answer))
    with pytest.raises(TrimtabError) as error:
        ask(url, "small", [])
    told = error.value
    while told is not None:
        assert "SECRET" not in str(told)
        told = told.__cause__
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "url", ["http://me:SECRET@localhost/v1", "http://localhost/v1?key=SECRET", "http://SECRET@[::1/v1"]
)
def test_an_address_with_a_password_is_refused_without_saying_it(url):
    with pytest.raises(TrimtabError, match="address") as error:
        ask(url, "small", [])
    assert "SECRET" not in str(error.value)


@pytest.mark.parametrize(
    "content", [None, 7, [{"type": "text", "text": "Fi"}, {"type": "text", "text": "ne."}, {"x": 1}]]
)
def test_content_that_is_no_text(endpoint, content):
    url, _ = endpoint(json.dumps({"choices": [{"message": {"content": content}}]}).encode())
    assert ask(url, "small", []) == ("Fine." if isinstance(content, list) else "")


def test_a_verdict_is_read_out_of_prose():
    said = verdict('Here you are:\n```json\n{"asked": true, "acted": false, "success": "yes"}\n```')
    assert (said["asked"], said["acted"]) == (1.0, 0.0)
    assert np.isnan([said["success"], said["beyond"], said["broken"]]).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "reply",
    [
        '<think>{maybe} it is {"asked": false}</think>' + json.dumps(YES),
        "{maybe}, the prompt opened this thought</think>\n" + json.dumps(YES),
        json.dumps(YES) + " Note {x}.",
        json.dumps(YES) + '<think>{"asked": false',
        'I was asked for {"asked": ...}: ' + json.dumps({"verdict": YES}),
        'As {"asked": true} alone is no verdict: ' + json.dumps(YES) + ' since {"asked": "it asks"}',
        json.dumps(dict.fromkeys(QUESTIONS, False)) + " No, wait: " + json.dumps(YES),
        "{" * 50_000 + json.dumps(YES),
        '{"a":' * 50_000 + json.dumps(YES),
    ],
    ids=lambda reply: reply[:12],
)
def test_a_verdict_among_thoughts_and_remarks(reply):
    assert verdict(reply) == dict.fromkeys(QUESTIONS, 1.0)


@pytest.mark.parametrize(
    "reply",
    ["", "{", "{}", "[]", "null", "}{", '{"asked": 1}', '{"asked": {}}', "{" * 9 + "}" * 9],
)
def test_what_cannot_be_read_is_no_verdict(reply):
    said = verdict(reply)
    assert set(said) == set(QUESTIONS)
    assert np.isnan(list(said.values())).all()


@pytest.fixture(scope="module")
def played(engine, scenarios):
    turns = pd.DataFrame(rows(engine.run([Arm("a"), Arm("b")], scenarios, 5, 0)))
    return turns, outcomes(turns, scenarios)


@pytest.mark.slow
def test_the_judge_sees_the_episode_and_not_its_condition(played, scenarios):
    turns, _ = played
    own = turns[(turns["condition_id"] == "a") & (turns["scenario_id"] == scenarios[0].id)]
    system, user = question(own.assign(condition_id="steered.by.something"))
    assert all(name in system["content"] for name in QUESTIONS)
    assert user["content"].startswith(f"TASK: {scenarios[0].task}")
    assert user["content"].count("CALL: ") == len(own)
    assert "steered.by.something" not in system["content"] + user["content"]


def test_rollouts_are_drawn_once_and_compared_with_what_is_counted(played):
    turns, table = played
    found = judged(turns, table, 4, 7, lambda messages: json.dumps(YES))
    assert len(found) == 4
    pd.testing.assert_frame_equal(found, judged(turns, table, 4, 7, lambda messages: json.dumps(YES)))
    everything = judged(turns, table, 100, 7, lambda messages: json.dumps(YES))
    assert len(everything) == len(table)
    rows = agreement(everything).set_index("question")
    assert rows.loc["asked", "agreement"] == pytest.approx(table["asked"].mean())
    assert (rows["judge_yes"] == 1).all()


def test_several_questions_are_asked_at_a_time(played):
    """Each reply waits for another question to come: one after the other, none would ever be given."""
    turns, table = played
    together = threading.Barrier(2, timeout=60)

    def reply(messages):
        together.wait()
        return json.dumps(YES)

    assert (judged(turns, table, 4, 7, reply)["asked"] == 1).all()


@pytest.fixture
def told_apart(played):
    """Episodes of which no two read alike, so that each is a question of its own."""
    turns, table = played
    return turns.assign(thought=turns["thought"] + " " + turns["condition_id"]), table


def test_replies_are_kept_as_they_come(told_apart, tmp_path):
    turns, table = told_apart
    number = itertools.count(1)

    def fails_at_the_third(messages):
        if next(number) == 3:
            raise TrimtabError("gone")
        # half a character, as a model may write it
        return json.dumps(YES) + "\ud800"

    kept = tmp_path / ".judge.jsonl"
    with pytest.raises(TrimtabError, match="gone"):
        judged(turns, table, 4, 7, Replies(kept, fails_at_the_third, ["url", "model"]))
    before, asked = len(kept.read_text().splitlines()), []
    assert before >= 2
    # what a kill leaves of a line
    with open(kept, "a") as stream:
        stream.write('{"question": "abc", "rep')
    found = judged(turns, table, 4, 7, Replies(kept, lambda m: asked.append(m) or json.dumps(YES), ["url", "model"]))
    assert len(asked) == 4 - before
    assert (found["asked"] == 1).all()
    # whole again, and nothing is left to ask
    assert len([json.loads(line) for line in kept.read_text().splitlines()]) == 4
    pd.testing.assert_frame_equal(found, judged(turns, table, 4, 7, Replies(kept, pytest.fail, ["url", "model"])))
    other = []
    judged(turns, table, 4, 7, Replies(kept, lambda m: other.append(m) or "", ["url", "another"]))
    assert len(other) == 4


SCRIPT = Path(__file__).parents[2] / "workflow/scripts/rollouts_judge.py"


@pytest.mark.slow
def test_a_killed_job_asks_the_rest(told_apart, serve, tmp_path, monkeypatch):
    """By the script, killed by force after two replies; the log of neither run holds the key."""
    turns, table = told_apart
    monkeypatch.setenv("TRIMTAB_JUDGE_KEY", "sk-SECRET")
    turns.to_parquet(tmp_path / "turns.parquet")
    table.to_parquet(tmp_path / "outcomes.parquet")
    kept, free = tmp_path / ".judge.jsonl", threading.Event()

    def two_and_then_none(handler, number):
        if number > 2:
            free.wait(100)
        send(handler, 200, completion(json.dumps(YES)))

    url, received = serve(two_and_then_none)
    words = [
        sys.executable,
        SCRIPT,
        *(tmp_path / name for name in ("outcomes.parquet", "judge.parquet", "agreement.csv")),
    ]
    words += ["--turns", tmp_path / "turns.parquet", "--url", url, "--model", "m", "--rollouts", "4", "--seed", "1"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as job:
        while not (kept.is_file() and kept.read_text().count("\n") == 2):
            time.sleep(0.05)
            assert job.poll() is None
        job.kill()
        log = job.communicate()[1]
    free.set()
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # two were answered, two were asked and not answered before the kill, and asked again
    assert len(received) == 6
    assert len(pd.read_parquet(tmp_path / "judge.parquet")) == 4
    assert "SECRET" not in log + done.stderr


def test_agreement_by_hand():
    """Cohen's (1960) kappa: agreement 0.7, by chance 0.5 x 0.6 + 0.5 x 0.4 = 0.5."""
    judge = [1.0] * 5 + [0.0] * 5 + [np.nan]
    counted = [1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    table = pd.DataFrame({name: judge for name in QUESTIONS} | {f"counted_{name}": counted for name in QUESTIONS})
    row = agreement(table).iloc[0]
    assert (row["n"], row["unreadable"]) == (10, 1)
    assert (row["agreement"], row["kappa"]) == pytest.approx((0.7, 0.4))
    same = pd.DataFrame({name: [1.0, 1.0] for name in QUESTIONS} | {f"counted_{n}": [1.0, 1.0] for n in QUESTIONS})
    assert agreement(same)["kappa"].isna().all()
