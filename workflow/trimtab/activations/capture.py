"""From token sequences to a cache shard: one pass of the model for all layers, batches of near-equal length.

A context that several prompts share (the few-shot header) is computed once a batch and kept in the key-value cache;
its own tokens are never stored.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.activations.store import Writer
from trimtab.attention import shares_headers
from trimtab.cache import repeat_rows, roomy_cache
from trimtab.errors import TrimtabError
from trimtab.residual import Stream, capture

SELECTIONS = ("all", "last")
"""all: every token but the first of the whole sequence, which is an attention sink in most models; last: the last."""


@dataclass(frozen=True)
class Prompt:
    """A prompt ready for the model: tokens to store, after context that is read and not stored."""

    id: str
    tokens: list[int]
    context: tuple[int, ...] = ()

    def kept(self, selection: str) -> range:
        """Indices into `tokens` of the rows to store."""
        first = len(self.tokens) - 1 if selection == "last" else 0 if self.context else 1
        return range(first, len(self.tokens))


def batches(prompts: Sequence[Prompt], token_budget: int) -> Iterator[list[Prompt]]:
    """Prompts of equal context and near-equal length, at most `token_budget` tokens a batch with padding.

    Raises:
        TrimtabError: a prompt has nothing to store.
    """
    for prompt in prompts:
        if not len(prompt.context) + len(prompt.tokens) > 1 or not prompt.tokens:
            raise TrimtabError(f"prompt {prompt.id}: {len(prompt.tokens)} tokens; expected at least 2")
    ordered = sorted(prompts, key=lambda p: (p.context, -len(p.tokens), p.id))
    for _, group in groupby(ordered, key=lambda p: p.context):
        waiting: list[Prompt] = []
        for prompt in group:
            if waiting and (len(waiting) + 1) * len(waiting[0].tokens) > token_budget:
                yield waiting
                waiting = []
            waiting.append(prompt)
        yield waiting


def fill(
    model: PreTrainedModel, batch: Sequence[Prompt], layers: Sequence[int], selection: str, writer: Writer
) -> None:
    """Capture one batch of prompts of equal context and append it to a shard."""
    kept = [p.kept(selection) for p in batch]
    writer.append(
        [p.id for p in batch],
        [[p.tokens[at] for at in span] for p, span in zip(batch, kept, strict=True)],
        [[len(p.context) + at for at in span] for p, span in zip(batch, kept, strict=True)],
        kept_rows(model, batch, layers, selection),
    )


def kept_rows(
    model: PreTrainedModel, batch: Sequence[Prompt], layers: Sequence[int], selection: str
) -> dict[int, Float[Tensor, "token d_model"]]:
    """The selected rows of a batch of prompts of equal context, prompt after prompt."""
    kept = [p.kept(selection) for p in batch]
    row = torch.tensor([i for i, span in enumerate(kept) for _ in span])
    column = torch.tensor([at for span in kept for at in span])
    streams = _streams(model, batch, layers)
    return {layer: stream[row.to(stream.device), column.to(stream.device)] for layer, stream in streams.items()}


def _streams(model: PreTrainedModel, batch: Sequence[Prompt], layers: Sequence[int]) -> dict[int, Stream]:
    longest = max(len(p.tokens) for p in batch)
    # right padding: causal layers never look at it, and its rows are dropped
    ids = torch.tensor([p.tokens + [0] * (longest - len(p.tokens)) for p in batch], device=model.device)
    mask = torch.tensor([[1] * len(p.tokens) + [0] * (longest - len(p.tokens)) for p in batch], device=model.device)
    context = torch.tensor([batch[0].context], dtype=torch.long, device=model.device)
    if not context.numel():
        return capture(model, layers, input_ids=ids, attention_mask=None if bool(mask.all()) else mask)
    cache = roomy_cache(model.config)
    capture(model, layers, input_ids=context, past_key_values=cache)
    repeat_rows(cache, 1, len(batch), share=shares_headers(model))
    seen = torch.ones(len(batch), context.shape[1], dtype=mask.dtype, device=model.device)
    positions = context.shape[1] + torch.arange(longest, device=model.device)[None]
    return capture(
        model,
        layers,
        input_ids=ids,
        attention_mask=torch.cat([seen, mask], dim=1),
        position_ids=positions.expand(len(batch), -1),
        past_key_values=cache,
    )
