"""Training: invariants of every step, the revival of dead latents, the folded scale, and a dictionary found again."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from torch.nn import functional

from trimtab.errors import TrimtabError
from trimtab.saes.topk import active_latents, weighted_rows
from trimtab.saes.train import Dictionary, Settings, train

BASE = {
    "latents": 24,
    "k": 3,
    "tokens": 4096,
    "batch": 256,
    "learning_rate": 1e-2,
    "warmup_steps": 2,
    "aux_coefficient": 1 / 32,
    "dead_steps": 5,
}


def batches(rows, settings, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, settings.tokens, settings.batch):
        size = min(settings.batch, settings.tokens - start)
        yield rows[torch.randint(len(rows), (size,), generator=generator)]


def planted(d_in=16, atoms=24, active=2, n=6000, seed=0):
    """Rows that are sums of a few unit directions, with an offset and a scale that training must cope with."""
    generator = torch.Generator().manual_seed(seed)
    truth = functional.normalize(torch.randn(atoms, d_in, generator=generator), dim=1)
    chosen = torch.rand(n, atoms, generator=generator).topk(active, dim=1).indices
    size = 1 + torch.rand(n, active, generator=generator)
    latents = torch.zeros(n, atoms).scatter(1, chosen, size)
    return 40 * (latents @ truth) + 100 * torch.randn(d_in, generator=generator), truth


def test_rate_rises_stays_and_falls_to_zero():
    settings = Settings(**BASE | {"tokens": 100 * 256, "warmup_steps": 10})
    assert settings.steps == 100
    assert settings.rate(0) == pytest.approx(1e-3)
    assert settings.rate(9) == settings.rate(79) == pytest.approx(1e-2)
    assert settings.rate(90) == pytest.approx(5e-3)
    assert settings.rate(99) == pytest.approx(5e-4)


def test_a_planted_dictionary_is_found_again():
    rows, truth = planted()
    settings = Settings(**BASE | {"latents": 48, "k": 2, "tokens": 400 * 256})
    trained = train(batches(rows, settings), settings, seed=0)
    best = (trained.sae.W_dec @ truth.T).amax(0)
    assert (best > 0.95).float().mean() > 0.9
    assert trained.curve[-1].explained_variance > 0.95
    assert trained.curve[-1].explained_variance > trained.curve[0].explained_variance


def test_the_folded_weights_give_the_scaled_dictionarys_output_in_raw_units():
    rows, _ = planted()
    settings = Settings(**BASE)
    dictionary = Dictionary(rows, settings, seed=0)
    for batch in batches(rows, settings):
        dictionary.step(batch, 1e-2)
    assert dictionary.scale * float((rows - rows.mean(0)).norm(dim=1).mean()) == pytest.approx(math.sqrt(16), rel=1e-4)

    folded = dictionary.folded()
    inner = active_latents(rows * dictionary.scale, dictionary.encoder, dictionary.b_enc, dictionary.b_dec, settings.k)
    inside = weighted_rows(inner, dictionary.decoder) + dictionary.b_dec
    raw = folded.encode(rows)
    torch.testing.assert_close(raw.values.sort(1).values, inner.values.detach().sort(1).values / dictionary.scale)
    torch.testing.assert_close(folded.forward(rows), inside.detach() / dictionary.scale, rtol=1e-4, atol=1e-2)


def test_starts_at_the_mean_with_the_encoder_as_transposed_decoder():
    rows, _ = planted()
    start = Dictionary(rows, Settings(**BASE), seed=0).folded()
    torch.testing.assert_close(start.b_dec, rows.mean(0), rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(start.W_enc, start.W_dec.T)


@examples(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), k=st.integers(1, 8), batch=st.integers(2, 64))
def test_decoder_rows_keep_unit_norm_and_at_most_k_latents_are_active(seed, k, batch):
    settings = Settings(**BASE | {"k": k, "batch": batch, "tokens": 8 * batch, "dead_steps": 2})
    rows, _ = planted(n=256, seed=seed)
    dictionary = Dictionary(rows, settings, seed)
    for each in batches(rows, settings, seed):
        figures = dictionary.step(each, 1e-2)
        assert figures.active <= k * len(each)
        torch.testing.assert_close(dictionary.decoder.detach().norm(dim=1), torch.ones(24))


def test_the_update_turns_decoder_rows_without_stretching_them():
    rows, _ = planted()
    dictionary = Dictionary(rows, Settings(**BASE), seed=0)
    seen = []
    step = dictionary.optimiser.step

    def watched():
        seen.append((dictionary.decoder.grad * dictionary.decoder).sum(1))
        step()

    dictionary.optimiser.step = watched
    dictionary.step(rows[:256], 1e-2)
    torch.testing.assert_close(seen[0], torch.zeros(24), rtol=0, atol=1e-6)


def with_dead(n_dead, d_in=16):
    rows, _ = planted(d_in=d_in)
    dictionary = Dictionary(rows.double(), Settings(**BASE), seed=0)
    dictionary.silent_steps[:n_dead] = 99
    scaled = rows[:64].double() * dictionary.scale
    residual = torch.randn(64, d_in, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return dictionary, scaled, residual


@pytest.mark.parametrize("n_dead", [3, 15])
def test_auxiliary_loss_and_its_gradients_equal_the_definition(n_dead):
    """15 dead latents are more than the 8 that take part in a token; 3 are fewer."""
    dictionary, scaled, residual = with_dead(n_dead)
    loss = dictionary.aux_loss(scaled, residual)
    loss.backward()
    ours = [dictionary.encoder.grad, dictionary.decoder.grad, dictionary.b_enc.grad]

    encoder, decoder, b_enc = (t.detach().clone().requires_grad_() for t in dictionary.parameters[:3])
    latents = ((scaled - dictionary.b_dec.detach()) @ encoder.T + b_enc).relu() * (torch.arange(24) < n_dead)
    threshold = latents.topk(min(8, n_dead), dim=1).values[:, -1:]
    plain = (((latents * (latents >= threshold)) @ decoder - residual) ** 2).mean()
    plain.backward()
    torch.testing.assert_close(loss, plain)
    for mine, theirs in zip(ours, (encoder.grad, decoder.grad, b_enc.grad), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_the_auxiliary_gradient_reaches_encoder_and_decoder_of_the_dead_alone():
    dictionary, scaled, residual = with_dead(6)
    dictionary.aux_loss(scaled, residual).backward()
    for grad in (dictionary.encoder.grad, dictionary.decoder.grad):
        assert (grad[:6].norm(dim=1) > 0).all()
        assert (grad[6:] == 0).all()


def test_nothing_dead_costs_nothing():
    dictionary, scaled, residual = with_dead(0)
    assert float(dictionary.aux_loss(scaled, residual)) == 0


def test_the_revived_are_fewer_with_the_auxiliary_loss():
    rows, _ = planted(atoms=200, active=6)
    shares = []
    for coefficient in (0.0, 1 / 32):
        settings = Settings(
            **BASE | {"latents": 96, "tokens": 150 * 256, "learning_rate": 0.03, "aux_coefficient": coefficient}
        )
        shares.append(train(batches(rows, settings), settings, seed=0).curve[-1].dead_share)
    assert shares[1] < shares[0]


def test_same_seed_same_bytes_other_seed_other_bytes():
    rows, _ = planted()
    settings = Settings(**BASE)
    first, again, other = (train(batches(rows, settings), settings, seed).sae for seed in (1, 1, 2))
    assert first.W_enc.equal(again.W_enc)
    assert first.b_dec.equal(again.b_dec)
    assert not first.W_enc.equal(other.W_enc)


def test_curve_counts_tokens_and_ends_with_the_last_step():
    rows, _ = planted()
    settings = Settings(**BASE | {"tokens": 3000})
    curve = train(batches(rows, settings), settings, seed=0).curve
    assert [p.step for p in curve] == [0, 10, 11]
    assert curve[-1].tokens == 3000
    assert curve[-1].l0 <= 3


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"k": 24}, "config, saes.k: 24 is not below saes.latents (24); k is how many latents stay active a token"),
        ({"batch": 0}, "config, saes.batch: 0 is not positive"),
        ({"learning_rate": -1.0}, "config, saes.learning_rate: -1.0 is not positive"),
    ],
)
def test_settings_that_cannot_be(changed, message):
    with pytest.raises(TrimtabError) as caught:
        Settings(**BASE | changed)
    assert str(caught.value) == message


@pytest.mark.parametrize("rows", [torch.full((2048, 16), math.nan), torch.ones(2048, 16)])
def test_rows_without_a_scale_are_refused(rows):
    settings = Settings(**BASE)
    with pytest.raises(TrimtabError, match="mean centred norm of the first"):
        train(batches(rows, settings), settings, seed=0)
