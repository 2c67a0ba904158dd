"""Batches of agent episodes, steered row by row.

Conditions and scenarios run side by side: a header that several rows share is computed once a condition, each episode
goes on at its own pace, and finished ones leave the batch. Sampling noise belongs to (scenario, seed, turn, token) and
never to the condition, so that two conditions of a scenario differ by their steering alone (common random numbers).
What a step looks like is `protocol`'s business, what a call returns `environment`'s, what is added where
`trimtab.steering`'s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from trimtab import files, seeds
from trimtab.rollouts.batch import GrowingBatch
from trimtab.rollouts.environment import Environment
from trimtab.rollouts.protocol import ACTION, FINISH, INPUT, THOUGHT, FewShotProtocol
from trimtab.steering import Push, Steering

ROWS_KEPT = 0.75
"""Finished episodes cost little in a batch and taking them out costs a copy, so they leave when so few go on."""

ROWS_DRAWN = 64
"""Rows whose next tokens are drawn together."""

BLOCK = 256
"""Choices summed together when one is drawn."""


@dataclass(frozen=True)
class Settings:
    """The part of config.yaml's `rollouts` that shapes an episode."""

    max_turns: int
    thought_tokens: int
    input_tokens: int
    temperature: float


@dataclass(frozen=True)
class Arm:
    """What distinguishes one condition's rows from another's."""

    condition_id: str
    push: Push | None = None
    instruction: str = ""
    """Sentence that joins the system line (the prompt-only control)."""


@dataclass
class _Episode:
    """One row: a scenario under an arm, what has happened so far, and what it is at."""

    arm: Arm
    scenario_id: str
    environment: Environment
    noise: Float[np.ndarray, "turn draw"]
    given: str
    """The task, or what the last call returned."""
    at: str = THOUGHT
    """Cue of the line that is written or chosen next."""
    line: list[int] = field(default_factory=list)
    ended: bool = False
    """Whether the model ended its thought itself."""
    thought: str = ""
    action: int = 0
    probabilities: list[float] = field(default_factory=list)
    tokens: int = 0
    """Tokens that the model wrote in this turn."""
    pending: list[tuple[list[int], bool]] = field(default_factory=list)
    """What waits to be fed: pieces of text, and whether the assistant wrote them."""
    turns: list[dict[str, Any]] = field(default_factory=list)
    done: bool = False

    def chunk(self) -> tuple[list[int], list[bool]]:
        """What waits to be fed, with its role token by token; nothing waits afterwards."""
        tokens = [token for piece, _ in self.pending for token in piece]
        written = [role for piece, role in self.pending for _ in piece]
        self.pending = []
        return tokens, written


class Engine:
    """Runs episodes of one model under one protocol."""

    def __init__(
        self,
        model: PreTrainedModel,
        protocol: FewShotProtocol,
        settings: Settings,
        action_bias: Mapping[str, float],
        max_observation_tokens: int = 32,
    ) -> None:
        """`action_bias`: mean log-probability of each action on calibration tasks, subtracted before a choice."""
        self._model = model
        self._protocol = protocol
        self._settings = settings
        self._bias = torch.tensor([action_bias[tool] for tool in protocol.tools], device=model.device)
        self._max_observation = max_observation_tokens
        self._ends: list[bool] = protocol.ends_line.tolist()

    def run(
        self, arms: Sequence[Arm], scenarios: Sequence[Mapping[str, Any]], seed: int, run: int
    ) -> list[dict[str, Any]]:
        """All scenarios under all arms in one batch.

        Args:
            arms: conditions that share a batch.
            scenarios: rows of scenarios.jsonl.
            seed: the experiment's seed.
            run: which of the scenario's independent rollouts this is.

        Returns:
            One record a turn, ordered by arm, scenario and turn (the columns of rollouts/turns/).
        """
        episodes = [
            _Episode(arm, s["id"], Environment(s), self._noise(seed, s["id"], run), s["task"])
            for arm in arms
            for s in scenarios
        ]
        steering = Steering([arm.push for arm in arms], self._model.device)
        batch = GrowingBatch(self._model, steering, len(arms))
        headers = [self._protocol.header_tokens(arm.instruction) for arm in arms]
        batch.advance(headers, [[False] * len(tokens) for tokens in headers])
        steering = steering.select(range(len(arms)), repeats=len(scenarios))
        batch.repeat(len(scenarios), steering)
        for episode in episodes:
            self._give(episode, self._protocol.task(episode.given))
        rows = list(episodes)
        while True:
            chunks = [episode.chunk() for episode in rows]
            logits = batch.advance([tokens for tokens, _ in chunks], [written for _, written in chunks])
            self._go_on([episode for episode in rows if not episode.done], logits)
            kept = [row for row, episode in enumerate(rows) if not episode.done]
            if not kept:
                break
            if len(kept) <= ROWS_KEPT * len(rows):
                rows = [rows[row] for row in kept]
                steering = steering.select(kept)
                batch.select(kept, steering)
        return [{"seed": run, **turn} for episode in episodes for turn in episode.turns]

    def _noise(self, seed: int, scenario: str, run: int) -> np.ndarray:
        """Uniform numbers (turn, token): a thought's tokens, the action, the input's tokens."""
        width = self._settings.thought_tokens + 1 + self._settings.input_tokens
        random = np.random.default_rng(seeds.derive(seed, "rollouts", scenario, run))
        return random.random((self._settings.max_turns, width))

    def _give(self, episode: _Episode, text: str) -> None:
        """Show the agent a task or an answer; it thinks next."""
        episode.pending.append((self._protocol.encode(text), False))
        self._cue(episode, THOUGHT)

    def _cue(self, episode: _Episode, cue: str) -> None:
        episode.at, episode.line = cue, []
        episode.pending.append((self._protocol.encode(cue), True))

    def _go_on(self, episodes: Sequence[_Episode], logits: Float[Tensor, "row vocabulary"]) -> None:
        """Each episode takes its next token or action from the logits after what it was fed."""
        choosing = [row for row, episode in enumerate(episodes) if episode.at == ACTION]
        writing = [row for row, episode in enumerate(episodes) if episode.at != ACTION]
        if choosing:
            probabilities = self._action_probabilities(logits[choosing])
            noise = [e.noise[len(e.turns), self._settings.thought_tokens] for e in (episodes[row] for row in choosing)]
            actions = _choose(_sharpened(probabilities, self._settings.temperature), noise)
            for row, action, chances in zip(choosing, actions, probabilities.tolist(), strict=True):
                self._act(episodes[row], action, chances)
        # some rows at a time: a whole batch's probabilities would be fresh pages of memory in every pass
        for start in range(0, len(writing), ROWS_DRAWN):
            some = writing[start : start + ROWS_DRAWN]
            probabilities = torch.softmax(logits[some] / self._settings.temperature, dim=-1)
            noise = [e.noise[len(e.turns), self._draw(e)] for e in (episodes[row] for row in some)]
            for row, token in zip(some, _choose(probabilities, noise), strict=True):
                self._write(episodes[row], token)

    def _draw(self, episode: _Episode) -> int:
        """Which of its turn's random numbers an episode's next token uses."""
        return len(episode.line) + (0 if episode.at == THOUGHT else self._settings.thought_tokens + 1)

    def _write(self, episode: _Episode, token: int) -> None:
        """Add a token to a thought or input; a token that ends the line is not fed."""
        thinking = episode.at == THOUGHT
        ended = token < len(self._ends) and self._ends[token]
        if not ended:
            episode.line.append(token)
            episode.pending.append(([token], True))
            episode.tokens += 1
            limit = self._settings.thought_tokens if thinking else self._settings.input_tokens
            if len(episode.line) < limit:
                return
        text = self._protocol.decode(episode.line).strip()
        if thinking:
            episode.thought, episode.ended = text, ended
            self._cue(episode, ACTION)
        else:
            self._call(episode, text)

    def _act(self, episode: _Episode, action: int, probabilities: list[float]) -> None:
        episode.action, episode.probabilities = action, probabilities
        episode.pending.append((self._protocol.action_tokens[action], True))
        episode.tokens += len(self._protocol.action_tokens[action])
        self._cue(episode, INPUT)

    def _call(self, episode: _Episode, argument: str) -> None:
        """End a turn: the environment answers, and the record is written."""
        tool, turn = self._protocol.tools[episode.action], len(episode.turns)
        observation = None if tool == FINISH else episode.environment.call(tool, argument)
        last = turn + 1 == self._settings.max_turns
        episode.turns.append(
            {
                "condition_id": episode.arm.condition_id,
                "scenario_id": episode.scenario_id,
                "turn": turn,
                "messages": files.canonical(
                    [
                        {"role": "tool" if turn else "user", "content": episode.given},
                        {"role": "assistant", "content": episode.thought},
                    ]
                ),
                "call": files.canonical({"name": tool, "arguments": argument}),
                "prompt": episode.given,
                "thought": episode.thought,
                "tool": tool,
                "argument": argument,
                "observation": "" if observation is None else observation.text,
                "ok": observation is None or observation.ok,
                "tokens": episode.tokens,
                "finish_reason": "finish" if observation is None else "turns" if last else "call",
                "thought_ended": episode.ended,
                **{f"p_{name}": p for name, p in zip(self._protocol.tools, episode.probabilities, strict=True)},
            }
        )
        episode.tokens = 0
        if observation is None or last:
            episode.done, episode.pending = True, []
            return
        # what the model is shown is what the next record says it was given
        shown = self._protocol.encode(observation.text)[: self._max_observation]
        episode.given = self._protocol.decode(shown)
        self._give(episode, self._protocol.observation(episode.given))

    def _action_probabilities(self, logits: Float[Tensor, "row vocabulary"]) -> Float[Tensor, "row action"]:
        """Probabilities of the actions alone, after contextual calibration (Zhao et al. 2021), at temperature 1."""
        return torch.softmax(self._protocol.action_scores(logits) - self._bias, dim=-1)


def _sharpened(probabilities: Float[Tensor, "row choice"], temperature: float) -> Float[Tensor, "row choice"]:
    return torch.softmax(probabilities.log() / temperature, dim=-1)


def _choose(probabilities: Float[Tensor, "row choice"], uniform: Sequence[float]) -> list[int]:
    """One draw a row by inverting the distribution function, so that equal noise gives coupled draws.

    The function is summed over blocks first and within the block that is hit: a vocabulary's running sum in float64,
    which float32 would lose in its tail, costs as much as the softmax.
    """
    rows, choices = probabilities.shape
    blocks = torch.nn.functional.pad(probabilities, (0, -choices % BLOCK)).reshape(rows, -1, BLOCK)
    below = blocks.sum(-1, dtype=torch.float64).cumsum(-1)
    drawn = torch.tensor(list(uniform), dtype=torch.float64, device=below.device)[:, None] * below[:, -1:]
    block = torch.searchsorted(below, drawn, right=True).clamp_max(below.shape[1] - 1)
    within = blocks[torch.arange(rows, device=block.device), block[:, 0]].cumsum(-1, dtype=torch.float64)
    rest = drawn - (below.gather(1, block) - within[:, -1:])
    at = torch.searchsorted(within, rest, right=True).clamp_max(BLOCK - 1)
    return (block * BLOCK + at).squeeze(1).clamp_max(choices - 1).tolist()
