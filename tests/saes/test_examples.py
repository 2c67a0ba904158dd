"""Top examples of a corpus small enough to rank by hand, the page that shows them, and latents that it never fires."""

from unittest import mock

import pytest
import torch
from recorded import manifest
from tiny import D_MODEL, llama

from trimtab.activations.reader import Cache
from trimtab.activations.reading import ModelRows
from trimtab.activations.shards import write_shard
from trimtab.forward.capture import Prompt
from trimtab.report.examples import page
from trimtab.saes import examples, silent
from trimtab.saes.examples import AFTER, BEFORE, top_examples
from trimtab.saes.sae import SAE, TopKActivation
from trimtab.settings.activations import CaptureSettings


@pytest.fixture
def caches(tmp_path):
    paths = []
    for shard in range(2):
        draw = torch.Generator().manual_seed(shard)
        prompts = [Prompt(f"{shard}/{i}", torch.randint(97, (5 + 9 * i,), generator=draw).tolist()) for i in range(6)]
        paths.append(tmp_path / f"{shard}.h5")
        settings = CaptureSettings(token_budget=90, chunk_rows=16)
        write_shard(paths[-1], ModelRows(llama()), prompts, [1], "all", manifest(), settings, {})
    return paths


@pytest.fixture
def sae():
    draw = torch.Generator().manual_seed(0)
    encoder = torch.randn(D_MODEL, 40, generator=draw)
    return SAE(encoder, torch.zeros(40), encoder.T.contiguous(), torch.zeros(D_MODEL), TopKActivation(6))


@pytest.mark.slow
@pytest.mark.parametrize("block", [1, 30, 4096])
def test_the_strongest_place_of_each_prompt_strongest_prompts_first(caches, sae, block):
    with mock.patch.object(examples, "BLOCK_ROWS", block):
        found = top_examples(caches, 1, sae, [7, 3], contexts=4)
    assert [each.latent for each in found] == [7, 3]
    for each in found:
        peaks, active, n_rows = [], 0, 0
        for path in caches:
            with Cache.open(path) as cache:
                column = sae.latents(cache.rows(1))[:, each.latent]
                active, n_rows = active + int((column > 0).sum()), n_rows + len(column)
                for i, prompt in enumerate(cache.prompt_ids):
                    own = column[cache.offsets[i] : cache.offsets[i + 1]]
                    # a prompt's first token isn't cached
                    peaks.append((float(own.max()), prompt, int(own.argmax()) + 1))
        wanted = [peak for peak in sorted(peaks, reverse=True) if peak[0] > 0][:4]
        assert [(e.prompt_id, e.position) for e in each.examples] == [(prompt, at) for _, prompt, at in wanted]
        assert [e.activation for e in each.examples] == pytest.approx([value for value, _, _ in wanted], rel=1e-5)
        assert each.density == pytest.approx(active / n_rows)


@pytest.mark.slow
def test_an_example_shows_its_own_prompts_tokens_and_the_latent_on_each(caches, sae):
    (found,) = top_examples(caches, 1, sae, [7], contexts=3)
    for example in found.examples:
        assert len(example.tokens) == len(example.strengths) <= BEFORE + 1 + AFTER
        assert example.strengths[example.strongest] == pytest.approx(example.activation, rel=1e-5)
        assert max(example.strengths) == example.strengths[example.strongest]
        shard = int(example.prompt_id[0])
        with Cache.open(caches[shard]) as cache:
            prompt = cache.prompt_ids.index(example.prompt_id)
            own, _ = cache.tokens(cache.offsets[prompt], cache.offsets[prompt + 1])
        first = example.position - 1 - example.strongest
        assert own[first : first + len(example.tokens)] == example.tokens


@pytest.mark.slow
def test_a_latent_that_never_fires_has_no_example(caches, sae):
    silent = SAE(sae.W_enc, sae.b_enc.index_fill(0, torch.tensor([7]), -1e6), sae.W_dec, sae.b_dec, sae.activation)
    (found,) = top_examples(caches, 1, silent, [7], contexts=3)
    assert (found.density, found.examples) == (0, [])


def fired(sae, rows):
    return (sae.latents(rows) > 0).any(0)


@pytest.mark.slow
@pytest.mark.parametrize("piece", [1, 7, 4096])
def test_silent_latents_are_counted_on_every_row_of_the_documents_kept(caches, sae, piece):
    rows = {}
    for path in caches:
        with Cache.open(path) as cache:
            spans = zip(cache.prompt_ids, cache.offsets, cache.offsets[1:], strict=False)
            rows |= {prompt: cache.rows(1, start, end) for prompt, start, end in spans}
    for kept in (set(rows), {"0/3", "1/0"}):
        own = torch.cat([rows[prompt] for prompt in rows if prompt in kept])
        with mock.patch.object(silent, "PIECE", piece):
            found = silent.silent(sae, caches, 1, kept)
            some = silent.silent(sae, caches, 1, kept, most=5)
        assert found == (len(own), pytest.approx(1 - fired(sae, own).double().mean().item()))
        assert some == (5, pytest.approx(1 - fired(sae, own[:5]).double().mean().item()))
    # one more latent can't fire at all, and is one of 41
    never = torch.cat([sae.b_enc, torch.tensor([-1e6])])
    wider = torch.cat([sae.W_enc, sae.W_enc[:, :1]], dim=1)
    more = SAE(wider, never, wider.T.contiguous(), sae.b_dec, sae.activation)
    alike = silent.silent_of_layers({1: more}, caches, set(rows))[1]
    whole = silent.silent(sae, caches, 1, set(rows))
    assert alike.train_dead_share == pytest.approx((40 * whole.train_dead_share + 1) / 41)


def test_the_page_says_how_many_latents_another_seed_finds_again():
    latent = {"layer": 4, "latent": 17, "weight": -0.25, "density": 0.01, "examples": []}
    shown = {"risk": [latent], "autonomy": [{**latent, "layer": 16}]}
    assert "layer 4 has 2.5 % of these latents again (cosine 0.7 or more); layer 16 was trained once" in page(
        shown, "m", {4: 0.025}
    )
    assert "Layers 4 and 16 were trained once." in page(shown, "m", {})


def test_the_page_escapes_what_a_model_wrote():
    tokens = [{"text": "<script>alert(1)</script>", "share": 1.0, "strongest": True}]
    example = {"prompt_id": '"><img src=x>', "position": 3, "activation": 2.5, "tokens": tokens}
    latent = {"layer": 4, "latent": 17, "weight": -0.25, "density": 0.01, "examples": [example]}
    text = page({"tool_use": [latent, {**latent, "examples": []}]}, "<b>m</b>", {})
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "latent 17: weight -0.25" in text
    assert "Never active" in text
    assert "http" not in text.replace("http-equiv", "")
