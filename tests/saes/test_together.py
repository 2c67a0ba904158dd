"""Dictionaries trained beside one another are those that each would be alone, from a stream as from a cache."""

from itertools import islice

import pytest
import torch
from recorded import manifest
from test_train import BASE, batches, planted
from tiny import LAYERS, llama

from trimtab.activations import stream
from trimtab.activations.reader import Cache
from trimtab.activations.reading import ModelRows
from trimtab.activations.shards import write_shard
from trimtab.activations.stream import Stream, _passages
from trimtab.forward.capture import Prompt
from trimtab.saes.checkpoint import TrainingCheckpoint
from trimtab.saes.train import Recipe, train, train_together
from trimtab.settings.activations import CaptureSettings
from trimtab.settings.saes import SaeSettings

WEIGHTS = ("W_enc", "b_enc", "W_dec", "b_dec")


class Cut(Exception):
    pass


def same(found, wanted):
    return found.curve == wanted.curve and all(
        getattr(found.sae, name).equal(getattr(wanted.sae, name)) for name in WEIGHTS
    )


@pytest.mark.slow
def test_each_has_the_bits_that_it_has_alone_cut_off_or_not(tmp_path):
    rows = {layer: planted(seed=layer)[0] for layer in (1, 12)}
    recipes = {
        1: Recipe(SaeSettings(**BASE), seed=3),
        12: Recipe(SaeSettings(**BASE | {"latents": 48, "architecture": "batchtopk", "resample_steps": 4}), seed=4),
    }
    settings = recipes[1].settings

    def together(step, end=None):
        each = {layer: islice(batches(own, settings), step, end) for layer, own in rows.items()}
        return ({layer: next(own) for layer, own in each.items()} for _ in range(step, end or settings.steps))

    def cut_off(step):
        yield from together(step, 14)
        raise Cut

    alone = {}
    for layer, own in rows.items():
        alone[layer] = train(lambda step, own=own: islice(batches(own, settings), step, None), recipes[layer])
    checkpoint = TrainingCheckpoint(tmp_path / "c.safetensors", "run", seconds=0)
    with pytest.raises(Cut):
        train_together(cut_off, recipes, checkpoint)
    assert checkpoint.read().step == 10
    for done in (train_together(together, recipes), train_together(together, recipes, checkpoint)):
        assert all(same(done[layer], alone[layer]) for layer in rows)


@pytest.mark.slow
def test_a_stream_and_stored_rows_in_its_order_give_the_same_dictionaries(tmp_path, monkeypatch):
    """The stream's passages are stored; their rows, read in the order of its tokens, train each layer by itself."""
    monkeypatch.setattr(stream, "WINDOW_ROWS", 512)
    model, layers = llama(), [0, LAYERS - 1]
    described = manifest()
    draw = torch.Generator().manual_seed(0)
    documents = [Prompt(str(i), torch.randint(97, (30 + i % 40,), generator=draw).tolist()) for i in range(60)]
    capture = CaptureSettings(token_budget=300, chunk_rows=64)
    # one and a half epochs, and a last batch that isn't full
    settings = SaeSettings(**BASE | {"batch": 64, "tokens": 1000 + 3 * sum(len(p.tokens) - 1 for p in documents) // 2})
    source = Stream(model, lambda: documents, layers, described, capture, settings.batch, seed=5)
    recipes = {layer: Recipe(settings, layer) for layer in layers}
    streamed = train_together(lambda step: source.batches(settings.tokens, step * settings.batch), recipes)

    rows = {layer: [] for layer in layers}
    for number, passage in enumerate(_passages(documents, source.window)):
        path = tmp_path / f"{number}.h5"
        write_shard(path, ModelRows(model), passage, layers, "all", described, capture, {})
        with Cache.open(path) as cache:
            for layer in layers:
                rows[layer].append(cache.rows(layer))
    order = order_of(source, settings.tokens, len(torch.cat(rows[0])))
    for layer in layers:
        stored = torch.cat(rows[layer])[order]
        cached = train(lambda step, stored=stored: iter(stored.split(settings.batch)[step:]), Recipe(settings, layer))
        assert same(streamed[layer], cached)


def order_of(source, tokens, epoch):
    """The place in an epoch's sequence of each row that is served: what a stream of the rows' numbers serves."""
    places = torch.arange(tokens) % epoch
    served = []
    for start in range(0, tokens, source.window):
        window = places[start : start + source.window]
        served += [piece[0] for piece in source._served({0: window}, start + len(window), 0)]
    return torch.cat(served)
