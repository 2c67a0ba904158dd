"""A judge behind a real endpoint of this machine: what it is asked, what it says, and what happens when it doesn't."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pandas as pd
import pytest

from trimtab.agent.turn import rows
from trimtab.errors import TrimtabError
from trimtab.rollouts.episode import Arm
from trimtab.rollouts.judge import QUESTIONS, agreement, ask, judged, question, verdict
from trimtab.rollouts.outcomes import outcomes

YES = dict.fromkeys(QUESTIONS, True)


@pytest.fixture
def endpoint():
    """Starts a server that gives the replies it is told to; its address, and what it was sent."""
    servers = []

    def start(reply, status=200):
        received = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                received.append((self.path, dict(self.headers), sent))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, *words):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/v1", received

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


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


def test_an_endpoint_that_is_not_there(endpoint):
    with pytest.raises(TrimtabError, match="gives no chat completion"):
        ask("http://127.0.0.1:9/v1", "small", [])


def test_a_verdict_is_read_out_of_prose():
    said = verdict('Here you are:\n```json\n{"asked": true, "acted": false, "success": "yes"}\n```')
    assert (said["asked"], said["acted"]) == (1.0, 0.0)
    assert np.isnan([said["success"], said["beyond"], said["broken"]]).all()


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
