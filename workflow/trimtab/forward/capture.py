"""From token sequences to rows: one pass of the model for all layers, batches of near-equal length.

A context that several prompts share (the few-shot header) is computed once a batch and kept in the key-value cache,
where the architecture has one; its own tokens are never stored.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from trimtab.errors import TrimtabError
from trimtab.forward.hooks import base_model, capture, decoder_layers
from trimtab.forward.packed import PackedRows, packs_rows
from trimtab.forward.proof import FAILURES, alike, alone, rows_of_tokens
from trimtab.forward.sites import Site

SELECTIONS = ("all", "last")
"""all: every token but the first of the whole sequence, which is an attention sink in most models; last: the last."""


@dataclass(frozen=True)
class Prompt:
    """A prompt ready for the model: tokens to store, after context that is read and not stored."""

    id: str
    tokens: list[int]
    context: tuple[int, ...] = ()

    @property
    def first(self) -> int:
        """The first of `tokens` that may be stored."""
        return 0 if self.context else 1

    def kept(self, selection: str) -> range:
        """Indices into `tokens` of the rows to store, by one of `SELECTIONS`."""
        return range(self.first if selection == "all" else len(self.tokens) - 1, len(self.tokens))


def check_prompts(prompts: Sequence[Prompt], selection: str, longest: int | None) -> None:
    """Pass prompts that can be captured.

    Args:
        longest: tokens of a whole sequence that the model can read, if it has such a limit.

    Raises:
        TrimtabError: a prompt is empty, too long or named twice, the selection is unknown, or there is no prompt.
    """
    if not prompts:
        raise TrimtabError("no prompts to capture; expected at least one a shard")
    if selection not in SELECTIONS:
        raise TrimtabError(f"selection {selection!r}: expected one of {', '.join(SELECTIONS)}")
    seen: set[str] = set()
    for prompt in prompts:
        if prompt.id in seen:
            raise TrimtabError(f"prompt {prompt.id}: stands twice in one shard; expected ids that differ")
        seen.add(prompt.id)
        _check_length(prompt)
        length = len(prompt.context) + len(prompt.tokens)
        if longest is not None and length > longest:
            raise TrimtabError(
                f"prompt {prompt.id}: {length} tokens with its context; the model reads at most {longest}"
            )


def _check_length(prompt: Prompt) -> None:
    if not len(prompt.context) + len(prompt.tokens) > 1 or not prompt.tokens:
        raise TrimtabError(f"prompt {prompt.id}: {len(prompt.tokens)} tokens; expected at least 2")


def batches(prompts: Sequence[Prompt], token_budget: int) -> Iterator[list[Prompt]]:
    """Prompts of equal context and near-equal length, at most `token_budget` tokens a batch with padding.

    Raises:
        TrimtabError: a prompt has nothing to store.
    """
    for prompt in prompts:
        _check_length(prompt)
    ordered = sorted(prompts, key=lambda p: (p.context, -len(p.tokens), p.id))
    for _, group in groupby(ordered, key=lambda p: p.context):
        waiting: list[Prompt] = []
        for prompt in group:
            if waiting and (len(waiting) + 1) * len(waiting[0].tokens) > token_budget:
                yield waiting
                waiting = []
            waiting.append(prompt)
        yield waiting


def kept_rows(
    model: PreTrainedModel, batch: Sequence[Prompt], places: Sequence[Site | int], selection: str
) -> dict[int, Float[Tensor, "token d_model"]]:
    """The selected rows of a batch of prompts of equal context, prompt after prompt; places as of `capture`."""
    starts = torch.tensor([0] + [len(p.tokens) for p in batch]).cumsum(0).tolist()
    wanted = torch.tensor(
        [start + at for start, p in zip(starts, batch, strict=False) for at in p.kept(selection)], device=model.device
    )
    return {layer: rows[wanted.to(rows.device)] for layer, rows in _rows(model, batch, places).items()}


def _rows(
    model: PreTrainedModel, batch: Sequence[Prompt], places: Sequence[Site | int]
) -> dict[int, Float[Tensor, "token d_model"]]:
    """The rows of all tokens of a batch, prompt after prompt."""
    context = batch[0].context
    if packs_rows(model):
        rows = PackedRows(model, 1 if context else len(batch))
        if context:
            [header] = rows.passes([context])
            capture(model, places, **header.inputs)
            rows.repeat(len(batch))
        [prompts] = rows.passes([p.tokens for p in batch])
        streams = capture(model, places, **prompts.inputs)
        return {layer: stream[0] for layer, stream in streams.items()}
    way = _way(model)
    if context and not way.cached:
        whole = [Prompt(p.id, [*context, *p.tokens]) for p in batch]
        own = torch.tensor([at >= len(context) for p in whole for at in range(len(p.tokens))])
        return {layer: rows[own.to(rows.device)] for layer, rows in _rows(model, whole, places).items()}
    if len(batch) > 1 and not way.padded:
        each = [_rows(model, [prompt], places) for prompt in batch]
        return {layer: torch.cat([rows[layer] for rows in each]) for layer in each[0]}
    return _padded(model, batch, places)


def _padded(
    model: PreTrainedModel, batch: Sequence[Prompt], places: Sequence[Site | int]
) -> dict[int, Float[Tensor, "token d_model"]]:
    """The rows of a batch that is padded on the right: causal layers never look there, and its rows are dropped."""
    context = batch[0].context
    longest = max(len(p.tokens) for p in batch)
    ids = torch.tensor([p.tokens + [0] * (longest - len(p.tokens)) for p in batch], device=model.device)
    inputs: dict[str, Any] = {"input_ids": ids}
    if context:
        cache = DynamicCache(config=model.config)
        capture(model, places, input_ids=torch.tensor([context], device=model.device), past_key_values=cache)
        cache.reorder_cache(torch.LongTensor([0] * len(batch)))
        positions = len(context) + torch.arange(longest, device=model.device)[None]
        inputs |= {"position_ids": positions.expand(len(batch), -1), "past_key_values": cache}
    real = torch.tensor([[at < len(p.tokens) for at in range(longest)] for p in batch])
    return {layer: stream[real.to(stream.device)] for layer, stream in capture(model, places, **inputs).items()}


class Way(NamedTuple):
    """What leaves a model's rows as they are, seen by trying it."""

    padded: bool
    """Other rows beside a row, and padding after it."""
    cached: bool
    """A context that was read before, into a cache."""


_ways: WeakKeyDictionary[PreTrainedModel, Way] = WeakKeyDictionary()


def _way(model: PreTrainedModel) -> Way:
    """Tried once a model: one that looks at later tokens, or counts a batch's tokens, goes a slower way."""
    if model not in _ways:
        context, *texts = rows_of_tokens(model, [4, 6, 3])
        deepest = [len(decoder_layers(model)) - 1]
        whole = [Prompt("", [*context, *text]) for text in texts]
        cut = [Prompt("", text, tuple(context)) for text in texts]
        with alone(model):
            each = [_padded(model, [prompt], deepest)[deepest[0]] for prompt in whole]
        together = _tried(model, whole, deepest)
        padded = together is not None and alike(model, [torch.cat(each)], [together])
        batches = [cut] if padded else [[prompt] for prompt in cut]
        after = [_tried(model, batch, deepest) if reads_cache(model) else None for batch in batches]
        own = [rows for rows in after if rows is not None]
        wanted = torch.cat([rows[len(context) :] for rows in each])
        _ways[model] = Way(padded, len(own) == len(batches) and alike(model, [wanted], [torch.cat(own)]))
    return _ways[model]


def _tried(model: PreTrainedModel, batch: Sequence[Prompt], deepest: Sequence[int]) -> Tensor | None:
    """The last layer's rows of a batch, or None where the model can't be fed it."""
    with suppress(*FAILURES):
        return _padded(model, batch, deepest)[deepest[0]]
    return None


def reads_cache(model: PreTrainedModel) -> bool:
    """Whether a sequence can be given in pieces: Mamba-like models keep their state in objects of other classes."""
    taken = inspect.signature(base_model(model).forward).parameters
    return "past_key_values" in taken and "position_ids" in taken
