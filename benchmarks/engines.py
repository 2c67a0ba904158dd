"""What the bench of vLLM has either engine do: play, keep where each choice stood, and give the logits at a place.

vLLM is another process: this file, run by vLLM's own Python, which does what a line says and answers with a line.
"""

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from trimtab.agent.calibration import Calibration
from trimtab.agent.few_shot import FewShotProtocol, Texts
from trimtab.agent.scenario import Scenario, read_scenarios
from trimtab.agent.turn import Turn
from trimtab.artifacts.manifest import Manifest
from trimtab.forward.capture import Prompt, batches
from trimtab.forward.sites import STREAM, Site
from trimtab.model.tokenizer import load_tokenizer
from trimtab.prompts import resources
from trimtab.rollouts.arms import arms
from trimtab.rollouts.conditions import Condition, conditions_of, read_conditions
from trimtab.rollouts.episode import Arm, Choice, Episode
from trimtab.rollouts.episodes import Episodes
from trimtab.settings.rollouts import EpisodeSettings
from trimtab.steering.changes import Add, ProjectOut
from trimtab.steering.edits import Edit
from trimtab.steering.served import refused

SETTINGS = EpisodeSettings(max_turns=3, thought_tokens=10, input_tokens=6, temperature=0.6, coupling="gumbel")
"""The default experiment's, and so are these."""
SEED = 20260316
MEMORY_MB = 1500
BUDGET: int = yaml.safe_load((Path(__file__).parents[1] / "config.yaml").read_text())["activations"]["token_budget"]
"""Tokens of a captured batch."""


class Task(NamedTuple):
    """Who plays."""

    folder: str
    """Of the model."""
    dtype: str
    run: str
    """The folder of a run's results, whose conditions and scenarios are played; empty for random directions."""


class Play(NamedTuple):
    """What is played."""

    scenarios: int
    every: bool
    """Under all conditions of the run; or under six, which are enough to see how fast an engine is."""


class Taken(NamedTuple):
    """A choice of an episode."""

    number: int
    """Of the token in the vocabulary, or of the action among the tools."""
    acts: bool
    draw: float
    """Its noise."""
    at: int
    """Tokens before it, the header's included."""


class Played(NamedTuple):
    seconds: float
    """Of the processor."""
    turns: list[dict[str, Any]]
    """By episode, as `taken`."""
    taken: dict[str, list[Taken]]


class Place(NamedTuple):
    """Where logits are asked for: after these tokens of an episode."""

    condition: str
    tokens: list[int]
    places: list[int]


class Noting(Episodes):
    """Keeps its episodes, by name, and every choice of them."""

    kept: dict[str, Episode]
    taken: dict[str, list[Taken]]

    def play(self, planned: Sequence[Arm], scenarios: Sequence[Scenario], together: int) -> Played:
        """One play of it, and the processor time that it took.

        Args:
            together: conditions that share a batch.
        """
        start, self.kept, self.taken = time.process_time(), {}, defaultdict(list)
        for at in range(0, len(planned), together):
            found = self.episodes(planned[at : at + together], scenarios, SEED, 0)
            self.kept |= {name_of(episode): episode for episode in found}
        turns = [_row(turn) for episode in self.kept.values() for turn in episode.turns]
        return Played(time.process_time() - start, turns, self.taken)

    def _take(self, episode: Episode, choice: Choice | None) -> None:
        if choice is not None:
            acts, draw = self.player.ask(episode)
            taken = Taken(choice.number, acts, np.asarray(draw).item(), episode.length)
            self.taken[name_of(episode)].append(taken)
        super()._take(episode, choice)


def name_of(episode: Episode) -> str:
    return f"{episode.arm.condition_id}/{episode.scenario_id}"


def protocol_of(task: Task) -> FewShotProtocol:
    texts = Texts.of(resources.load(resources.RESOURCES / "few_shot.yaml"))
    return FewShotProtocol(texts, load_tokenizer(Path(task.folder)))


def bias_of(task: Task, protocol: FewShotProtocol) -> Mapping[str, float]:
    """A run's own."""
    if task.run:
        return Calibration.read(Path(task.run, "rollouts/calibration.json")).bias
    return dict.fromkeys(protocol.tools, 0.0)


def scenarios_of(task: Task, count: int) -> list[Scenario]:
    """As many, from the first to the last in even steps: a run's stand in the order of their traits."""
    known = (
        read_scenarios(Path(task.run, "prompts/scenarios.jsonl"))
        if task.run
        else [*map(Scenario.of, resources.scenarios())]
    )
    return [known[at * len(known) // count] for at in range(count)]


def arms_of(task: Task, every: bool) -> list[Arm]:
    """A run's conditions that vLLM takes, or its unsteered one and its study's largest dose of each trait; without a
    run, six of several kinds."""
    if task.run:
        run, described = Path(task.run), Manifest.read(Path(task.run, "model/manifest.json"))
        design = conditions_of(read_conditions(run / "rollouts/conditions.csv"))
        chosen = design if every else [design[0], *_largest(design)]
        requests = resources.requests(resources.RESOURCES / "traits.yaml")
        found = arms(chosen, run / "vectors", described, requests, run / "saes")
        for arm in found:
            if why := refused(arm.edits, described.architecture):
                print(f"{arm.condition_id} is left out: {why}", file=sys.stderr)
        return [arm for arm in found if not refused(arm.edits, described.architecture)]
    width = json.loads(Path(task.folder, "config.json").read_text())["hidden_size"]
    u, v = torch.nn.functional.normalize(torch.randn(2, width, generator=torch.Generator().manual_seed(0)))
    edits = {
        "all": Edit(Site(16), Add(u), 20.0),
        "prefill": Edit(Site(16), Add(u), 20.0, "prefill"),
        "decode": Edit(Site(16), Add(u), 20.0, "decode"),
        "negative": Edit(Site(16), Add(u), -20.0),
        "project_out": Edit(Site(11), ProjectOut(v), 1.0),
    }
    return [Arm("unsteered"), *(Arm(name, (edit,)) for name, edit in edits.items())]


def _largest(design: Sequence[Condition]) -> list[Condition]:
    study = [each for each in design if each.arm == "study" and each.timing == "all"]
    most = max(each.dose for each in study)
    return [each for each in study if each.dose == most]


def _row(turn: Turn) -> dict[str, Any]:
    names = ("condition_id", "scenario_id", "turn", "thought", "tool", "argument", "tokens", "chances")
    return {name: getattr(turn, name) for name in names}


def peer(task: Task) -> None:
    """In vLLM's environment: do what a line says, and say what came of it in a line."""
    from trimtab.rollouts.served.client import VllmServer
    from trimtab.rollouts.served.fields import ServedEngine
    from trimtab.rollouts.served.ready import conditions_together
    from trimtab.rollouts.served.requests import Order, Request, salt
    from trimtab.rollouts.served.rows import rows_after
    from trimtab.settings.engine import VLLM, EngineSettings, VllmSettings
    from trimtab.steering import places

    class Theirs(Noting, ServedEngine):
        pass

    # what vLLM prints is none of it
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    protocol = protocol_of(task)
    passed = VllmSettings(tensor_parallel_size=1, max_num_batched_tokens=None, max_num_seqs=None)
    served = EngineSettings(engine=VLLM, memory_mb=MEMORY_MB, vllm=passed)
    server = VllmServer(Path(task.folder), task.dtype, 2048, served)
    engine = Theirs(server, protocol, SETTINGS, bias_of(task, protocol), 2048, task.dtype)
    planned = {every: arms_of(task, every) for every in (False, True)}
    by_name = {arm.condition_id: arm.edits for arm in planned[True]}

    def requests_at(asked: Sequence[Place], acts: bool) -> list[Request]:
        """Of a token, or an action, after each place."""
        server.begin(engine.chooser, {name: edits for name, edits in by_name.items() if edits})
        requests = []
        for at, (condition, tokens, stood) in enumerate(asked):
            edits = tuple(edit for edit in by_name[condition] if edit.strength)
            where = [*stood, *places.written(1)] if edits else ()
            arm = condition if edits else ""
            order = Order(str(at), acts, [0], 0, arm, places=where, keeps_logits=not acts)
            requests.append(Request(order, tokens, salt(edits)))
        return requests

    def chances(asked: Sequence[Place]) -> tuple[float, list[Sequence[float]]]:
        """Of the actions after each place, and the processor time that it took."""
        start = time.process_time()
        replies = server.answer(requests_at(asked, acts=True), [])
        return time.process_time() - start, [reply.choices[0].chances for reply in replies if reply.choices[0]]

    def read(prompts: Sequence[list[int]], layers: Sequence[int]) -> tuple[float, dict[int, Tensor]]:
        """Rows of all prompts but for their first tokens, in batches as a shard's, and the processor time."""
        start, kept = time.process_time(), defaultdict(list)
        for batch in batches([Prompt(str(at), own) for at, own in enumerate(prompts)], BUDGET):
            server.forget()
            asked = [(prompt.tokens, prompt.first) for prompt in batch]
            for layer, rows in rows_after(server, asked, STREAM.of_layers(layers)).items():
                kept[layer].append(rows)
        return time.process_time() - start, {layer: torch.cat(own) for layer, own in kept.items()}

    print(json.dumps(time.process_time()), file=out)
    for line in sys.stdin:
        told = json.loads(line)
        # each play, and each decision, would find what the one before it left
        server.forget()
        if "prompts" in told:
            seconds, rows = read(told["prompts"], told["layers"])
            if told["file"]:
                save_file({str(layer): own for layer, own in rows.items()}, told["file"])
            print(json.dumps(seconds), file=out)
        elif "play" in told:
            play = Play(*told["play"])
            own = planned[play.every]
            scenarios = scenarios_of(task, play.scenarios)
            header = max(len(protocol.header_tokens(arm.instruction)) for arm in own)
            longest = engine.player.lengths(scenarios)[1]
            together = conditions_together(server.tokens, header, longest, len(scenarios))
            print(json.dumps(engine.play(own, scenarios, together)), file=out)
        elif "decisions" in told:
            print(json.dumps(chances([Place(*each) for each in told["decisions"]])), file=out)
        else:
            asked = requests_at([Place(*each) for each in told["places"]], acts=False)
            save_file(server.answer_with_logits(asked, [])[1], told["file"])
            print(json.dumps(None), file=out)


if __name__ == "__main__":
    peer(Task(*sys.argv[1:]))
