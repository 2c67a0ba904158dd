"""Who computes the rows of a shard: the model in this process, or another engine that gives the same rows.

The other engine's reader is `trimtab.rollouts.served.rows`; what is done with rows is in `trimtab.activations.shards`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.artifacts.digest import LIBRARY, code_digest
from trimtab.forward.capture import Prompt, kept_rows
from trimtab.forward.hooks import check_layers
from trimtab.forward.memory import bytes_a_token, token_budget
from trimtab.forward.sites import Site
from trimtab.settings.activations import CaptureSettings


class RowReader(Protocol):
    @property
    def dtype(self) -> torch.dtype:
        """Of the rows."""

    @property
    def code(self) -> str:
        """Digest of the code that computes them: what is half done by other code is begun again."""

    def begin(self, settings: CaptureSettings, layers: Sequence[int], longest: int) -> int:
        """Be ready for rows of these layers; returns how many tokens a batch may hold.

        Args:
            longest: tokens of the longest sequence, context included.

        Raises:
            TrimtabError: the model doesn't have one of the layers, or can't read so long a sequence.
        """

    def rows(
        self, batch: Sequence[Prompt], sites: Sequence[Site], selection: str
    ) -> dict[int, Float[Tensor, "token d_model"]]:
        """By layer, the selected rows of a batch of prompts of equal context, prompt after prompt.

        They follow from the batch alone, whatever was read before it.
        """


@dataclass(frozen=True)
class ModelRows:
    """The rows of a model of `transformers` in this process."""

    model: PreTrainedModel

    @property
    def dtype(self) -> torch.dtype:
        return self.model.dtype

    @property
    def code(self) -> str:
        return code_digest(Path(__file__), LIBRARY)

    def begin(self, settings: CaptureSettings, layers: Sequence[int], longest: int) -> int:
        check_layers(self.model, layers)
        return token_budget(settings, bytes_a_token(self.model, len(layers), longest), longest)

    def rows(
        self, batch: Sequence[Prompt], sites: Sequence[Site], selection: str
    ) -> dict[int, Float[Tensor, "token d_model"]]:
        return kept_rows(self.model, batch, sites, selection)
