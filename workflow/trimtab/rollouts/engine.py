"""Batches of agent episodes through a model of `transformers`, steered row by row.

Conditions and scenarios run side by side: a header that several rows share is computed once a condition, each episode
goes on at its own pace, and finished ones leave the batch. How episodes go, one step after another, is the business of
`trimtab.rollouts.episodes`; what a row chooses, `chooser`'s; and what is done to which rows,
`trimtab.steering.steering`'s.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.agent.protocol import Protocol
from trimtab.artifacts import files
from trimtab.forward.context import context_length
from trimtab.forward.single import goes_alone
from trimtab.rollouts.episode import Arm, Choice, Episode, shared_starts, system
from trimtab.rollouts.episodes import Batch, Episodes
from trimtab.rollouts.journal import Choices
from trimtab.settings.rollouts import EpisodeSettings
from trimtab.steering.batch import GrowingBatch
from trimtab.steering.places import Piece
from trimtab.steering.steering import Steering

log = logging.getLogger(__name__)

ROWS_KEPT = 0.75
"""Finished episodes are dropped from the batch once the live share falls below this. Dropping copies the keys and
values of the others, so it isn't done each time."""


class Engine(Episodes):
    """Runs episodes of one model under one protocol."""

    def __init__(
        self, model: PreTrainedModel, protocol: Protocol, settings: EpisodeSettings, action_bias: Mapping[str, float]
    ) -> None:
        """`action_bias`: mean log-probability of each action on calibration tasks, subtracted before a choice."""
        if goes_alone(model):
            log.warning("this model's rows can't be padded: they run one at a time, which is exact and slower")
        self._model = model
        context = context_length(model.config) or math.inf
        super().__init__(protocol, settings, action_bias, context, str(model.dtype))

    def _opened(
        self, arms: Sequence[Arm], headers: Sequence[list[int]], episodes: Sequence[Episode], scenarios: int
    ) -> Batch:
        """The batch after its headers.

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
            return Passes(batch, steering, rows, self._chosen)
        batch.repeat(scenarios, begun.select(range(len(first)), repeats=scenarios))
        tasks = [episode.pop_task() for episode in episodes[:scenarios]] * len(first)
        batch.advance([task.tokens for task in tasks], [task.places for task in tasks])
        for episode in episodes[scenarios:]:
            episode.pop_task()
        batch.select([first.index(of[arm]) * scenarios + at for arm in order for at in range(scenarios)], steering)
        return Passes(batch, steering, rows, self._chosen)

    def _chosen(self, episodes: Sequence[Episode], logits: Float[Tensor, "row vocabulary"]) -> list[Choice | None]:
        """What each episode chooses from the logits after what it was fed; None where these are not finite."""
        return self.chooser.choices(logits, [self.player.ask(episode) for episode in episodes])


class Passes(Batch):
    """A batch of which every step is a round of passes of the model: each row is fed, and chooses once."""

    def __init__(
        self,
        batch: GrowingBatch,
        steering: Steering,
        rows: list[Episode],
        choose: Callable[[Sequence[Episode], Float[Tensor, "row vocabulary"]], list[Choice | None]],
    ) -> None:
        self.rows = rows
        self._batch, self._steering, self._choose = batch, steering, choose

    def advance(self, chunks: Sequence[Piece], going: Sequence[Episode]) -> list[Choices]:
        logits = self._batch.advance([chunk.tokens for chunk in chunks], [chunk.places for chunk in chunks])
        return [[choice] for choice in self._choose(going, logits)]

    def note_gates(self) -> None:
        if not self._steering.has_gates:
            return
        rows = self.rows
        ended = [row for row, each in enumerate(rows) if each.gated and each.turns and not each.turns[-1].gates]
        for row, seen in zip(ended, self._steering.openings(ended), strict=True):
            turns = rows[row].turns
            turns[-1] = replace(turns[-1], gates=files.canonical(seen))

    def leave(self, kept: Sequence[int]) -> None:
        if len(kept) <= ROWS_KEPT * len(self.rows):
            self.rows = [self.rows[row] for row in kept]
            self._steering = self._steering.select(kept)
            self._batch.select(kept, self._steering)

    def added(self) -> dict[str, Tensor]:
        return self._batch.added()

    def put_back(self, chunks: Sequence[Piece], added: Mapping[str, Tensor]) -> None:
        self._batch.put_back([chunk.tokens for chunk in chunks], added)

    @property
    def has_states(self) -> bool:
        return self._batch.has_states

    def states(self) -> dict[str, Tensor]:
        return self._batch.states()

    def set_states(self, states: Mapping[str, Tensor]) -> None:
        self._batch.set_states(states)
