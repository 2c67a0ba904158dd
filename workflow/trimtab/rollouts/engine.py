"""Batches of agent episodes, steered row by row.

Conditions and scenarios run side by side: a header that several rows share is computed once a condition, episodes step
together, and finished ones leave the batch. Sampling noise belongs to (scenario, seed, turn, token) and never to the
condition, so that two conditions of a scenario differ by their steering alone (common random numbers). What a step
looks like is `protocol`'s business, what a call returns `environment`'s, what is added where `trimtab.steering`'s.
"""

from collections.abc import Callable, Mapping, Sequence
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
    """One row: a scenario under an arm, and what has happened so far."""

    arm: Arm
    scenario_id: str
    task: str
    environment: Environment
    noise: np.ndarray
    given: str = ""
    pending: list[tuple[list[int], bool]] = field(default_factory=list)
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
        self._firsts = torch.tensor([tokens[0] for tokens in protocol.action_tokens], device=model.device)
        self._ends = protocol.ends_line.to(model.device)

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
            _Episode(arm, s["id"], s["task"], Environment(s), self._noise(seed, s["id"], run))
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
            episode.given = episode.task
            episode.pending = [(self._protocol.encode(self._protocol.task(episode.task)), False)]
        alive = list(episodes)
        for turn in range(self._settings.max_turns):
            self._step(batch, alive, turn)
            kept = [row for row, episode in enumerate(alive) if not episode.done]
            if not kept:
                break
            if len(kept) < len(alive):
                steering = steering.select(kept)
                batch.select(kept, steering)
                alive = [alive[row] for row in kept]
        return [{"seed": run, **turn} for episode in episodes for turn in episode.turns]

    def _noise(self, seed: int, scenario: str, run: int) -> np.ndarray:
        """Uniform numbers (turn, token): a thought's tokens, the action, the input's tokens."""
        width = self._settings.thought_tokens + 1 + self._settings.input_tokens
        random = np.random.default_rng(seeds.derive(seed, "rollouts", scenario, run))
        return random.random((self._settings.max_turns, width))

    def _step(self, batch: GrowingBatch, episodes: list[_Episode], turn: int) -> None:
        """One Thought, Action, Input, Observation in every row."""
        limit = self._settings.thought_tokens
        thoughts, thought_ends = self._write(batch, episodes, THOUGHT, limit, lambda e: e.noise[turn, :limit])
        for episode in episodes:
            episode.pending.append((self._protocol.encode(ACTION), True))
        probabilities = self._action_probabilities(self._advance(batch, episodes))
        actions = _choose(
            _sharpened(probabilities, self._settings.temperature), [e.noise[turn, limit] for e in episodes]
        )
        for episode, action in zip(episodes, actions, strict=True):
            episode.pending.append((self._protocol.action_tokens[action], True))
        inputs, _ = self._write(
            batch, episodes, INPUT, self._settings.input_tokens, lambda e: e.noise[turn, limit + 1 :]
        )
        for row, episode in enumerate(episodes):
            tool = self._protocol.tools[actions[row]]
            thought = self._protocol.decode(thoughts[row]).strip()
            argument = self._protocol.decode(inputs[row]).strip()
            observation = None if tool == FINISH else episode.environment.call(tool, argument)
            episode.turns.append(
                {
                    "condition_id": episode.arm.condition_id,
                    "scenario_id": episode.scenario_id,
                    "turn": turn,
                    "messages": files.canonical(
                        [
                            {"role": "tool" if turn else "user", "content": episode.given},
                            {"role": "assistant", "content": thought},
                        ]
                    ),
                    "call": files.canonical({"name": tool, "arguments": argument}),
                    "prompt": episode.given,
                    "thought": thought,
                    "tool": tool,
                    "argument": argument,
                    "observation": "" if observation is None else observation.text,
                    "ok": observation is None or observation.ok,
                    "tokens": len(thoughts[row]) + len(inputs[row]) + len(self._protocol.action_tokens[actions[row]]),
                    "finish_reason": "finish"
                    if observation is None
                    else "turns"
                    if turn + 1 == self._settings.max_turns
                    else "call",
                    "thought_ended": thought_ends[row],
                    **{f"p_{name}": float(probabilities[row, i]) for i, name in enumerate(self._protocol.tools)},
                }
            )
            if observation is None:
                episode.done = True
                continue
            # what the model is shown is what the next record says it was given
            shown = self._protocol.encode(observation.text)[: self._max_observation]
            episode.given = self._protocol.decode(shown)
            episode.pending.append((self._protocol.encode(self._protocol.observation(episode.given)), False))

    def _write(
        self,
        batch: GrowingBatch,
        episodes: list[_Episode],
        cue: str,
        limit: int,
        noise: Callable[[_Episode], np.ndarray],
    ) -> tuple[list[list[int]], list[bool]]:
        """Let every row write a line after `cue`; returns its tokens and whether the line ended before the limit."""
        for episode in episodes:
            episode.pending.append((self._protocol.encode(cue), True))
        lines: list[list[int]] = [[] for _ in episodes]
        ended = [False] * len(episodes)
        uniform = [noise(episode) for episode in episodes]
        for at in range(limit):
            probabilities = torch.softmax(self._advance(batch, episodes) / self._settings.temperature, dim=-1)
            sampled = _choose(probabilities, [u[at] for u in uniform])
            for row, token in enumerate(sampled):
                if ended[row]:
                    continue
                if token < len(self._ends) and self._ends[token]:
                    ended[row] = True
                    continue
                lines[row].append(token)
                episodes[row].pending.append(([token], True))
            if all(ended):
                break
        return lines, ended

    def _advance(self, batch: GrowingBatch, episodes: list[_Episode]) -> Float[Tensor, "row vocabulary"]:
        chunks = [episode.chunk() for episode in episodes]
        return batch.advance([tokens for tokens, _ in chunks], [written for _, written in chunks])

    def _action_probabilities(self, logits: Float[Tensor, "row vocabulary"]) -> Float[Tensor, "row action"]:
        """Probabilities of the actions alone, after contextual calibration (Zhao et al. 2021), at temperature 1."""
        scores = torch.log_softmax(logits, dim=-1)[:, self._firsts]
        return torch.softmax(scores - self._bias, dim=-1)


def _sharpened(probabilities: Float[Tensor, "row choice"], temperature: float) -> Float[Tensor, "row choice"]:
    return torch.softmax(probabilities.log() / temperature, dim=-1)


def _choose(probabilities: Float[Tensor, "row choice"], uniform: Sequence[float]) -> list[int]:
    """One draw a row by inverting the distribution function, so that equal noise gives coupled draws."""
    # float64: in float32 the tail of a large vocabulary is lost to rounding
    cumulative = probabilities.cumsum(dim=-1, dtype=torch.float64)
    at = torch.tensor(list(uniform), dtype=torch.float64, device=cumulative.device)[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, at, right=True).squeeze(-1).clamp_max(probabilities.shape[-1] - 1).tolist()
