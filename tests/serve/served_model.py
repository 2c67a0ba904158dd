"""A tiny model that speaks bytes, and what any program sees of an address."""

import json
import urllib.error
import urllib.request

import torch
from chat import byte_tokenizer
from tiny import D_MODEL, llama

from trimtab.forward.sites import Site
from trimtab.steering.changes import ProjectOut
from trimtab.steering.edits import Edit
from trimtab.steering.gates import ANY, Trigger

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Shows each message, without the space around it."""

TOKENIZER = byte_tokenizer(TEMPLATE)
UNIT = torch.nn.functional.one_hot(torch.tensor(3), D_MODEL).float()
EDITS = (Edit(Site(2), ProjectOut(UNIT), 1.0, gate=Trigger(torch.arange(200), ANY)),)
"""Behind a gate that remembers."""


class Client:
    """What any program sees of an address."""

    def __init__(self, address):
        self.address = address

    def post(self, path, body, headers=()):
        """Status and what came; of a stream, its events."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {"Content-Type": "application/json", **dict(headers)}
        return self._asked(urllib.request.Request(f"{self.address}/{path}", data, named))

    def get(self, path, headers=()):
        return self._asked(urllib.request.Request(f"{self.address}/{path}", headers=dict(headers)))

    def _asked(self, request):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read().decode()
                if answer.headers["Content-Type"] == "text/event-stream":
                    events = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
                    return answer.status, [each if each == "[DONE]" else json.loads(each) for each in events]
                return answer.status, json.loads(text)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def completed(self, prompt, **fields):
        """The first choice of a plain text's completion."""
        status, found = self.post("completions", {"model": "tiny", "prompt": prompt, **fields})
        assert status == 200, found
        return found["choices"][0]

    def chatted(self, *texts, **fields):
        """What is answered to a user's text, or to texts that a user and the model say in turn."""
        roles = ("user", "assistant")
        messages = [{"role": roles[at % 2], "content": text} for at, text in enumerate(texts)]
        status, found = self.post("chat/completions", {"model": "tiny", "messages": messages, **fields})
        assert status == 200, found
        return found["choices"][0]["message"]["content"]

    def refused(self, body, path="completions"):
        """Status and line of a refusal."""
        whole = {"model": "tiny", "prompt": "a"} if path == "completions" else {"model": "tiny"}
        status, found = self.post(path, body if isinstance(body, bytes) else {**whole, **body})
        (error,) = found.values()
        assert set(error) == {"message", "type", "param", "code"}
        assert "\n" not in error["message"]
        return status, error["message"]


def model():
    made = llama(vocab_size=len(TOKENIZER), max_position_embeddings=512, initializer_range=0.2)
    made.generation_config.eos_token_id = TOKENIZER.eos_token_id
    # it must end now and then
    made.lm_head.weight[TOKENIZER.eos_token_id] *= 2
    return made
