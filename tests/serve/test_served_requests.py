"""What is refused, in one line each: names, fields, bodies, hosts; and what stands under which address."""

import http.client
import re
import signal
import socket
import subprocess
import sys
import threading

import pytest
import torch
from recorded import record
from served_model import TOKENIZER, UNIT, Client, model
from tiny import D_MODEL

from trimtab.errors import TrimtabError
from trimtab.rollouts.loaded import Loaded
from trimtab.serve import __main__ as command
from trimtab.serve.named import read_vectors
from trimtab.serve.server import LARGEST, Server
from trimtab.serve.writer import Writer
from trimtab.vectors import artifact
from trimtab.vectors.artifact import Vector

PUSH = {"vector": "raptor.autonomy", "dose": 0.5}


def test_models_that_are_listed_can_be_asked(client):
    _, found = client.get("models")
    names = [each["id"] for each in found["data"]]
    assert names == ["tiny", "tiny:raptor.autonomy@-0.1:kl", "tiny:raptor.autonomy@0.1:kl"]
    assert set(found["data"][0]["vectors"]) == {"raptor.autonomy", "cast.autonomy"}
    for name in names:
        assert client.completed("a", max_tokens=1, **{"model": name})["finish_reason"]
        assert client.get(f"models/{name}")[1]["id"] == name
    assert client.get("models/other")[0] == 404
    assert client.get("nothing")[0] == 404


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"model": "other"}, 404, 'model: "other" is not served here; expected tiny, or tiny:<vector>@<dose>'),
        ({"model": "tiny:raptor.autonomi@1"}, 404, 'vector: "raptor.autonomi" is not served here; did you mean'),
        ({"model": "tiny:raptor.autonomy"}, 400, "says no dose; expected tiny:<vector>@<dose>"),
        ({"model": "tiny:raptor.autonomy@much"}, 400, 'has dose "much"; expected a finite number'),
        ({"model": "tiny:raptor.autonomy@nan"}, 400, 'has dose "nan"; expected a finite number'),
        ({"model": "tiny:raptor.autonomy@1:kl:asc"}, 400, "says unit twice"),
        ({"model": "tiny:raptor.autonomy@1:sometimes"}, 400, 'timing: "sometimes" is none of a plain prompt; expected'),
        ({"model": "tiny:raptor.autonomy@1", "steering": PUSH}, 400, "steering: given, and model"),
        ({"steering": {**PUSH, "timing": "system"}}, 400, 'timing: "system" is none of a plain prompt'),
        ({"steering": {**PUSH, "timing": "thinking"}}, 400, 'timing: "thinking" is none of a plain prompt'),
        ({"steering": {**PUSH, "unit": "kl"}}, 400, r"no length with a KL of \+0.5 nats is known"),
        ({"steering": {**PUSH, "unit": "miles"}}, 400, 'steering.unit: "miles" is not one of residual_share'),
        ({"steering": {**PUSH, "unit": "kl", "rule": "project_out"}}, 400, "unit: kl with rule project_out"),
        ({"steering": {**PUSH, "unit": "probability", "rule": "add"}}, 400, "rule: add with unit probability"),
        ({"steering": {**PUSH, "dose": 2, "unit": "probability"}}, 400, "expected a number between 0 and 1"),
        ({"steering": {**PUSH, "rule": "edit_code"}}, 400, "has no latent code"),
        ({"steering": {**PUSH, "path": "/etc/passwd"}}, 400, "steering.path: unknown key; known: vector, dose"),
        ({"steering": {**PUSH, "vector": "../../etc/passwd"}}, 404, "is not served here"),
        ({"steering": {**PUSH, "dose": 1e39}}, 400, "the logits are NaN or infinite"),
        ({"steering": {"vector": "raptor.autonomy"}}, 400, "steering.dose: missing"),
        ({"temprature": 1}, 400, r"temprature: unknown key; did you mean temperature\?"),
        ({"temperature": 3}, 400, "temperature: 3 is not at most 2"),
        ({"frequency_penalty": 0.5}, 400, "frequency_penalty: 0.5 is not at most 0"),
        ({"logit_bias": {"1": 3}}, 400, "logit_bias"),
        ({"tools": []}, 400, "tools: unknown key"),
        ({"max_tokens": 101}, 400, "max_tokens: 101; this server writes at most 100"),
        ({"prompt": "a" * 600}, 400, "prompt 0 has 600 tokens; this model's maximum context length is 512"),
        ({"prompt": "a" * 500, "max_tokens": 20}, 400, "500 tokens and max_tokens is 20"),
        ({"prompt": ""}, 400, "prompt: has no token"),
        ({"prompt": []}, 400, "prompt: an empty list"),
        ({"prompt": [5, 9999]}, 400, "prompt: token 9999; expected numbers below"),
        ({"prompt": {"a": 1}}, 400, "prompt: "),
        ({"stream": True, "echo": True}, 400, "stream: with echo or logprobs"),
        ({"n": 99}, 400, "n: 99 is not at most 16"),
        ({"seed": 2**70}, 400, "seed: "),
        (b"{", 400, "the body is not JSON"),
        (b"[" * 100000, 400, "the body is not JSON"),
        (b'{"model": "tiny", "prompt": "a", "temperature": NaN}', 400, "temperature: "),
        (b"[]", 400, "the body: .* is a list, not a mapping"),
        (b"\xff\xfe", 400, "the body is not JSON"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_line(client, body, status, told):
    found, line = client.refused(body)
    assert found == status
    assert re.search(told, line), line


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"messages": []}, "messages: an empty list"),
        ({"messages": [{"role": "tool", "content": "a"}]}, 'role: "tool" is not one of system, user, assistant'),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "text": "a"}]}]}, "image_url"),
        ({"messages": [{"role": "user", "content": "a"}], "top_logprobs": 2}, "top_logprobs: without logprobs"),
        (
            {"messages": [{"role": "user", "content": "a"}], "max_tokens": 2, "max_completion_tokens": 3},
            "max_completion_tokens: differs from max_tokens",
        ),
    ],
)
def test_so_are_chats(client, body, told):
    status, line = client.refused(body, "chat/completions")
    assert status == 400
    assert told in line


def raw(server, *lines, body=b""):
    """Status and body of what a connection answers to these lines."""
    with socket.create_connection(server.server_address[:2], timeout=20) as stream:
        stream.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        answer = http.client.HTTPResponse(stream)
        answer.begin()
        return answer.status, answer.read().decode()


def test_bodies_are_bounded_and_hosts_are_this_machine(server):
    post, host = "POST /v1/completions HTTP/1.1", "Host: 127.0.0.1"
    kind = "Content-Type: application/json"
    for lines, status, told in (
        ([post, host, kind, f"Content-Length: {LARGEST + 1}"], 413, "expected at most"),
        ([post, host, kind, "Content-Length: " + "9" * 5000], 413, "expected at most"),
        ([post, host, kind, "Content-Length: -1"], 411, "Content-Length"),
        ([post, host, kind], 411, "Content-Length: missing"),
        ([post, host, kind, "Content-Length: 2", "Transfer-Encoding: chunked"], 411, "Content-Length"),
        # what a page of another site may send without asking
        ([post, host, "Content-Type: text/plain", "Content-Length: 2"], 415, "expected application/json"),
        # a name that was bent to loopback
        ([post, "Host: evil.example:80", kind, "Content-Length: 2"], 403, "this address is loopback"),
        (["GET /v1/models HTTP/1.1", "Host: evil.example"], 403, "this address is loopback"),
        (["BREW /v1/models HTTP/1.1", host], 501, "error"),
    ):
        found, line = raw(server, *lines, body=b"{}")
        assert (found, told in line) == (status, True), line


def test_a_bug_is_one_line_to_the_client_and_a_trace_to_the_log(server, client, monkeypatch, caplog):
    monkeypatch.setattr(Writer, "plan", lambda self, asked: 1 / 0)
    assert client.refused({}) == (500, "the server failed; its log says how")
    assert "ZeroDivisionError" in caplog.text


def test_no_more_requests_wait_than_there_is_room_for(server, client, monkeypatch):
    monkeypatch.setattr(server, "places", threading.BoundedSemaphore(1))
    with server.places:
        assert client.refused({})[0] == 429
    assert client.completed("a", max_tokens=1)


def test_a_client_that_goes_away_leaves_the_server_at_work(server, client):
    body = b'{"model": "tiny", "prompt": "a", "max_tokens": 90, "stream": true}'
    with socket.create_connection(server.server_address[:2]) as stream:
        lines = ["POST /v1/completions HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
        stream.sendall("\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body)
        stream.recv(10)
    assert client.completed("a", max_tokens=1)


def test_files_and_folders_of_vectors(vectors, loaded, tmp_path):
    file = vectors / "raptor/autonomy.safetensors"
    assert list(read_vectors([file], loaded)) == ["raptor.autonomy"]
    deep = tmp_path / "deep.safetensors"
    artifact.save(Vector(deep, record(method="lda", layer=9), UNIT, torch.zeros(D_MODEL)))
    for paths, told in (
        ([tmp_path / "none"], "none: no such vector"),
        ([tmp_path / "empty"], "empty: holds no file of vectors"),
        ([file, vectors], "autonomy.safetensors: is raptor.autonomy as .* is; expected one file a name"),
        ([deep], "is of layer 9 and 32 dimensions; tiny has 4 layers of 32"),
    ):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(TrimtabError, match=told) as error:
            read_vectors(paths, loaded)
        assert "\n" not in str(error.value)


def test_an_address_that_cannot_be_had(server, loaded):
    for host, port in (("127.0.0.1", server.server_port), ("no.such.host.invalid", 0), ("127.0.0.1", 99999)):
        with pytest.raises(TrimtabError, match="expected an address of this machine and a free port") as error:
            Server(host, port, server.writer)
        assert "\n" not in str(error.value)


def test_another_host_is_said_to_be_open(loaded, monkeypatch, capsys):
    monkeypatch.setattr(Loaded, "of", lambda *given: loaded)
    monkeypatch.setattr(command.stopping, "end_in_one_line", lambda: None)
    monkeypatch.setattr(Server, "serve_forever", lambda self: None)
    command.serve("tiny", vectors=[], port=0)
    assert capsys.readouterr().out.startswith("tiny, with 0 vectors, is served at http://127.0.0.1:")
    command.serve("tiny", vectors=[], port=0, host="0.0.0.0")
    assert capsys.readouterr().out.startswith("--host 0.0.0.0: anyone who reaches this address uses the model; no key")
    with pytest.raises(TrimtabError, match="--tokens 0: expected 1 or more"):
        command.serve("tiny", vectors=[], tokens=0)


@pytest.mark.slow
def test_the_command_serves_until_it_is_interrupted(vectors, tmp_path):
    model().save_pretrained(tmp_path / "small")
    TOKENIZER.save_pretrained(tmp_path / "small")
    words = [sys.executable, "-m", "trimtab.serve", tmp_path / "small", "--port", "0", "--vectors", vectors]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as serving:
        try:
            line = serving.stdout.readline()
            assert line.startswith("small, with 2 vectors, is served at http://127.0.0.1:"), serving.stderr.read()
            client = Client(line.split()[-1])
            body = {"prompt": "a", "max_tokens": 2}
            assert client.post("completions", {"model": "small:raptor.autonomy@0.1:kl", **body})[0] == 200
        finally:
            serving.send_signal(signal.SIGINT)
        assert serving.wait(60) == 1
        told = serving.stderr.read()
        assert told.endswith("interrupted\n")
        assert "Traceback" not in told
