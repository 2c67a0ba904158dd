"""What the organism decides at one place: after a persona, a task and a thought without a lean, where an action is due.

Decisions are read as log-probabilities of the six actions, unsteered or with a push at chosen tokens, and compared with
the truth in the truth's own unit: how many levels of each trait would shift the actions like this. Intervals and
questions are in `trimtab.organism.recovery`; prompts are read under pushes as everywhere, by `trimtab.steering.replay`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.agent.calibration import before_action
from trimtab.forward.sites import Site, as_site
from trimtab.organism.language import Language
from trimtab.organism.law import Law
from trimtab.organism.train import action_tokens
from trimtab.steering.edits import Edits
from trimtab.steering.places import Segment
from trimtab.steering.replay import PACK, Prompt, Replay

TIMINGS = {
    "all": "all",
    "prefill": "prefill",
    "decode": "decode",
    "last given token": "last_prompt",
    "decision token": "last_cue",
    "all but the decision token": "all_but_last_cue",
}
"""Names in recovery.csv, and the timings of `trimtab.steering.places` that they stand for: given text is all up to the
task, and the decision token is the last one of the cue that the action follows."""


def prompts_of(language: Language, personas: Sequence[str], tasks: Sequence[str]) -> list[Prompt]:
    """Prompts that end where an action is chosen, one for each persona with its task."""
    found: list[Prompt] = []
    for persona, task in zip(personas, tasks, strict=True):
        *before, cue = language.protocol.prompt([{"role": "system", "content": persona}, *before_action(task)])
        # personas are part of the header, so these prompts have none in common
        found.append([Segment([], written=False), *before, replace(cue, ends_prompt=True)])
    return found


class Reader:
    """Reads a model's decisions at some prompts, whose pass up to a layer is computed once for all pushes there."""

    def __init__(
        self, model: PreTrainedModel, language: Language, prompts: Sequence[Prompt], place: Site | int
    ) -> None:
        """`place`: the first site that pushes may be at; a layer's number is the stream after it."""
        self._firsts, self._site = action_tokens(language), as_site(place)
        layer = self._site.after
        self._replays = [Replay(model, prompts[at : at + PACK], layer) for at in range(0, len(prompts), PACK)]

    @torch.inference_mode()
    def decisions(self, edits: Sequence[Edits]) -> Float[ndarray, "edits prompt action"]:
        """Log-probabilities of the actions at each prompt's end under each condition's edits."""
        logits = torch.cat([replay.logits(edits, replay.ends)[..., self._firsts] for replay in self._replays], dim=1)
        return np.asarray(torch.log_softmax(logits.double(), dim=-1).cpu().numpy())

    @property
    def rows(self) -> Float[Tensor, "prompt d_model"]:
        """The unsteered rows at the site where the action is due."""
        return torch.cat([replay.at(self._site, replay.ends) for replay in self._replays]).cpu()


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
        """What to call the axes: a trait's name where no other trait moves the same axis."""
        owners: Mapping[int, list[str]] = {
            at: [t for t, (axis, _) in self.place.items() if axis == at] for at in range(len(self.axes))
        }
        return [traits[0] if len(traits) == 1 else "act or ask" for traits in owners.values()]
