"""What tests need that run vLLM, in its own environment: a program there, and requests that both engines answer."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from cells import ARMS, CHOOSER, ROUNDS, STOPS
from safetensors.torch import load_file
from stand_in import StandIn

from trimtab.rollouts.episode import Choice
from trimtab.rollouts.served.requests import Reply
from trimtab.steering.gated import Opening

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-vllm/bin/python"
READY = PYTHON.parents[1] / ".ready"
MARKS = [
    pytest.mark.slow,
    pytest.mark.skipif(not READY.exists(), reason="no vLLM here: make .venv-vllm/.ready installs it (3.7 GB)"),
]


def on_vllm(*words, status=0):
    """Run a program in vLLM's environment."""
    paths = os.pathsep.join(map(str, [ROOT / "workflow", ROOT / "tests", Path(__file__).parent]))
    command = [PYTHON, Path(__file__).with_name("on_vllm.py"), *words]
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True)
    assert done.returncode == status, done.stderr[-3000:]


class Answers:
    """Of each round, by arm: what vLLM replied and its logits, and what `transformers` did."""

    def __init__(self, folder, model):
        self._folder, self._server, self._wanted = folder, StandIn(model), {}
        self._server.begin(CHOOSER, ARMS)
        model.save_pretrained(folder / "model")

    def by(self, name, dtype, memory, passed):
        out = self._folder / name
        on_vllm("cells", self._folder / "model", out, dtype, memory, json.dumps(passed))
        told, logits = json.loads(out.with_suffix(".json").read_text()), load_file(out.with_suffix(".safetensors"))
        return [
            {
                name: (self._reply(*reply), logits[f"{number}/{name}"], *self._of_transformers(number, name))
                for name, reply in replies.items()
            }
            for number, replies in enumerate(told)
        ]

    @staticmethod
    def _reply(choices, openings):
        return Reply([c and Choice(*c) for c in choices], [Opening(*each) for each in openings])

    def _of_transformers(self, number, name):
        if (number, name) not in self._wanted:
            [request] = [each for each in ROUNDS[number] if each.order.name == name]
            self._wanted[number, name] = self._server.one(request, set(STOPS))
        return self._wanted[number, name]
