"""Rows that a server gives in any order, twice or not at all come out prompt after prompt."""

import pytest
import torch
from recorded import manifest

from trimtab.errors import TrimtabError
from trimtab.forward.sites import STREAM
from trimtab.rollouts.served.keeping import Span
from trimtab.rollouts.served.rows import ServedRows, rows_after
from trimtab.settings.activations import CaptureSettings
from trimtab.settings.engine import EngineSettings

LAYERS = [1, 3]
PROMPTS = [([5, 6, 7, 8], 1), ([5, 6, 7, 9, 4], 1), ([5, 6, 7, 9, 4, 2], 5)]
SERVED = EngineSettings(engine="vllm", memory_mb=1, vllm=None)


class Forgetful:
    """Has all but the last token of a prompt in its cache, unless asked for it anew; computes the first one twice."""

    def __init__(self):
        self.asked = []

    def answer_with_rows(self, requests, layers):
        self.asked.append([request.order.name for request in requests])
        spans, rows = [], {layer: [] for layer in layers}
        for request in (*requests[::-1], requests[0]):
            first = request.order.rows_from if request.order.gated else len(request.tokens) - 1
            spans.append(Span(request.order.name, first, len(request.tokens) - first))
            for layer in layers:
                rows[layer] += [row(layer, request.tokens[: at + 1]) for at in spans[-1].tokens]
        return spans, {layer: torch.stack(own) for layer, own in rows.items()}


def row(layer, tokens):
    """As unlike any other as a row of a model."""
    return torch.tensor([float(layer), float(len(tokens)), float(sum(tokens))])


def test_every_row_is_there_in_its_place_and_what_was_cached_is_asked_for_once_more():
    server = Forgetful()
    found = rows_after(server, PROMPTS, STREAM.of_layers(LAYERS))
    assert [*found] == LAYERS
    for layer in LAYERS:
        wanted = [row(layer, tokens[: at + 1]) for tokens, first in PROMPTS for at in range(first, len(tokens))]
        assert torch.equal(found[layer], torch.stack(wanted))
    # the last prompt's only row is its last
    assert server.asked == [["0", "1", "2"], ["0", "1"]]


def test_a_reader_of_rows_on_vllm_refuses_what_it_cannot_read_before_it_starts():
    described = manifest(context_length=64)
    reader, settings = ServedRows(described, SERVED), CaptureSettings(token_budget=24, chunk_rows=8)
    context = described.context_length
    with pytest.raises(TrimtabError, match=rf"layer {described.layers} of {described.architecture}: expected 0 to"):
        reader.begin(settings, [described.layers], 10)
    with pytest.raises(
        TrimtabError, match=rf"engine: vllm, and a prompt of {context} tokens .* at most {context - 1} "
    ):
        reader.begin(settings, [0], context)
    assert reader.begin(settings, [0], context - 1) == 24
