"""The least work of a pass: products of its tokens and of its logits, by hand."""

import sys
import time
from pathlib import Path

import pytest
import torch
from tiny import D_MODEL, LAYERS, VOCABULARY, llama

from trimtab.steering.batch import GrowingBatch
from trimtab.steering.steering import Steering


@pytest.fixture
def roofline():
    folder = str(Path(__file__).parents[2] / "benchmarks")
    sys.path.insert(0, folder)
    import roofline

    yield roofline
    sys.path.remove(folder)


def test_passes_are_counted_by_their_tokens_and_logits(roofline):
    model = llama()
    work = roofline.Work(model)
    # queries, keys, values and the attention's output; then an MLP of three products 48 wide
    attention = D_MODEL * (32 + 16 + 16) + 32 * D_MODEL
    assert work.token == 2 * LAYERS * (attention + 3 * D_MODEL * 48)
    assert work.logits == 2 * D_MODEL * VOCABULARY
    batch = GrowingBatch(model, Steering([(), ()], torch.device("cpu")), 2)
    with work.counted(model):
        batch.advance([[5, 6, 7], [8, 9, 10]], [[0] * 3, [0] * 3])
        batch.advance([[5], [8]], [[1], [1]])
    # rows of one length side by side: 8 tokens, and logits after the last of each
    assert work.operations == 8 * work.token + 4 * work.logits
    assert work.passes == 2


def test_at_least_so_many_operations_are_done(roofline):
    model = llama()
    products = roofline.Products(model, 4, time.process_time)
    calls = []
    products._fastest.register_forward_hook(lambda *given: calls.append(1))
    products.spend(2.5 * products._own)
    assert len(calls) == 3
