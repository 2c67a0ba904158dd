"""What methods learn through the model, and how likely it then finds the words of each pole.

Trainings read the pairs of development templates alone. Held-out words are read once a vector is made, to show how far
it has its own pairs by heart, and change nothing.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.steering.edits import Edits, after
from trimtab.steering.laid import Prompt
from trimtab.steering.packs import PACK, replays
from trimtab.vectors.contrast_readings import ContrastReadings, Message
from trimtab.vectors.objective import Course, Learned, Objective, Plan
from trimtab.vectors.parts import Part
from trimtab.vectors.read_parts import parts
from trimtab.vectors.training import drawn, order, train


class TrainingReadings(ContrastReadings):
    """Of pairs of the contrast prompts."""

    _differentiable: Callable[[], PreTrainedModel]
    """Loads the model once more, for gradients."""

    def train(
        self,
        objective: Objective,
        plan: Plan,
        selecting: Sequence[bool],
        seed: int,
        swap: Bool[Tensor, "pair"] | None = None,
    ) -> Learned:
        """What an objective comes to on the contrast prompts.

        Args:
            selecting: which pairs are kept for choosing; the others are trained on.
            swap: pairs whose poles change places.
        """
        read, (fit, select) = self._read(objective, plan, swap), (_split(selecting, kept) for kept in (False, True))
        batches = [read(pairs) for pairs in order(fit, plan.batch, seed)]
        found = train(objective, Course(batches, read(drawn(select, plan.kept, seed))), plan, seed, swap is not None)
        self._spend("train", found.cost.forwards, found.cost.backwards)
        return found

    def slopes(
        self, objective: Objective, plan: Plan, selecting: Sequence[bool], swap: Bool[Tensor, "pair"] | None = None
    ) -> dict[str, Tensor]:
        """The gradient of an objective's loss where it starts, mean over the pairs that it is trained on."""
        fit = _split(selecting, False)
        own = {name: value.clone().requires_grad_() for name, value in objective.start.items()}
        read = objective.passes * len(fit)
        self._spend("slopes", read + len(objective.poles) * len(fit) * objective.unsteered, read)
        return objective.slopes(own, self._read(objective, plan, swap)(fit), 1.0)[1]

    def _read(
        self, objective: Objective, plan: Plan, swap: Bool[Tensor, "pair"] | None
    ) -> Callable[[Sequence[int]], list[Part]]:
        """What makes parts of some pairs."""
        model, prompts = self._differentiable(), [self._due_prompts(pole) for pole in self._poles]
        turned = [False] * len(prompts[0]) if swap is None else swap.tolist()
        poles = [[prompts[pole ^ turn][pair] for pair, turn in enumerate(turned)] for pole in objective.poles]
        return lambda pairs: [*parts(model, poles, pairs, plan.together, self._site)]

    def margins(
        self,
        edits: Edits,
        pairs: Sequence[int],
        poles: Sequence[Sequence[Sequence[Message]]] | None = None,
    ) -> Float[Tensor, "steered pair"]:
        """By how much likelier the high pole's words are than the low one's, in nats, first unsteered and then under
        edits.

        Args:
            poles: conversations of the high and of the low pole; those of the contrast prompts where none are given.
        """
        some = [[pole[pair] for pair in pairs] for pole in poles or self._poles]
        prompts = [prompt for pole in some for prompt in self._due_prompts(pole)]
        found = torch.empty(2, len(prompts), dtype=torch.float64)
        for pack, replay in replays(self._model, prompts, after(edits), PACK):
            with torch.no_grad():
                found[:, pack] = replay.log_probabilities([(), edits]).double().cpu()
        high, low = found.chunk(2, dim=1)
        return high - low

    def _due_prompts(self, pole: Sequence[Sequence[Message]]) -> list[Prompt]:
        return [self._protocol.prompt(messages) for messages in pole]


def _split(selecting: Sequence[bool], kept: bool) -> list[int]:
    """Pairs that are kept for choosing, or those that are not."""
    return [pair for pair, each in enumerate(selecting) if each == kept]
