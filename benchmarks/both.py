"""Either engine with one model, ours in this process and vLLM in its own, each doing the same work."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from agreement import Compared, misses_of, reason, shares
from engines import (
    BUDGET,
    MEMORY_MB,
    SETTINGS,
    Noting,
    Place,
    Play,
    Played,
    Taken,
    Task,
    arms_of,
    bias_of,
    protocol_of,
    scenarios_of,
)
from rounds import Rates, race
from safetensors.torch import load_file
from torch import Tensor

from trimtab.agent.points import START, Decisions
from trimtab.forward.capture import Prompt, batches, kept_rows
from trimtab.forward.proof import relative
from trimtab.model.source import load
from trimtab.prompts import resources, sources
from trimtab.rollouts.batch_size import rows_together
from trimtab.rollouts.engine import Engine
from trimtab.rollouts.episode import Episode, system
from trimtab.settings.rollouts import BatchSettings
from trimtab.steering.batch import GrowingBatch
from trimtab.steering.edits import after
from trimtab.steering.steering import Steering
from trimtab.vectors.decisions import DecisionReader, situations

ROOT = Path(__file__).parents[1]
TRIMTAB, OTHER = "Trimtab", "vLLM"
FAST = Play(10, False)
"""By which rates are measured."""
PROMPTS, LONGEST = 32, 384
EDITS, SCENARIOS = 8, 50
"""Of decisions."""
EXPLAINED = 40
"""Misses of a dtype that are looked into, at most."""


class Ours(Noting, Engine):
    pass


class Peer:
    """vLLM's process, which does what it is told."""

    def __init__(self, task: Task) -> None:
        # without this folder in the path, where this file would be taken for vLLM
        command = [ROOT / ".venv-vllm/bin/python", "-P", Path(__file__).with_name("engines.py"), *task]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.start = float(self._answer())
        """Processor time until it was ready."""
        self.seconds = 0.0
        """Of what it did since, as it says."""

    def play(self, play: Play) -> Played:
        seconds, turns, taken = self._ask(play=play)
        self.seconds += seconds
        return Played(seconds, turns, {name: [Taken(*each) for each in own] for name, own in taken.items()})

    def read(self, prompts: Sequence[Prompt], layers: Sequence[int], file: Path | None = None) -> None:
        """Rows of these layers, and where a file is given, in it."""
        given = [prompt.tokens for prompt in prompts]
        self.seconds += self._ask(prompts=given, layers=layers, file=str(file or ""))

    def decide(self, places: Sequence[Place]) -> list[list[float]]:
        """Chances of the actions after each place."""
        seconds, found = self._ask(decisions=places)
        self.seconds += seconds
        return list(found)

    def logits(self, places: Sequence[Place], file: Path) -> list[Tensor]:
        self._ask(places=places, file=str(file))
        found = load_file(file)
        return [found[str(at)] for at in range(len(places))]

    def _ask(self, **told: Any) -> Any:
        assert self._process.stdin is not None
        print(json.dumps(told), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"vLLM's process ended with {self._process.wait()}")
        return json.loads(answer)

    def end(self) -> None:
        self._process.communicate()


class Both:
    """Either engine with one model."""

    def __init__(self, task: Task) -> None:
        self.task, self.protocol = task, protocol_of(task)
        self.model, _ = load(Path(task.folder), task.dtype, "cpu")
        self.engine = Ours(self.model, self.protocol, SETTINGS, bias_of(task, self.protocol))
        self.peer = Peer(task)

    def ours(self, play: Play) -> Played:
        scenarios = scenarios_of(self.task, play.scenarios)
        rows = BatchSettings(batch_conditions="auto", batch_scenarios=play.scenarios, memory_mb=MEMORY_MB)
        together = rows_together(rows, self.model, len(scenarios), *self.engine.player.lengths(scenarios))
        return self.engine.play(arms_of(self.task, play.every), scenarios, together.conditions)

    def raced(self, rounds: int) -> list[Rates]:
        def written(play: Callable[[Play], Played]) -> Callable[[], float]:
            return lambda: tokens(play(FAST))

        contenders = {TRIMTAB: written(self.ours), OTHER: written(self.peer.play)}
        return race(f"{self.task.dtype}, six", "tokens/s", contenders, rounds, self._clock)

    def captured(self, rounds: int, scratch: Path) -> tuple[list[Rates], float]:
        """Streams of all layers kept in memory, and the largest relative difference of a layer's."""
        layers = [*range(self.model.config.num_hidden_layers)]
        prompts = prompts_of(self.protocol.tokenizer)
        size = sum(len(prompt.tokens) for prompt in prompts)

        def ours() -> float:
            for batch in batches(prompts, BUDGET):
                kept_rows(self.model, batch, layers, "all")
            return float(size)

        def theirs() -> float:
            self.peer.read(prompts, layers)
            return float(size)

        task = f"{self.task.dtype}, capture of {len(layers)} layers"
        found = race(task, "tokens/s", {TRIMTAB: ours, OTHER: theirs}, rounds, self._clock)
        file = scratch / "streams.safetensors"
        self.peer.read(prompts, layers, file)
        own = [kept_rows(self.model, batch, layers, "all") for batch in batches(prompts, BUDGET)]
        got = load_file(file)
        apart = [relative(torch.cat([rows[layer] for rows in own]), got[str(layer)]) for layer in layers]
        return found, max(apart)

    def decided(self, rounds: int) -> tuple[list[Rates], float]:
        """Decisions under some edits at the start of a run's scenarios, and the largest difference of a chance."""
        edits = {arm.condition_id: arm.edits for arm in arms_of(self.task, True) if arm.edits}
        some = dict([*edits.items()][:EDITS])
        points = Decisions.read(resources.RESOURCES / "decisions.yaml").points
        read = situations({START: points[START]}, scenarios_of(self.task, SCENARIOS))
        offsets = {START: bias_of(self.task, self.protocol)}
        reader = DecisionReader(self.model, self.protocol, offsets, read, min(map(after, some.values())))
        prompts = [self.protocol.prompt(each.messages) for each in read]
        laid = [(joined(part.tokens for part in own), joined(part.places for part in own)) for own in prompts]
        places = [Place(name, *each) for name in some for each in laid]
        found: dict[str, Tensor] = {}

        def ours() -> float:
            found[TRIMTAB] = reader.chances([*some.values()]).flatten(0, 1)
            return float(len(places))

        def theirs() -> float:
            found[OTHER] = torch.tensor(self.peer.decide(places))
            return float(len(places))

        task = f"{self.task.dtype}, decisions"
        rates = race(task, "decisions/s", {TRIMTAB: ours, OTHER: theirs}, rounds, self._clock)
        return rates, float((found[TRIMTAB] - found[OTHER]).abs().max())

    def _clock(self) -> float:
        """Either's own processor time: the other waits meanwhile."""
        return time.process_time() + self.peer.seconds

    def compared(self, scenarios: int, scratch: Path) -> tuple[list[Rates], "Compared"]:
        play = Play(scenarios, bool(self.task.run))
        mine, others = self.ours(play), self.peer.play(play)
        rates = [
            Rates(f"{self.task.dtype}, all", name, "tokens/s", [tokens(each) / each.seconds])
            for name, each in ((TRIMTAB, mine), (OTHER, others))
        ]
        misses = misses_of(mine, others)
        told = misses[:EXPLAINED]
        places = [self._place(self.engine.kept[miss.episode], miss.ours.at) for miss in told]
        own = [self._logits(self.engine.kept[miss.episode], at) for miss, at in zip(told, places, strict=True)]
        theirs = self.peer.logits(places, scratch / "logits.safetensors")
        reasons = [reason(self.engine.chooser, miss, *each) for miss, *each in zip(told, own, theirs, strict=True)]
        about = f"{scenarios} scenarios x {len(arms_of(self.task, play.every))} conditions"
        words = [(self._words(miss.ours), self._words(miss.theirs)) for miss in told]
        return rates, Compared(about, shares(mine, others, misses), misses, reasons, words)

    def _place(self, episode: Episode, at: int) -> Place:
        """Where an episode stood after so many tokens."""
        header = self.protocol.header_tokens(episode.arm.instruction)
        said = [token for piece in episode.fed for token in piece.tokens]
        stood = [place for piece in episode.fed for place in piece.places]
        return Place(episode.arm.condition_id, [*header, *said][:at], [*system(header), *stood][:at])

    def _logits(self, episode: Episode, at: Place) -> Tensor:
        batch = GrowingBatch(self.model, Steering([episode.arm.edits], self.model.device), 1)
        return batch.advance([at.tokens], [at.places])[0]

    def _words(self, taken: Taken) -> str:
        return self.protocol.tools[taken.number] if taken.acts else repr(self.protocol.decode([taken.number]))


def joined(parts: Iterable[Iterable[int]]) -> list[int]:
    return [*chain.from_iterable(parts)]


def prompts_of(tokenizer: Any) -> list[Prompt]:
    """Real prompts with tools, those of the bench of capture."""
    recipe = resources.load(resources.RESOURCES / "corpus.yaml")["sources"]["tool_prompts"]
    package = sources.folder(recipe["package"], recipe["pip"])
    documents = [*sources.tool_prompts(package, recipe["files"], seed=0)][:PROMPTS]
    encoded = [tokenizer(document.text, add_special_tokens=False)["input_ids"] for document in documents]
    return [Prompt(str(at), ids[:LONGEST]) for at, ids in enumerate(encoded)]


def tokens(of: Played) -> float:
    return float(sum(turn["tokens"] for turn in of.turns))
