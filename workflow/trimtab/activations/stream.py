"""Shuffled batches of several layers, captured while they are trained on: for a corpus whose rows nobody can store.

Documents are captured in their order, epoch after epoch, and their rows make one endless sequence. It is cut into
windows of a fixed size, and each window is served in another random order. So the order follows from documents,
sizes and seed alone; any batch is found again by its number, with nothing saved but that; and memory holds one window
and one pass of the model. What is trained on these batches is in `trimtab.saes`; stored rows are served by
`trimtab.activations.shuffle`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from transformers import PreTrainedModel

from trimtab import seeds
from trimtab.activations.shards import check_rows
from trimtab.artifacts.manifest import Manifest
from trimtab.forward.capture import Prompt, batches, check_prompts, kept_rows
from trimtab.forward.memory import bytes_a_token, token_budget
from trimtab.forward.sites import Sites
from trimtab.settings.activations import CaptureSettings

WINDOW_ROWS = 32768
"""Rows that are mixed with one another, about: as many as a buffer of stored rows holds."""


@dataclass(frozen=True)
class Stream:
    """The rows of a corpus in training."""

    model: PreTrainedModel
    documents: Callable[[], Iterable[Prompt]]
    """All documents, in the same order each time; they should already stand in a random order."""
    layers: Sequence[int]
    described: Manifest
    """The manifest of `model`."""
    settings: CaptureSettings
    batch: int
    seed: int

    @property
    def window(self) -> int:
        """Rows a window: whole batches."""
        return -(-WINDOW_ROWS // self.batch) * self.batch

    def batches(self, rows: int, start: int = 0) -> Iterator[dict[int, Float[Tensor, "batch d_model"]]]:
        """Batches of exactly `rows` rows in all (the last may be short), of every layer, in the model's dtype.

        Args:
            start: how many of these rows (whole batches) an earlier process served; they are left out, and only the
                window in which they end is captured again.

        Raises:
            TrimtabError: there are no documents, or one of them can't be captured.
        """
        if start >= rows:
            return
        first, skipped = start // self.window * self.window, start % self.window
        shape = (min(self.window, rows), self.described.d_model)
        window = {layer: torch.empty(shape, dtype=self.model.dtype) for layer in self.layers}
        place = first
        for at, captured in self._captured(first):
            count = len(captured[self.layers[0]])
            while at < count and place < rows:
                filled = place % self.window
                taken = min(count - at, self.window - filled, rows - place)
                for layer, own in captured.items():
                    window[layer][filled : filled + taken] = own[at : at + taken]
                at, place = at + taken, place + taken
                if place % self.window == 0 or place == rows:
                    yield from self._served(window, place, skipped)
                    skipped = 0
            if place == rows:
                return

    def _captured(self, first: int) -> Iterator[tuple[int, Mapping[int, Float[Tensor, "token d_model"]]]]:
        """Passes of the model from row `first` of the sequence on, each with the row in it that comes first."""
        passed, sites = 0, Sites.of(self.described).of_layers(self.layers)
        for prompts in self._passes():
            count = sum(len(prompt.kept("all")) for prompt in prompts)
            if passed + count > first:
                rows = kept_rows(self.model, prompts, sites, "all")
                check_rows(prompts, rows, self.model.dtype)
                yield max(first - passed, 0), rows
            passed += count

    def _passes(self) -> Iterator[list[Prompt]]:
        """What the model reads at a time, without end."""
        while True:
            for passage in _passages(self.documents(), self.window):
                check_prompts(passage, "all", self.described.context_length)
                longest = max(len(prompt.context) + len(prompt.tokens) for prompt in passage)
                most = token_budget(self.settings, bytes_a_token(self.model, len(self.layers), longest), longest)
                yield from batches(passage, most)

    def _served(
        self, window: Mapping[int, Shaped[Tensor, "row *width"]], end: int, skipped: int
    ) -> Iterator[dict[int, Shaped[Tensor, "batch *width"]]]:
        """The window that ends at row `end` of the sequence, but for the first `skipped` rows in its order."""
        size = (end - 1) % self.window + 1
        random = np.random.default_rng(seeds.derive(self.seed, "window", (end - 1) // self.window))
        order = torch.from_numpy(random.permutation(size))
        for at in range(skipped, size, self.batch):
            yield {layer: own[order[at : at + self.batch]] for layer, own in window.items()}


def _passages(documents: Iterable[Prompt], tokens: int) -> Iterator[list[Prompt]]:
    """Documents in lists of `tokens` tokens or more, but for the last; one empty list if there are none."""
    passage: list[Prompt] = []
    waiting, found = 0, False
    for document in documents:
        passage.append(document)
        waiting, found = waiting + len(document.tokens), True
        if waiting >= tokens:
            yield passage
            passage, waiting = [], 0
    if passage or not found:
        yield passage
