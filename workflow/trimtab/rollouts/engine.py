"""Batches of agent episodes, steered row by row.

Conditions and scenarios run side by side: a header that several rows share is computed once a condition, each episode
goes on at its own pace, and finished ones leave the batch. Sampling noise belongs to (scenario, seed, turn, token) and
never to the condition, so that two conditions of a scenario differ by their steering alone (common random numbers).
How an episode goes on with what it chose is `player`'s business, how noise makes a token `draws`', and what is done to
which rows `trimtab.steering.steering`'s.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from transformers import PreTrainedModel

from trimtab import seeds
from trimtab.agent.environment import Environment
from trimtab.agent.protocol import Protocol
from trimtab.agent.scenario import Assignment
from trimtab.agent.turn import Turn
from trimtab.artifacts import files
from trimtab.errors import TrimtabError
from trimtab.forward.context import context_length
from trimtab.forward.single import goes_alone
from trimtab.rollouts import draws
from trimtab.rollouts.draws import COUPLINGS
from trimtab.rollouts.episode import Arm, Choice, Episode, shared_starts, system
from trimtab.rollouts.journal import Journal
from trimtab.rollouts.player import Player
from trimtab.settings.rollouts import EpisodeSettings
from trimtab.steering.batch import GrowingBatch
from trimtab.steering.steering import Steering

log = logging.getLogger(__name__)

ROWS_KEPT = 0.75
"""Finished episodes are dropped from the batch once the live share falls below this. Dropping copies the keys and
values of the others, so it isn't done each time."""


class Engine:
    """Runs episodes of one model under one protocol."""

    def __init__(
        self, model: PreTrainedModel, protocol: Protocol, settings: EpisodeSettings, action_bias: Mapping[str, float]
    ) -> None:
        """`action_bias`: mean log-probability of each action on calibration tasks, subtracted before a choice."""
        if goes_alone(model):
            log.warning("this model's rows can't be padded: they run one at a time, which is exact and slower")
        self._model = model
        self._protocol = protocol
        self._temperature, self._coupling = settings.temperature, COUPLINGS[settings.coupling]
        self._bias = torch.tensor([action_bias[tool] for tool in protocol.tools], device=model.device)
        self.player = Player(protocol, settings, context_length(model.config) or math.inf)

    def run(
        self,
        arms: Sequence[Arm],
        scenarios: Sequence[Assignment],
        seed: int,
        run: int,
        journal: Journal | None = None,
    ) -> list[Turn]:
        """All scenarios under all arms in one batch: turns, ordered by arm, scenario and turn. See `episodes`."""
        return [turn for episode in self.episodes(arms, scenarios, seed, run, journal) for turn in episode.turns]

    def episodes(
        self,
        arms: Sequence[Arm],
        scenarios: Sequence[Assignment],
        seed: int,
        run: int,
        journal: Journal | None = None,
    ) -> list[Episode]:
        """All scenarios under all arms in one batch, with all that was said.

        Args:
            arms: conditions that share a batch.
            scenarios: the study's, or other tasks in a world.
            seed: the experiment's seed.
            run: which of the scenario's independent rollouts this is.
            journal: where steps are kept, and where those of a killed run of this batch may lie.

        Returns:
            One a row, ordered by arm and scenario.
        """
        episodes = [
            Episode(arm, s.id, run, Environment(s.world), self._noise(seed, s.id, run), s.task)
            for arm in arms
            for s in scenarios
        ]
        headers = [self._protocol.header_tokens(arm.instruction) for arm in arms]
        for at, episode in enumerate(episodes):
            self.player.begin(episode, len(headers[at // len(scenarios)]))
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
            if steering.has_gates:
                _note_gates(rows, steering)
            kept = [row for row, episode in enumerate(rows) if not episode.done]
            if not kept:
                break
            if len(kept) <= ROWS_KEPT * len(rows):
                rows = [rows[row] for row in kept]
                steering = steering.select(kept)
                batch.select(kept, steering)
        return episodes

    def _opened(
        self, arms: Sequence[Arm], headers: Sequence[list[int]], episodes: Sequence[Episode], scenarios: int
    ) -> tuple[GrowingBatch, Steering, list[Episode]]:
        """The batch after its headers, its steering, and the episode of each row.

        Arms that steer neither the header nor the task before its last token have these computed once for all of them.
        """
        of = shared_starts(arms, headers, episodes[0].pending[0].places[:-1])
        first = sorted(set(of))
        begun = Steering([arms[arm].edits for arm in first], self._model.device)
        batch = GrowingBatch(self._model, begun, len(first))
        batch.advance([headers[arm] for arm in first], [system(headers[arm]) for arm in first])
        # rows that share a header stand side by side
        order = sorted(range(len(arms)), key=of.__getitem__)
        rows = [episodes[arm * scenarios + at] for arm in order for at in range(scenarios)]
        steering = Steering([arms[arm].edits for arm in order], self._model.device)
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

    def _noise(self, seed: int, scenario: str, run: int) -> Shaped[np.ndarray, "turn draw"]:
        """What an episode draws with."""
        return self._coupling.noise(seeds.derive(seed, "rollouts", scenario, run), *self.player.draws)

    def _chosen(self, episodes: Sequence[Episode], logits: Float[Tensor, "row vocabulary"]) -> list[Choice | None]:
        """What each episode chooses from the logits after what it was fed; None where these are not finite."""
        chosen: dict[int, Choice] = {}
        finite = draws.finite(logits)
        chooses = [self.player.chooses(episode) for episode in episodes]
        choosing = [row for row in range(len(episodes)) if finite[row] and chooses[row]]
        writing = [row for row in range(len(episodes)) if finite[row] and not chooses[row]]
        if choosing:
            probabilities = self._action_probabilities(logits[choosing])
            actions = self._coupling.actions(probabilities, self._temperature, self._drawn(episodes, choosing))
            for row, action, chances in zip(choosing, actions, probabilities.tolist(), strict=True):
                chosen[row] = Choice(action, chances)
        if writing:
            tokens = self._coupling.tokens(logits, writing, self._temperature, self._drawn(episodes, writing))
            for row, token in zip(writing, tokens, strict=True):
                chosen[row] = Choice(token)
        return [chosen.get(row) for row in range(len(episodes))]

    def _drawn(self, episodes: Sequence[Episode], rows: Sequence[int]) -> Shaped[np.ndarray, "drawn"]:
        """The noise of the next choice of some rows."""
        return np.array([self.player.draw(episodes[row]) for row in rows])

    def _take(self, episode: Episode, choice: Choice | None) -> None:
        """An episode goes on with what it chose, or ends where it can't choose.

        Raises:
            TrimtabError: nothing steers it, so the model itself is broken.
        """
        if choice is not None:
            self.player.take(episode, choice)
        elif episode.arm.edits:
            self.player.break_off(episode)
        else:
            raise TrimtabError(
                f"scenario {episode.scenario_id}, condition {episode.arm.condition_id}: the unsteered model's logits "
                f"are NaN or infinite at turn {len(episode.turns)}; expected a model.dtype that holds its numbers (now "
                f"{self._model.dtype})"
            )

    def _action_probabilities(self, logits: Float[Tensor, "row vocabulary"]) -> Float[Tensor, "row action"]:
        """Probabilities of the actions alone, after contextual calibration (Zhao et al. 2021), at temperature 1."""
        return torch.softmax(self._protocol.action_scores(logits) - self._bias, dim=-1)


def _note_gates(rows: Sequence[Episode], steering: Steering) -> None:
    """Turns that have just ended say how the gates of their episodes stood."""
    ended = [row for row, episode in enumerate(rows) if episode.gated and episode.turns and not episode.turns[-1].gates]
    for row, seen in zip(ended, steering.openings(ended), strict=True):
        turns = rows[row].turns
        turns[-1] = replace(turns[-1], gates=files.canonical(seen))
