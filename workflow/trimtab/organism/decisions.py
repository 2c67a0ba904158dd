"""What the organism decides at one place: after a persona, a task and a thought without a lean, where an action is due.

Decisions are read as log-probabilities of the six actions, unsteered or with a push at chosen tokens, and compared with
the truth in the truth's own unit: how many levels of each trait would shift the actions like this. Intervals and
questions are in `trimtab.organism.recovery`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.agent.calibration import before_action
from trimtab.forward.hooks import Edit, capture, hooked
from trimtab.organism.language import Language
from trimtab.organism.law import Law
from trimtab.organism.train import action_tokens

ROWS = 256
"""Prompts a pass."""

Touched = list[list[bool]]


@dataclass(frozen=True)
class Prompts:
    """Prompts that end where an action is chosen."""

    tokens: list[list[int]]
    written: list[list[bool]]
    """Which tokens belong to the agent's own turn."""

    @classmethod
    def of(cls, language: Language, personas: Sequence[str], tasks: Sequence[str]) -> "Prompts":
        """One prompt a persona and task, side by side."""
        tokens, written = [], []
        for persona, task in zip(personas, tasks, strict=True):
            segments = language.protocol.prompt([{"role": "system", "content": persona}, *before_action(task)])
            tokens.append([token for one in segments for token in one.tokens])
            written.append([one.written for one in segments for _ in one.tokens])
        return cls(tokens, written)

    def touched(self, timing: str) -> Touched:
        """The tokens that a push at `timing` (a key of `TIMINGS`) touches."""
        choose = TIMINGS[timing]
        return [choose(row) for row in self.written]


def _last(row: list[bool]) -> list[bool]:
    return [at == len(row) - 1 for at in range(len(row))]


def _last_given(row: list[bool]) -> list[bool]:
    given = row.index(True) - 1
    return [at == given for at in range(len(row))]


TIMINGS: dict[str, Callable[[list[bool]], list[bool]]] = {
    "all": lambda row: [True] * len(row),
    "prefill": lambda row: [not own for own in row],
    "decode": list,
    "last given token": _last_given,
    "decision token": _last,
    "all but the decision token": lambda row: [not last for last in _last(row)],
}
"""Which tokens of a prompt are touched, from which of them are the agent's own: given text is all up to the task, and
the decision token is the cue behind which the action stands."""


class Reader:
    """Reads a model's decisions."""

    def __init__(self, model: PreTrainedModel, language: Language) -> None:
        self._model = model
        self._firsts = action_tokens(language)

    @torch.inference_mode()
    def decisions(
        self, prompts: Prompts, push: tuple[int, Float[Tensor, "d_model"]] | None = None, timing: str = "all"
    ) -> Float[ndarray, "prompt action"]:
        """Log-probabilities of the actions at each prompt's end, with `push` added after its layer."""
        parts = []
        for ids, ends, touched in self._passes(prompts, timing):
            edits = {} if push is None else {push[0]: _adding(push[1], touched)}
            with hooked(self._model, edits):
                logits: Tensor = self._model(input_ids=ids, use_cache=False).logits
            at_end = logits[torch.arange(len(ids)), ends].float()
            parts.append(torch.log_softmax(at_end[:, self._firsts].double(), dim=-1))
        return np.asarray(torch.cat(parts).numpy())

    def rows(self, prompts: Prompts, layer: int) -> Float[Tensor, "prompt d_model"]:
        """The residual stream after `layer` where the action is due."""
        parts = [
            capture(self._model, [layer], input_ids=ids)[layer][torch.arange(len(ids)), ends].float()
            for ids, ends, _ in self._passes(prompts, "all")
        ]
        return torch.cat(parts)

    def _passes(self, prompts: Prompts, timing: str) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Tokens padded on the right, which causal layers never look at; the place of each end; tokens to touch."""
        touched = prompts.touched(timing)
        for start in range(0, len(prompts.tokens), ROWS):
            tokens, marks = prompts.tokens[start : start + ROWS], touched[start : start + ROWS]
            longest = max(map(len, tokens))
            ids = torch.tensor([row + [0] * (longest - len(row)) for row in tokens])
            active = torch.tensor([row + [False] * (longest - len(row)) for row in marks])
            yield ids, torch.tensor([len(row) - 1 for row in tokens]), active


def _adding(delta: Float[Tensor, "d_model"], touched: Bool[Tensor, "prompt token"]) -> Edit:
    return lambda stream: stream + touched[..., None] * delta


class Ruler:
    """Turns shifts of decisions into levels of traits."""

    def __init__(self, law: Law) -> None:
        gains = law.gains - law.gains.mean(1, keepdims=True)
        axes: list[Float[ndarray, " action"]] = []
        self.place: dict[str, tuple[int, int]] = {}
        """Trait -> the axis that it moves, and in which direction."""
        for trait, gain in zip(law.traits, gains, strict=True):
            known = [(at, sign) for at, axis in enumerate(axes) for sign in (1, -1) if np.allclose(gain, sign * axis)]
            if not known:
                axes.append(gain)
                known = [(len(axes) - 1, 1)]
            self.place[trait] = known[0]
        self.axes = np.stack(axes)
        self._solve = np.linalg.pinv(self.axes)

    def levels(self, shift: Float[ndarray, "*rows action"]) -> Float[ndarray, "*rows axis"]:
        """Levels along each axis that explain a shift of log-probabilities best, by least squares."""
        return np.asarray((shift - shift.mean(-1, keepdims=True)) @ self._solve)

    def own(self, trait: str, levels: Float[ndarray, "*rows axis"]) -> Float[ndarray, "*rows"]:
        """The part that is the trait's own, in the trait's direction."""
        at, sign = self.place[trait]
        return np.asarray(sign * levels[..., at])

    def names(self) -> list[str]:
        """What to call the axes: a trait's name where it has one of its own."""
        owners: Mapping[int, list[str]] = {
            at: [t for t, (axis, _) in self.place.items() if axis == at] for at in range(len(self.axes))
        }
        return [traits[0] if len(traits) == 1 else "act or ask" for traits in owners.values()]
