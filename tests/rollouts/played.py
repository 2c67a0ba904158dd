"""What the kill test of rollouts runs in processes of their own."""

import os
import signal
import threading
from pathlib import Path

import packaged
import torch
from tiny import D_MODEL, llama

from trimtab.agent.few_shot import FewShotProtocol, Texts
from trimtab.agent.scenario import Scenario
from trimtab.agent.turn import rows
from trimtab.artifacts import files
from trimtab.forward.packed import pack_rows
from trimtab.prompts import resources
from trimtab.rollouts.batch_size import Rows
from trimtab.rollouts.engine import Engine
from trimtab.rollouts.episode import Arm
from trimtab.rollouts.episode_files import Cells, complete
from trimtab.settings.rollouts import EpisodeSettings
from trimtab.steering.edits import added

DIRECTION = torch.ones(D_MODEL) / D_MODEL**0.5
ARMS = [
    Arm("unsteered"),
    Arm("all", added(0, DIRECTION, 5.0, "all")),
    Arm("decode", added(2, DIRECTION, -8.0, "decode")),
]

TOKENIZER = packaged.tokenizer()


class Noting(Engine):
    """An engine that writes a line for every step that it computes."""

    def __init__(self, noted: Path, *given: object) -> None:
        super().__init__(*given)
        self._noted = noted

    def _chosen(self, episodes, logits):
        chosen = super()._chosen(episodes, logits)
        with open(self._noted, "a") as lines:
            lines.write("a step\n")
        return chosen


def play(folder: Path, dies_after: float | None = None) -> None:
    """Three arms over three scenarios, two of these in a batch of the model; the kill counts from its beginning on."""
    folder.mkdir(exist_ok=True)
    protocol = FewShotProtocol(Texts.of(resources.load(resources.RESOURCES / "few_shot.yaml")), TOKENIZER)
    model = llama(vocab_size=len(TOKENIZER), max_position_embeddings=2048, initializer_range=0.25)
    pack_rows(model)
    settings = EpisodeSettings(max_turns=3, thought_tokens=6, input_tokens=4, temperature=0.8, coupling="gumbel")
    engine = Noting(folder / "steps", model, protocol, settings, dict.fromkeys(protocol.tools, 0.0))
    scenarios = [*map(Scenario.of, resources.scenarios()[:3])]
    if dies_after is not None:
        threading.Timer(dies_after, os.kill, (os.getpid(), signal.SIGKILL)).start()
    turns = complete(Cells(folder / "cells", "code"), engine, ARMS, scenarios, 5, 0, Rows(3, 2), "test")
    files.write_json(folder / "records.json", rows(turns))
