"""Prompts of one header as the tokens of a pass: where each stands, and what sees what.

They stand in one sequence, each after the header and blind to the others. Only attention keeps prompts of one sequence
apart: for models with recurrent layers, or that count positions themselves, each prompt is a separate sequence, header
included. How they are read is in `trimtab.steering.replay`.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.forward.behind_header import cache_of
from trimtab.forward.masks import behind_header
from trimtab.forward.packed import packs_rows
from trimtab.steering.places import Piece, Places, Segment

Prompt = Sequence[Segment | Piece]


def never_meet(model: PreTrainedModel) -> bool:
    """Whether prompts of one sequence don't meet in attention at all (`trimtab.forward.behind_header`): otherwise a
    mask hides what was computed, and a sequence must not grow."""
    # elsewhere than on a CPU it wasn't measured whether many small products take less time than a large one
    return packs_rows(model) and model.device.type == "cpu"


class Laid:
    """Prompts of one header, laid into sequences."""

    def __init__(self, prompts: Sequence[Prompt], apart: bool, device: torch.device) -> None:
        """`apart`: each prompt is a sequence of its own."""
        self._apart, self._header = apart, len(prompts[0][0].tokens)
        header = self._header
        whole = [[pair for one in prompt for pair in zip(one.tokens, one.places, strict=True)] for prompt in prompts]
        own = [tokens[header:] for tokens in whole]
        # one sequence of all prompts after one header, or each prompt's own sequence
        sequences = whole if apart else [[*whole[0][:header], *(token for tokens in own for token in tokens)]]
        longest = max(map(len, sequences))
        # causal layers never look at what comes after a sequence's end
        padded = [[*sequence, *[(0, 0)] * (longest - len(sequence))] for sequence in sequences]
        self._places = torch.tensor([[place for _, place in sequence] for sequence in padded], device=device)
        self._ids = torch.tensor([[token for token, _ in sequence] for sequence in padded], device=device)
        self.owner = torch.tensor([at for at, tokens in enumerate(own) for _ in tokens], device=device)
        """The prompt of every token after the header."""
        self._counts = torch.bincount(self.owner, minlength=len(prompts))
        starts = self._counts.cumsum(0) - self._counts
        place = header + torch.arange(len(self.owner), device=device)
        self._position = place - starts[self.owner]
        self._at = torch.stack([self.owner, self._position] if apart else [torch.zeros_like(place), place], dim=1)
        """Sequence and place of every token after the header."""
        self.tail = torch.arange(len(self.owner), device=device)
        """Every token after the header, prompt after prompt."""
        self.ends = self._counts.cumsum(0) - 1
        """The last token of each prompt."""

    def inputs(self, model: PreTrainedModel) -> dict[str, Any]:
        """What the model's forward takes to read the sequences."""
        if self._apart:
            return {"input_ids": self._ids}
        position = torch.cat([torch.arange(self._header, device=self._ids.device), self._position])
        inputs: dict[str, Any] = {
            "input_ids": self._ids,
            "position_ids": position[None],
            "attention_mask": behind_header(
                self.owner, position, model.config.get_text_config(decoder=True), model.dtype
            ),
        }
        if never_meet(model):
            bounds = pairwise(accumulate([0, self._header, *self._counts.tolist()]))
            inputs["past_key_values"] = cache_of(model, [slice(*each) for each in bounds])
        return inputs

    @property
    def written(self) -> Bool[Tensor, "token"]:
        """Whether the agent wrote it, of every token after the header."""
        sequence, place = self._at.T
        return Places.of(self._places[sequence, place]).written

    @property
    def tokens(self) -> Int[Tensor, "token"]:
        """The ids of every token after the header."""
        sequence, place = self._at.T
        return self._ids[sequence, place]

    @cached_property
    def told(self) -> Int[Tensor, "kept"]:
        """Which of `tail` are followed by a token that the agent wrote: whose logits tell how likely that was."""
        # it must be of the same prompt
        return (self.written[1:] & (self.owner[1:] == self.owner[:-1])).nonzero()[:, 0]

    @cached_property
    def owners(self) -> Int[Tensor, "row"]:
        """The prompt of every row of a pass, sequence after sequence, as an edit of one condition meets them; -1 for
        the header and for what fills a sequence up."""
        found = torch.full_like(self._ids, -1)
        sequence, place = self._at.T
        found[sequence, place] = self.owner
        return found.flatten()
