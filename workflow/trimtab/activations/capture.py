"""From token sequences to a cache shard: one pass of the model for all layers, batches of near-equal length.

A context that several prompts share (the few-shot header) is computed once a batch and kept in the key-value cache;
its own tokens are never stored.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from trimtab.activations.store import Writer
from trimtab.errors import TrimtabError
from trimtab.packed import PackedRows, packs_rows
from trimtab.residual import capture

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
    starts = torch.tensor([0] + [len(p.tokens) for p in batch]).cumsum(0).tolist()
    wanted = torch.tensor(
        [start + at for start, p in zip(starts, batch, strict=False) for at in p.kept(selection)], device=model.device
    )
    return {layer: rows[wanted.to(rows.device)] for layer, rows in _rows(model, batch, layers).items()}


def _rows(
    model: PreTrainedModel, batch: Sequence[Prompt], layers: Sequence[int]
) -> dict[int, Float[Tensor, "token d_model"]]:
    """The rows of all tokens of a batch, prompt after prompt."""
    context = batch[0].context
    if packs_rows(model):
        rows = PackedRows(model, 1 if context else len(batch))
        if context:
            capture(model, layers, **rows.feed([context]).inputs)
            rows.repeat(len(batch))
        streams = capture(model, layers, **rows.feed([p.tokens for p in batch]).inputs)
        return {layer: stream[0] for layer, stream in streams.items()}
    # right padding: causal layers never look at it, and its rows are dropped
    longest = max(len(p.tokens) for p in batch)
    ids = torch.tensor([p.tokens + [0] * (longest - len(p.tokens)) for p in batch], device=model.device)
    inputs: dict[str, Any] = {"input_ids": ids}
    if context:
        cache = DynamicCache(config=model.config)
        capture(model, layers, input_ids=torch.tensor([context], device=model.device), past_key_values=cache)
        cache.reorder_cache(torch.LongTensor([0] * len(batch)))
        positions = len(context) + torch.arange(longest, device=model.device)[None]
        inputs |= {"position_ids": positions.expand(len(batch), -1), "past_key_values": cache}
    real = torch.tensor([[at < len(p.tokens) for at in range(longest)] for p in batch])
    return {layer: stream[real.to(stream.device)] for layer, stream in capture(model, layers, **inputs).items()}
