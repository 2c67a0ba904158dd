"""What tests run in vLLM's own environment: `python on_vllm.py cells|play|write ...`."""

import json
import os
import runpy
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

from cells import ARMS, CHOOSER, PLAYED, ROUNDS, STOPS
from safetensors.torch import save_file
from short import SHORT

from trimtab.activations.store import Writer
from trimtab.agent.few_shot import FewShotProtocol, Texts
from trimtab.agent.scenario import Scenario
from trimtab.agent.turn import rows
from trimtab.artifacts import files
from trimtab.model.tokenizer import load_tokenizer
from trimtab.prompts import resources
from trimtab.rollouts.batch_size import Rows
from trimtab.rollouts.episode_files import Cells, complete
from trimtab.rollouts.journal import Choices, Journal, Steps
from trimtab.rollouts.served import rows as served_rows
from trimtab.rollouts.served.client import VllmServer
from trimtab.rollouts.served.fields import ServedEngine
from trimtab.settings.engine import VLLM, EngineSettings, VllmSettings
from trimtab.steering.served import refused


def engine(memory_mb: int, **passed: int) -> EngineSettings:
    given = dict.fromkeys(VllmSettings.model_fields) | {"tensor_parallel_size": 1} | passed
    return EngineSettings(engine=VLLM, memory_mb=memory_mb, vllm=VllmSettings(**given))


def cells(model: Path, out: Path, dtype: str, memory_mb: int, passed: str) -> None:
    """All rounds of requests that the model can have: the replies to `out`.json, logits to `out`.safetensors.

    Args:
        passed: arguments that vLLM is given, as JSON.
    """
    server = VllmServer(model, dtype, 256, engine(memory_mb, **json.loads(passed)))
    [architecture] = files.read_json(model / "config.json")["architectures"]
    refuse = [name for name, edits in ARMS.items() if refused(edits, architecture)]
    server.begin(CHOOSER, {name: edits for name, edits in ARMS.items() if edits and name not in refuse})
    told, logits = [], {}
    for number, whole in enumerate(ROUNDS):
        asked = [each for each in whole if each.order.name not in refuse]
        replies, kept = server.answer_with_logits(asked, STOPS)
        told.append({each.order.name: reply for each, reply in zip(asked, replies, strict=True)})
        logits |= {f"{number}/{name}": own for name, own in kept.items()}
    save_file(logits, out.with_suffix(".safetensors"))
    out.with_suffix(".json").write_text(json.dumps(told))


def play(model: Path, folder: Path, dies_after: int) -> None:
    """Three arms over three scenarios, killed after so many steps, with what an earlier one left; -1: not killed."""
    folder.mkdir(exist_ok=True)
    protocol = FewShotProtocol(Texts.of(resources.load(resources.RESOURCES / "few_shot.yaml")), load_tokenizer(model))
    server = VllmServer(model, "float32", 2048, engine(100))
    played = ServedEngine(server, protocol, SHORT, dict.fromkeys(protocol.tools, 0.0), 2048, "float32")
    write = Journal.write

    def killing(journal: Journal, batch: Steps, step: int, chosen: Sequence[Choices]) -> None:
        write(journal, batch, step, chosen)
        with open(folder / "steps", "a") as lines:
            lines.write("a step\n")
        if step == dies_after:
            os.kill(os.getpid(), signal.SIGKILL)

    Journal.write = killing
    scenarios = [*map(Scenario.of, resources.scenarios()[:3])]
    turns = complete(Cells(folder / "cells", "code"), played, PLAYED, scenarios, 5, 0, Rows(len(PLAYED), 3), "test")
    files.write_json(folder / "records.json", rows(turns))


class Stopped(Exception):
    """A writer that was stopped; what it left on disk is what one leaves that was killed."""


def write(jobs: Path) -> None:
    """Scripts that write shards, one after the other on one vLLM, each with its words and the number of chunks after
    which it is stopped; -1: never."""
    flush, shared = Writer._flush, []

    def server(folder: Path, dtype: str, longest: int, engine: EngineSettings) -> VllmServer:
        if not shared:
            shared.append(VllmServer(folder, dtype, 1024, engine))
        return shared[0]

    served_rows.VllmServer = server
    for script, words, stops_after in files.read_json(jobs):
        chunks = count(1)

        def stopping(writer: Writer, chunk: int, chunks: Iterator[int] = chunks, last: int = stops_after) -> None:
            flush(writer, chunk)
            if next(chunks) == last:
                raise Stopped

        Writer._flush = stopping
        sys.argv = [script, *words]
        with suppress(Stopped):
            runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    name, *given = sys.argv[1:]
    if name == "cells":
        cells(Path(given[0]), Path(given[1]), given[2], int(given[3]), given[4])
    elif name == "write":
        write(Path(given[0]))
    else:
        play(Path(given[0]), Path(given[1]), int(given[2]))
