"""Rows of a shard, computed by vLLM.

What a reader of rows is, `trimtab.activations.reading` says, which has that of `transformers`; what vLLM's worker does
is in `trimtab.rollouts.served.keeping`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from trimtab.activations.reading import RowReader
from trimtab.artifacts.digest import LIBRARY, code_digest
from trimtab.artifacts.manifest import Manifest
from trimtab.errors import TrimtabError
from trimtab.forward.capture import Prompt
from trimtab.forward.memory import token_budget
from trimtab.forward.sites import Site
from trimtab.model.source import DTYPES
from trimtab.model.tokenizer import tokenizer_of
from trimtab.rollouts.served.client import VllmServer
from trimtab.rollouts.served.keeping import Span
from trimtab.rollouts.served.requests import Order, Request
from trimtab.settings.activations import CaptureSettings
from trimtab.settings.engine import EngineSettings


class RowServer(Protocol):
    """A server that keeps rows (`trimtab.rollouts.served.client`)."""

    def answer_with_rows(
        self, requests: Sequence[Request], layers: Sequence[int]
    ) -> tuple[list[Span], dict[int, Tensor]]: ...


class ServedRows:
    """The rows of the model of a manifest on vLLM, which is started when the first are asked for."""

    def __init__(self, described: Manifest, engine: EngineSettings) -> None:
        self._described, self._engine, self._longest = described, engine, 0

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES[self._described.dtype]

    @property
    def code(self) -> str:
        return code_digest(Path(__file__), LIBRARY)

    def begin(self, settings: CaptureSettings, layers: Sequence[int], longest: int) -> int:
        """See `trimtab.activations.reading.RowReader`."""
        deepest, context = self._described.layers - 1, self._described.context_length
        for layer in layers:
            if not 0 <= layer <= deepest:
                raise TrimtabError(f"layer {layer} of {self._described.architecture}: expected 0 to {deepest}")
        # vLLM wants room for a token after them
        if context is not None and longest >= context:
            raise TrimtabError(
                f"config.yaml, activations.engine: vllm, and a prompt of {longest} tokens with its context; vLLM reads "
                f"at most {context - 1} of this model; expected shorter prompts, or engine transformers"
            )
        self._longest = longest
        # what is kept stands there once pass by pass, once as bytes, and once in the batch's order
        return token_budget(settings, 3 * len(layers) * self._described.d_model * self.dtype.itemsize, longest)

    def rows(
        self, batch: Sequence[Prompt], sites: Sequence[Site], selection: str
    ) -> dict[int, Float[Tensor, "token d_model"]]:
        """See `trimtab.activations.reading.RowReader`."""
        # or rows would depend on what was read before
        self._server.forget()
        wanted = [(prompt, len(prompt.context) + prompt.kept(selection).start) for prompt in batch]
        return rows_after(self._server, [([*own.context, *own.tokens], first) for own, first in wanted], sites)

    @cached_property
    def _server(self) -> VllmServer:
        return VllmServer(Path(self._described.path), self._described.dtype, self._longest + 1, self._engine)


def rows_after(
    server: RowServer, prompts: Sequence[tuple[list[int], int]], sites: Sequence[Site]
) -> dict[int, Float[Tensor, "token d_model"]]:
    """By layer, the rows of each prompt from its token of that number on, prompt after prompt."""
    layers = [site.layer for site in sites]
    orders = [Order(str(at), False, [0.5], 0, rows_from=first) for at, (_, first) in enumerate(prompts)]
    asked = unread = [Request(order, tokens, None) for order, (tokens, _) in zip(orders, prompts, strict=True)]
    spans: list[Span] = []
    parts: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    while unread:
        told, rows = server.answer_with_rows(unread, layers)
        spans += told
        for layer, own in rows.items():
            parts[layer].append(own)
        read = {(span.name, token) for span in spans for token in span.tokens}
        # where prompts begin alike, vLLM may have had a token in its cache: once more, with nothing from there
        unread = [_anew(each) for each in unread if not read.issuperset(_wanted(each))]
    tokens = [(span.name, token) for span in spans for token in span.tokens]
    place = {token: row for row, token in enumerate(tokens)}
    order = torch.tensor([place[token] for each in asked for token in _wanted(each)])
    return {layer: torch.cat(own)[order] for layer, own in parts.items()}


def _anew(request: Request) -> Request:
    return request._replace(order=replace(request.order, gated=True))


def _wanted(request: Request) -> Iterator[tuple[str, int]]:
    """The tokens whose rows are wanted, by the request's name and their number in its prompt."""
    assert request.order.rows_from is not None
    return ((request.order.name, token) for token in range(request.order.rows_from, len(request.tokens)))


def served(manifest: Path, engine: EngineSettings) -> tuple[Manifest, RowReader, PreTrainedTokenizerBase]:
    """See `trimtab.model.rows.reader_of`."""
    tokenizer, described = tokenizer_of(manifest), Manifest.read(manifest)
    return described, ServedRows(described, engine), tokenizer
