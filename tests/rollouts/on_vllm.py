"""What tests run in vLLM's own environment: `python on_vllm.py cells|play ...`."""

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from cells import ARMS, CHOOSER, PLAYED, ROUNDS, STOPS
from safetensors.torch import save_file
from short import SHORT

from trimtab.agent.few_shot import FewShotProtocol, Texts
from trimtab.agent.scenario import Scenario
from trimtab.agent.turn import rows
from trimtab.artifacts import files
from trimtab.model.tokenizer import load_tokenizer
from trimtab.prompts import resources
from trimtab.rollouts.batch_size import Rows
from trimtab.rollouts.episode_files import Cells, complete
from trimtab.rollouts.journal import Choices, Journal, Steps
from trimtab.rollouts.served.client import VllmServer
from trimtab.rollouts.served.fields import ServedEngine


def cells(model: Path, out: Path) -> None:
    """All rounds of requests: the replies to `out`.json, logits to `out`.safetensors."""
    # room for half the requests of a round: others wait, and what they are given held the numbers of those before
    server = VllmServer(model, "float32", 256, 4)
    server.begin(CHOOSER, {name: edits for name, edits in ARMS.items() if edits})
    told, logits = [], {}
    for number, asked in enumerate(ROUNDS):
        replies, kept = server.answer_with_logits(asked, STOPS)
        told.append(replies)
        logits |= {f"{number}/{name}": own for name, own in kept.items()}
    save_file(logits, out.with_suffix(".safetensors"))
    out.with_suffix(".json").write_text(json.dumps({"replies": told}))


def play(model: Path, folder: Path, dies_after: int) -> None:
    """Three arms over three scenarios, killed after so many steps, with what an earlier one left; -1: not killed."""
    folder.mkdir(exist_ok=True)
    protocol = FewShotProtocol(Texts.of(resources.load(resources.RESOURCES / "few_shot.yaml")), load_tokenizer(model))
    server = VllmServer(model, "float32", 2048, 100)
    engine = ServedEngine(server, protocol, SHORT, dict.fromkeys(protocol.tools, 0.0), 2048, "float32")
    write = Journal.write

    def killing(journal: Journal, batch: Steps, step: int, chosen: Sequence[Choices]) -> None:
        write(journal, batch, step, chosen)
        with open(folder / "steps", "a") as lines:
            lines.write("a step\n")
        if step == dies_after:
            os.kill(os.getpid(), signal.SIGKILL)

    Journal.write = killing
    scenarios = [*map(Scenario.of, resources.scenarios()[:3])]
    turns = complete(Cells(folder / "cells", "code"), engine, PLAYED, scenarios, 5, 0, Rows(len(PLAYED), 3), "test")
    files.write_json(folder / "records.json", rows(turns))


if __name__ == "__main__":
    name, *given = sys.argv[1:]
    if name == "cells":
        cells(*map(Path, given))
    else:
        play(Path(given[0]), Path(given[1]), int(given[2]))
