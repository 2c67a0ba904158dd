"""Episodes of a batch, step after step, whatever runs the model.

A step feeds each episode what waits and has it choose once or several times; then the episode goes on with that. Who
runs the model gives a `Batch`: `engine`, one of `transformers`, whose rows choose once a step, and `served`, one whose
rows write a field. Sampling noise belongs to (scenario, seed, turn, token) and never to the condition, so that two
conditions of a scenario differ by their steering alone (common random numbers). How an episode goes on with what it
chose is `player`'s business, how noise makes a token `draws`'.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import count

import numpy as np
from jaxtyping import Shaped
from torch import Tensor

from trimtab import seeds
from trimtab.agent.environment import Environment
from trimtab.agent.protocol import Protocol
from trimtab.agent.scenario import Assignment
from trimtab.agent.turn import Turn
from trimtab.errors import TrimtabError
from trimtab.rollouts.chooser import Chooser
from trimtab.rollouts.episode import Arm, Choice, Episode
from trimtab.rollouts.journal import Choices, Journal
from trimtab.rollouts.player import Player
from trimtab.settings.rollouts import EpisodeSettings
from trimtab.steering.places import Piece


class Batch(ABC):
    """The rows of a running batch; a journal keeps what a step adds to them."""

    rows: list[Episode]

    @abstractmethod
    def advance(self, chunks: Sequence[Piece], going: Sequence[Episode]) -> list[Choices]:
        """Feed each row its chunk, empty for one whose episode is done; what each that isn't chooses then, in order.

        An episode's choices end before anything but they is fed to it; None, which ends the episode, is where logits
        are not finite.
        """

    @abstractmethod
    def note_gates(self) -> None:
        """Turns that have just ended say how the gates of their episodes stood."""

    @abstractmethod
    def leave(self, kept: Sequence[int]) -> None:
        """All rows but these have nothing more to do."""

    @abstractmethod
    def added(self) -> dict[str, Tensor]:
        """What the last step added, beside what was fed and chosen."""

    @abstractmethod
    def put_back(self, chunks: Sequence[Piece], added: Mapping[str, Tensor]) -> None:
        """Be as after a step that fed `chunks` and `added` this; states are not touched."""

    @property
    @abstractmethod
    def has_states(self) -> bool:
        """Whether rows hold what a step changes as a whole."""

    @abstractmethod
    def states(self) -> dict[str, Tensor]:
        """That, of all rows."""

    @abstractmethod
    def set_states(self, states: Mapping[str, Tensor]) -> None:
        """Put back what `states` gave."""


class Episodes(ABC):
    """Runs episodes of one model under one protocol."""

    def __init__(
        self,
        protocol: Protocol,
        settings: EpisodeSettings,
        action_bias: Mapping[str, float],
        context: float,
        dtype: str,
    ) -> None:
        """
        Args:
            action_bias: mean log-probability of each action on calibration tasks, subtracted before a choice.
            context: the most tokens that a sequence of the model can have.
            dtype: the model's, for a line to the user.
        """
        self._protocol, self._dtype = protocol, dtype
        self.chooser = Chooser.of(protocol, settings, action_bias)
        self.player = Player(protocol, settings, context)

    @abstractmethod
    def _opened(
        self, arms: Sequence[Arm], headers: Sequence[list[int]], episodes: Sequence[Episode], scenarios: int
    ) -> Batch:
        """The batch of so many scenarios under all arms, with the headers before them."""

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
        batch = self._opened(arms, headers, episodes, len(scenarios))
        for step in count():
            chunks = [episode.pop_all() for episode in batch.rows]
            going = [episode for episode in batch.rows if not episode.done]
            chosen = journal.replay(batch, step, chunks) if journal else None
            if chosen is None:
                chosen = batch.advance(chunks, going)
                if journal:
                    journal.write(batch, step, chosen)
            for episode, choices in zip(going, chosen, strict=True):
                for choice in choices:
                    self._take(episode, choice)
            batch.note_gates()
            kept = [row for row, episode in enumerate(batch.rows) if not episode.done]
            if not kept:
                break
            batch.leave(kept)
        return episodes

    def _noise(self, seed: int, scenario: str, run: int) -> Shaped[np.ndarray, "turn draw"]:
        """What an episode draws with."""
        return self.chooser.coupling.noise(seeds.derive(seed, "rollouts", scenario, run), *self.player.draws)

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
                f"{self._dtype})"
            )
