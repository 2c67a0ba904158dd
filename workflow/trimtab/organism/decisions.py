"""What the organism decides at one place: after a persona, a task and a thought without a lean, where an action is due.

Decisions are read as log-probabilities of the six actions, unsteered or with a push at chosen tokens. What they come to
in the truth's own unit is in `trimtab.organism.ruler`, intervals and questions are in `trimtab.organism.recovery`;
prompts are read under pushes as everywhere, by `trimtab.steering.replay`.
"""

from collections.abc import Sequence
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
from trimtab.organism.train import action_tokens
from trimtab.steering.edits import Edits
from trimtab.steering.laid import Prompt
from trimtab.steering.packs import PACK
from trimtab.steering.places import Segment
from trimtab.steering.replay import Replay

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
