"""Batches of agent episodes, steered row by row.

Conditions and scenarios run side by side: a header that several rows share is computed once a condition, each episode
goes on at its own pace, and finished ones leave the batch. Sampling noise belongs to (scenario, seed, turn, token) and
never to the condition, so that two conditions of a scenario differ by their steering alone (common random numbers).
What a turn looks like is `protocol`'s business, what a call returns `environment`'s, how a token is drawn `draws`',
and what is added where `trimtab.steering.steering`'s.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from trimtab import seeds
from trimtab.agent.environment import Environment
from trimtab.agent.names import FINISH, NUMERICAL, UNPARSED
from trimtab.agent.protocol import Field, Protocol, Step
from trimtab.agent.scenario import Assignment
from trimtab.agent.turn import Turn
from trimtab.artifacts import files
from trimtab.errors import TrimtabError
from trimtab.rollouts import draws
from trimtab.rollouts.draws import choose, sharpened, tokens
from trimtab.rollouts.episode import Arm, Episode, shared_starts, system
from trimtab.rollouts.journal import Journal
from trimtab.settings.rollouts import EpisodeSettings
from trimtab.steering import places
from trimtab.steering.batch import GrowingBatch
from trimtab.steering.places import Segment
from trimtab.steering.steering import Steering

ROWS_KEPT = 0.75
"""Finished episodes are dropped from the batch once the live share falls below this. Dropping copies the keys and
values of the others, so it isn't done each time."""

Choice = Sequence[Any]
"""Of an episode in a step: the next token, or an action's number and the probabilities of all; empty where the logits
are not finite, so that there is nothing to draw from."""


class Engine:
    """Runs episodes of one model under one protocol."""

    def __init__(
        self, model: PreTrainedModel, protocol: Protocol, settings: EpisodeSettings, action_bias: Mapping[str, float]
    ) -> None:
        """`action_bias`: mean log-probability of each action on calibration tasks, subtracted before a choice."""
        self._model = model
        self._protocol = protocol
        self._settings = settings
        self._bias = torch.tensor([action_bias[tool] for tool in protocol.tools], device=model.device)
        self._ends = protocol.ends
        self._fields = protocol.fields(settings.limits)
        # where a field's random numbers begin in its turn's row
        sizes = [max(field.limit, 1) for field in self._fields]
        self._draws = [sum(sizes[:at]) for at in range(len(sizes) + 1)]
        name = max(len(tokens) for tokens in protocol.action_tokens)
        self._turn = sum(len(field.cue) + (field.limit or name) for field in self._fields)
        """The most tokens that a turn can have."""
        self._context = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None) or math.inf

    def run(
        self,
        arms: Sequence[Arm],
        scenarios: Sequence[Assignment],
        seed: int,
        run: int,
        journal: Journal | None = None,
    ) -> list[Turn]:
        """All scenarios under all arms in one batch.

        Args:
            arms: conditions that share a batch.
            scenarios: the study's, or other tasks in a world.
            seed: the experiment's seed.
            run: which of the scenario's independent rollouts this is.
            journal: where steps are kept, and where those of a killed run of this batch may lie.

        Returns:
            Turns, ordered by arm, scenario and turn.
        """
        episodes = [
            Episode(arm, s.id, run, Environment(s.world), self._noise(seed, s.id, run), s.task)
            for arm in arms
            for s in scenarios
        ]
        headers = [self._protocol.header_tokens(arm.instruction) for arm in arms]
        for at, episode in enumerate(episodes):
            episode.length = len(headers[at // len(scenarios)])
            segments = self._protocol.asked(episode.given)
            if not self._fits(episode, segments):
                raise TrimtabError(
                    f"scenario {episode.scenario_id}: header, task and one turn don't fit the model's context of "
                    f"{self._context} tokens"
                )
            self._give(episode, segments)
        batch, steering, rows = self._opened(arms, headers, episodes, len(scenarios))
        for step in count():
            chunks = [episode.pop_all() for episode in rows]
            fed, going = [chunk.tokens for chunk in chunks], [episode for episode in rows if not episode.done]
            chosen = journal.replay(batch, step, fed) if journal else None
            if chosen is None:
                chosen = self._chosen(going, batch.advance(fed, [chunk.places for chunk in chunks]))
                if journal:
                    journal.write(batch, step, chosen)
            for episode, choice in zip(going, chosen, strict=True):
                self._take(episode, choice)
            kept = [row for row, episode in enumerate(rows) if not episode.done]
            if not kept:
                break
            if len(kept) <= ROWS_KEPT * len(rows):
                rows = [rows[row] for row in kept]
                steering = steering.select(kept)
                batch.select(kept, steering)
        return [turn for episode in episodes for turn in episode.turns]

    def _opened(
        self, arms: Sequence[Arm], headers: Sequence[list[int]], episodes: Sequence[Episode], scenarios: int
    ) -> tuple[GrowingBatch, Steering, list[Episode]]:
        """The batch after its headers, its steering, and the episode of each row.

        Arms that steer neither the header nor the task before its last token have these computed once for all of them.
        """
        of = shared_starts(arms, headers, episodes[0].pending[0].places[:-1])
        first = sorted(set(of))
        begun = Steering([arms[arm].push for arm in first], self._model.device)
        batch = GrowingBatch(self._model, begun, len(first))
        batch.advance([headers[arm] for arm in first], [system(headers[arm]) for arm in first])
        # rows that share a header stand side by side
        order = sorted(range(len(arms)), key=of.__getitem__)
        rows = [episodes[arm * scenarios + at] for arm in order for at in range(scenarios)]
        steering = Steering([arms[arm].push for arm in order], self._model.device)
        steering = steering.select(range(len(arms)), repeats=scenarios)
        if len(first) == len(arms):
            batch.repeat(scenarios, steering)
            return batch, steering, rows
        batch.repeat(scenarios, begun.select(range(len(first)), repeats=scenarios))
        tasks = [episode.pop_task() for episode in episodes[:scenarios]] * len(first)
        batch.advance([task.tokens for task in tasks], [task.places for task in tasks])
        for episode in episodes[scenarios:]:
            episode.pop_task()
        batch.select([first.index(of[arm]) * scenarios + at for arm in order for at in range(scenarios)], steering)
        return batch, steering, rows

    def lengths(self, scenarios: Sequence[Assignment]) -> tuple[int, int]:
        """Tokens of the longest task, and of the longest episode that may be, the header apart."""
        first = max(_length(self._protocol.asked(scenario.task)) for scenario in scenarios)
        turn = self._turn + _length(self._protocol.answered("")) + self._protocol.answer_tokens
        return first, int(min(first + self._settings.max_turns * turn, self._context))

    def _noise(self, seed: int, scenario: str, run: int) -> np.ndarray:
        """Uniform numbers (turn, draw), field after field, one for each token that may be written."""
        random = np.random.default_rng(seeds.derive(seed, "rollouts", scenario, run))
        return random.random((self._settings.max_turns, self._draws[-1]))

    def _fits(self, episode: Episode, segments: Sequence[Segment]) -> bool:
        """Whether the context has room for `segments` and a turn."""
        return episode.length + _length(segments) + self._turn <= self._context

    def _give(self, episode: Episode, segments: Sequence[Segment]) -> None:
        """Show the agent a task or an answer; its turn begins."""
        for segment in segments:
            episode.feed(segment.tokens, segment.places)
        episode.texts, episode.ended, episode.probabilities, episode.tokens = {}, None, [], 0
        self._begin(episode, 0)

    def _begin(self, episode: Episode, at: int) -> None:
        episode.at, episode.line = at, []
        cue = self._fields[at].cue
        episode.feed(cue, places.cue(len(cue), episode.tokens, ends_prompt=True))

    def _field(self, episode: Episode) -> Field:
        return self._fields[episode.at]

    def _chosen(self, episodes: Sequence[Episode], logits: Float[Tensor, "row vocabulary"]) -> list[Choice]:
        """What each episode chooses from the logits after what it was fed."""
        chosen: list[Choice] = [()] * len(episodes)
        finite = draws.finite(logits)
        choosing = [row for row, episode in enumerate(episodes) if finite[row] and not self._field(episode).limit]
        writing = [row for row, episode in enumerate(episodes) if finite[row] and self._field(episode).limit]
        if choosing:
            probabilities = self._action_probabilities(logits[choosing])
            noise = [self._draw(episodes[row]) for row in choosing]
            actions = choose(sharpened(probabilities, self._settings.temperature), noise)
            for row, action, chances in zip(choosing, actions, probabilities.tolist(), strict=True):
                chosen[row] = (action, chances)
        noise = [self._draw(episodes[row]) for row in writing]
        for row, token in zip(writing, tokens(logits, writing, self._settings.temperature, noise), strict=True):
            chosen[row] = (token,)
        return chosen

    def _take(self, episode: Episode, choice: Choice) -> None:
        """An episode goes on with what it chose."""
        if not choice:
            self._break_off(episode)
        elif self._field(episode).limit:
            self._write(episode, *choice)
        else:
            self._act(episode, *choice)

    def _draw(self, episode: Episode) -> float:
        """The random number that an episode's next token uses."""
        return float(episode.noise[len(episode.turns), self._draws[episode.at] + len(episode.line)])

    def _write(self, episode: Episode, token: int) -> None:
        """Add a token to a written field; a token that ends the field is not fed."""
        ended = token < len(self._ends) and self._ends[token]
        if not ended:
            episode.line.append(token)
            episode.feed([token], places.written(1, episode.tokens))
            episode.tokens += 1
            if len(episode.line) < self._field(episode).limit:
                return
        if episode.ended is None:
            episode.ended = ended
        self._finish(episode, self._protocol.decode(episode.line).strip())

    def _act(self, episode: Episode, action: int, probabilities: list[float]) -> None:
        episode.probabilities = probabilities
        name = self._protocol.action_tokens[action]
        episode.feed(name, places.written(len(name), episode.tokens))
        episode.tokens += len(name)
        self._finish(episode, self._protocol.tools[action])

    def _finish(self, episode: Episode, text: str) -> None:
        """End a field; the next one begins, or the turn ends with the last."""
        episode.texts[self._field(episode).name] = text
        if episode.at + 1 < len(self._fields):
            self._begin(episode, episode.at + 1)
        else:
            self._call(episode)

    def _break_off(self, episode: Episode) -> None:
        """End an episode whose logits are not finite: no token has a chance, and none would have one later.

        Raises:
            TrimtabError: nothing steers it, so the model itself is broken.
        """
        if episode.arm.push is None:
            raise TrimtabError(
                f"scenario {episode.scenario_id}, condition {episode.arm.condition_id}: the unsteered model's logits "
                f"are NaN or infinite at turn {len(episode.turns)}; expected a model.dtype that holds its numbers (now "
                f"{self._model.dtype})"
            )
        written = [*episode.texts.values(), self._protocol.decode(episode.line).strip()]
        self._keep(episode, Step("\n".join(filter(None, written)), UNPARSED), "", False, NUMERICAL, NUMERICAL)
        episode.done, episode.pending = True, []

    def _call(self, episode: Episode) -> None:
        """End a turn: the environment answers, and the turn is kept."""
        step, turn = self._protocol.step(episode.texts), len(episode.turns)
        if step.tool == FINISH:
            text, ok, fault, reason = "", True, step.fault, "finish"
        elif step.tool == UNPARSED:
            text, ok, fault, reason = step.answer, False, step.fault, "call"
        else:
            answer = episode.environment.call(step.tool, step.argument)
            text, ok, fault, reason = answer.text, answer.ok, answer.fault or step.fault, "call"
        # what the model is shown is what the next turn says it was given
        shown = self._protocol.shortened(text)
        segments = self._protocol.answered(shown, step.tool)
        if reason == "call" and turn + 1 == self._settings.max_turns:
            reason = "turns"
        elif reason == "call" and not self._fits(episode, segments):
            reason = "context"
        self._keep(episode, step, text, ok, fault, reason)
        if reason != "call":
            episode.done, episode.pending = True, []
            return
        episode.given = shown
        self._give(episode, segments)

    def _keep(self, episode: Episode, step: Step, text: str, ok: bool, fault: str, reason: str) -> None:
        """Note the turn that ends, `text` being what it was answered."""
        turn = len(episode.turns)
        chances = zip(self._protocol.tools, episode.probabilities, strict=True) if episode.probabilities else ()
        said = [
            {"role": "tool" if turn else "user", "content": episode.given},
            {"role": "assistant", "content": step.raw or step.thought},
        ]
        episode.turns.append(
            Turn(
                condition_id=episode.arm.condition_id,
                scenario_id=episode.scenario_id,
                seed=episode.run,
                turn=turn,
                messages=files.canonical(said),
                call=files.canonical({"name": step.tool, "arguments": step.argument}),
                prompt=episode.given,
                thought=step.thought,
                tool=step.tool,
                argument=step.argument,
                observation=text,
                ok=ok,
                fault=fault,
                ignored_calls=step.ignored,
                tokens=episode.tokens,
                finish_reason=reason,
                thought_ended=bool(episode.ended),
                system=self._protocol.system_line(episode.arm.instruction),
                chances=dict(chances),
            )
        )

    def _action_probabilities(self, logits: Float[Tensor, "row vocabulary"]) -> Float[Tensor, "row action"]:
        """Probabilities of the actions alone, after contextual calibration (Zhao et al. 2021), at temperature 1."""
        return torch.softmax(self._protocol.action_scores(logits) - self._bias, dim=-1)


def _length(segments: Sequence[Segment]) -> int:
    return sum(len(segment.tokens) for segment in segments)
