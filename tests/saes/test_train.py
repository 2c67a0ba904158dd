"""Training: invariants of every step, the revival of dead latents, the folded scale, and a dictionary found again."""

import math
from functools import cache
from itertools import islice
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from torch.nn import functional

from trimtab.errors import TrimtabError
from trimtab.saes import start
from trimtab.saes.architectures.jumprelu import _Jump
from trimtab.saes.dead import aux_loss
from trimtab.saes.dictionary import Dictionary
from trimtab.saes.sae import JumpReLUActivation, TopKActivation
from trimtab.saes.schedule import rate
from trimtab.saes.train import Recipe, train
from trimtab.settings.saes import Architecture, SaeSettings

BASE = {
    "architecture": "topk",
    "latents": 24,
    "k": 3,
    "tokens": 4096,
    "batch": 256,
    "learning_rate": 1e-2,
    "warmup_steps": 2,
    "aux_coefficient": 1 / 32,
    "dead_steps": 5,
    "resample_steps": 0,
    "bias": "mean",
    "precision": "float32",
}
KINDS = get_args(Architecture)


def opened(rows, settings):
    """What `train` takes: the batches from a step on."""
    return lambda step: islice(batches(rows, settings), step, None)


def batches(rows, settings, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for first in range(0, settings.tokens, settings.batch):
        size = min(settings.batch, settings.tokens - first)
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
    settings = SaeSettings(**BASE | {"tokens": 100 * 256, "warmup_steps": 10})
    assert settings.steps == 100
    assert rate(0, settings) == pytest.approx(1e-3)
    assert rate(9, settings) == rate(79, settings) == pytest.approx(1e-2)
    assert rate(90, settings) == pytest.approx(5e-3)
    assert rate(99, settings) == pytest.approx(5e-4)


@cache
def learned(kind, precision="float32"):
    """A training that is long enough to find the planted dictionary."""
    rows, _ = planted()
    changed = {"architecture": kind, "latents": 48, "k": 2, "tokens": 400 * 256, "precision": precision}
    settings = SaeSettings(**BASE | changed)
    return train(opened(rows, settings), Recipe(settings, seed=0))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_dictionary_is_found_again(kind):
    rows, truth = planted()
    trained = learned(kind)
    best = (trained.sae.W_dec @ truth.T).amax(0)
    # the first latents of a nested dictionary also serve those that come after them, which bends them a little
    assert (best > (0.85 if kind == "matryoshka" else 0.95)).float().mean() > 0.85
    assert trained.curve[-1].explained_variance > (0.9 if kind == "matryoshka" else 0.95)
    assert trained.curve[-1].l0 == pytest.approx(2, rel=0.1)
    # a reader, who knows no batch, finds what training promised
    error = (rows - trained.sae.forward(rows)).square().sum() / (rows - rows.mean(0)).square().sum()
    assert float(error) < 0.1
    assert float((trained.sae.latents(rows) > 0).sum(1).float().mean()) == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_folded_weights_give_the_scaled_dictionarys_output_in_raw_units(kind):
    rows, _ = planted()
    settings = SaeSettings(**BASE | {"architecture": kind})
    dictionary = Dictionary(rows, settings, seed=0)
    for batch in batches(rows, settings):
        dictionary.step(batch, 1e-2)
    assert dictionary.scale * float((rows - rows.mean(0)).norm(dim=1).mean()) == pytest.approx(math.sqrt(16), rel=1e-4)

    folded = dictionary.folded()
    assert isinstance(folded.activation, TopKActivation if kind == "topk" else JumpReLUActivation)
    weights = dictionary.weights
    before = ((rows * dictionary.scale - weights.b_dec) @ weights.encoder.T + weights.b_enc).detach().relu()
    if kind == "topk":
        lowest = before.topk(settings.k, dim=1).values[:, -1:]
        inside = before * (before >= lowest)
    else:
        inside = before * (before > folded.activation.threshold * dictionary.scale)
    reconstruction = (inside @ weights.decoder + weights.b_dec).detach() / dictionary.scale
    torch.testing.assert_close(folded.latents(rows), inside / dictionary.scale, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(folded.forward(rows), reconstruction, rtol=1e-4, atol=1e-2)


def test_starts_at_the_mean_with_the_encoder_along_the_transposed_decoder():
    rows, _ = planted()
    start = Dictionary(rows, SaeSettings(**BASE), seed=0).folded()
    torch.testing.assert_close(start.b_dec, rows.mean(0), rtol=1e-5, atol=1e-3)
    share = float(start.W_enc[0, 0] / start.W_dec[0, 0])
    assert 0.3 < share < 1
    torch.testing.assert_close(start.W_enc, share * start.W_dec.T)


def test_an_encoder_begins_as_the_multiple_that_reconstructs_best():
    generator = torch.Generator().manual_seed(0)
    rows, decoder = (torch.randn(size, 16, generator=generator, dtype=torch.float64) for size in (200, 128))
    decoder = decoder / decoder.norm(dim=1, keepdim=True)
    share = start.encoder_share(rows, decoder, k=8)

    def error(multiple):
        """By hand: the eight largest products of each row, which are positive, times their decoder rows."""
        values, latents = (multiple * rows @ decoder.T).topk(8)
        return float((rows - (values[:, :, None] * decoder[latents]).sum(1)).square().mean())

    assert error(share) < min(error(1.01 * share), error(share / 1.01))
    assert error(share) < 0.7 * error(1.0)


def test_orthonormal_directions_need_no_shrinking():
    rows = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)).abs()
    assert start.encoder_share(rows, torch.eye(4), k=4) == pytest.approx(1)


@pytest.mark.slow
@examples(max_examples=8)
@given(seed=st.integers(0, 1000), k=st.integers(1, 8), batch=st.integers(2, 64))
def test_decoder_rows_keep_unit_norm_and_at_most_k_latents_are_active(seed, k, batch):
    settings = SaeSettings(**BASE | {"k": k, "batch": batch, "tokens": 8 * batch, "dead_steps": 2})
    rows, _ = planted(n=256, seed=seed)
    dictionary = Dictionary(rows, settings, seed)
    for each in batches(rows, settings, seed):
        figures = dictionary.step(each, 1e-2)
        assert figures.active <= k * len(each)
        torch.testing.assert_close(dictionary.weights.decoder.detach().norm(dim=1), torch.ones(24))


def test_the_update_turns_decoder_rows_without_stretching_them():
    rows, _ = planted()
    dictionary = Dictionary(rows, SaeSettings(**BASE), seed=0)
    seen = []
    step = dictionary.optimiser.step

    def watched():
        seen.append((dictionary.weights.decoder.grad * dictionary.weights.decoder).sum(1))
        step()

    dictionary.optimiser.step = watched
    dictionary.step(rows[:256], 1e-2)
    torch.testing.assert_close(seen[0], torch.zeros(24), rtol=0, atol=1e-6)


def with_dead(n_dead, d_in=16):
    rows, _ = planted(d_in=d_in)
    dictionary = Dictionary(rows.double(), SaeSettings(**BASE), seed=0)
    dictionary.silent_steps[:n_dead] = 99
    dictionary.count_dead()
    scaled = rows[:64].double() * dictionary.scale
    residual = torch.randn(64, d_in, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return dictionary, scaled, residual


@pytest.mark.parametrize("n_dead", [3, 15])
def test_auxiliary_loss_and_its_gradients_equal_the_definition(n_dead):
    """15 dead latents are more than the 8 that take part in a token; 3 are fewer."""
    dictionary, scaled, residual = with_dead(n_dead)
    loss = aux_loss(dictionary.weights, dictionary.dead, scaled, scaled - residual)
    loss.backward()
    ours = [dictionary.weights.encoder.grad, dictionary.weights.decoder.grad, dictionary.weights.b_enc.grad]

    encoder, decoder, b_enc = (t.detach().clone().requires_grad_() for t in list(vars(dictionary.weights).values())[:3])
    latents = ((scaled - dictionary.weights.b_dec.detach()) @ encoder.T + b_enc).relu() * (torch.arange(24) < n_dead)
    threshold = latents.topk(min(8, n_dead), dim=1).values[:, -1:]
    plain = (((latents * (latents >= threshold)) @ decoder - residual) ** 2).mean()
    plain.backward()
    torch.testing.assert_close(loss, plain)
    for mine, theirs in zip(ours, (encoder.grad, decoder.grad, b_enc.grad), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_the_auxiliary_gradient_reaches_encoder_and_decoder_of_the_dead_alone():
    dictionary, scaled, residual = with_dead(6)
    aux_loss(dictionary.weights, dictionary.dead, scaled, scaled - residual).backward()
    for grad in (dictionary.weights.encoder.grad, dictionary.weights.decoder.grad):
        assert (grad[:6].norm(dim=1) > 0).all()
        assert (grad[6:] == 0).all()


def test_nothing_dead_costs_nothing():
    dictionary, scaled, residual = with_dead(0)
    assert float(aux_loss(dictionary.weights, dictionary.dead, scaled, scaled - residual)) == 0


@pytest.mark.slow
def test_the_revived_are_fewer_with_the_auxiliary_loss():
    rows, _ = planted(atoms=200, active=6)
    shares = []
    for coefficient in (0.0, 1 / 32):
        settings = SaeSettings(
            **BASE | {"latents": 96, "tokens": 150 * 256, "learning_rate": 0.03, "aux_coefficient": coefficient}
        )
        shares.append(train(opened(rows, settings), Recipe(settings, seed=0)).curve[-1].dead_share)
    assert shares[1] < shares[0]


@pytest.mark.slow
def test_same_seed_same_bytes_other_seed_other_bytes():
    rows, _ = planted()
    settings = SaeSettings(**BASE)
    first, again, other = (train(opened(rows, settings), Recipe(settings, seed)).sae for seed in (1, 1, 2))
    assert first.W_enc.equal(again.W_enc)
    assert first.b_dec.equal(again.b_dec)
    assert not first.W_enc.equal(other.W_enc)


def test_curve_counts_tokens_and_ends_with_the_last_step():
    rows, _ = planted()
    settings = SaeSettings(**BASE | {"tokens": 3000})
    curve = train(opened(rows, settings), Recipe(settings, seed=0)).curve
    assert [p.step for p in curve] == [0, 10, 11]
    assert curve[-1].tokens == 3000
    assert curve[-1].l0 <= 3


def test_rows_of_massive_norm_leave_no_trace_but_their_count():
    rows, _ = planted()
    rows[::50] *= 30
    settings = SaeSettings(**BASE | {"tokens": 3000, "resample_steps": 5, "massive_norm": 10.0})
    found = train(opened(rows, settings), Recipe(settings, seed=0))
    all_of_them = list(batches(rows, settings))
    norms = [batch.norm(dim=1) for batch in all_of_them]
    longest = 10 * torch.cat(norms[:8]).median()
    kept = [batch[own <= longest] for batch, own in zip(all_of_them, norms, strict=True)]
    # the same training on rows that somebody else has filtered
    plain = SaeSettings(**BASE | {"tokens": 3000, "resample_steps": 5})
    wanted = train(lambda step: iter(kept[step:]), Recipe(plain, seed=0))
    assert found.sae.W_enc.equal(wanted.sae.W_enc)
    assert found.sae.b_dec.equal(wanted.sae.b_dec)
    assert 30 < found.massive.left_out == 3000 - sum(map(len, kept)) < 90
    assert found.massive == (10.0, pytest.approx(float(longest)), found.massive.left_out, 3000)
    assert wanted.massive is None
    assert "massive_norm" not in plain.record()
    assert settings.record()["massive_norm"] == 10.0


def test_a_batch_of_nothing_but_massive_rows_is_refused():
    rows, _ = planted()
    settings = SaeSettings(**BASE | {"massive_norm": 5.0})

    def late(step):
        return (100 * batch if at == 9 else batch for at, batch in enumerate(opened(rows, settings)(step), step))

    with pytest.raises(
        TrimtabError, match=r"all 256 rows of step 9 are longer than [0-9.]+; expected a larger saes\.m"
    ):
        train(late, Recipe(settings, seed=0))


@pytest.mark.parametrize("rows", [torch.full((2048, 16), math.nan), torch.ones(2048, 16)])
def test_rows_without_a_scale_are_refused(rows):
    settings = SaeSettings(**BASE)
    with pytest.raises(TrimtabError, match="mean centred norm of the first"):
        train(opened(rows, settings), Recipe(settings, seed=0))


@pytest.mark.slow
def test_what_made_a_loss_nan_is_told():
    rows = torch.randn(2048, 16, generator=torch.Generator().manual_seed(0))
    settings = SaeSettings(**BASE)

    def late(step):
        # in one row of a batch after those that the scale is measured on, and where no figures are logged
        for at, batch in enumerate(opened(rows, settings)(step), step):
            yield batch.index_fill(0, torch.tensor([3]), math.inf) if at == 12 else batch

    with pytest.raises(TrimtabError, match="activations up to step 15 hold NaN or infinity"):
        train(late, Recipe(settings, seed=0))
    settings = SaeSettings(**BASE | {"learning_rate": 1e38})
    with pytest.raises(TrimtabError, match="although all activations are finite; lower"):
        train(opened(rows, settings), Recipe(settings, seed=0))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_ranking_in_bfloat16_learns_as_well(kind):
    plain, ranked = learned(kind), learned(kind, "bfloat16")
    assert ranked.sae.W_enc.dtype == torch.float32
    assert ranked.curve[-1].explained_variance == pytest.approx(plain.curve[-1].explained_variance, abs=0.02)


def test_a_step_in_bfloat16_differs_from_a_float32_one_in_the_choice_alone():
    rows, _ = planted()
    dictionaries = [Dictionary(rows, SaeSettings(**BASE | {"precision": p}), seed=0) for p in ("float32", "bfloat16")]
    passes = [d.kind.run(d.weights, rows[:64] * d.scale).codes for d in dictionaries]
    dense = [torch.zeros(64, 24).index_put((c.pattern.tokens, c.pattern.latents), c.values.detach()) for c in passes]
    both = (dense[0] > 0) & (dense[1] > 0)
    assert both.sum() > 0.95 * (dense[0] > 0).sum()
    torch.testing.assert_close(dense[0][both], dense[1][both])


def test_thresholds_learn_from_entries_in_their_band_alone():
    """The paper's pseudo-derivatives, worked out for two entries: 0.05 above and 0.5 above a threshold of 1."""
    before = torch.tensor([1.05, 1.5, 0.95, 0.2], requires_grad=True)
    threshold = torch.ones(4, requires_grad=True)
    values, active = _Jump.apply(before, threshold, torch.tensor([0.2]))
    assert values.tolist() == [pytest.approx(1.05), 1.5, 0, 0]
    assert active.tolist() == [1, 1, 0, 0]
    (3 * values + 7 * active).sum().backward()
    assert before.grad.tolist() == [3, 3, 0, 0]
    # in the band: -(threshold / width) * 3 - (1 / width) * 7
    assert threshold.grad.tolist() == pytest.approx([-50, 0, -50, 0])


def test_nested_reconstructions_are_those_of_the_prefixes_alone():
    rows, _ = planted()
    settings = SaeSettings(**BASE | {"architecture": "matryoshka", "latents": 64})
    dictionary = Dictionary(rows, settings, seed=0)
    with torch.no_grad():
        done = dictionary.kind.run(dictionary.weights, scaled := rows[:32] * dictionary.scale)
        nested = dictionary.kind.nested(dictionary.weights, done.codes)
    values, pattern = done.codes
    dense = torch.zeros(32, 64).index_put((pattern.tokens, pattern.latents), values)
    for reconstruction, prefix in zip(nested, (2, 6, 14, 30, 64), strict=True):
        part = dense[:, :prefix] @ dictionary.weights.decoder[:prefix] + dictionary.weights.b_dec
        torch.testing.assert_close(reconstruction, part.detach())
    errors = (nested - scaled).square().flatten(1).mean(1)
    torch.testing.assert_close(done.loss, errors.mean())
    torch.testing.assert_close(done.error, errors[-1])


def test_the_batch_has_k_latents_a_token_and_the_threshold_is_what_was_just_chosen():
    rows, _ = planted()
    dictionary = Dictionary(rows, SaeSettings(**BASE | {"architecture": "batchtopk"}), seed=0)
    codes = dictionary.kind.run(dictionary.weights, rows[:64] * dictionary.scale).codes
    assert len(codes.values) == 64 * 3
    smallest = float(codes.values[codes.values > 0].detach().min()) / dictionary.scale
    assert dictionary.folded().activation.threshold.tolist() == [pytest.approx(smallest)] * 24


def test_geometric_median_shrugs_off_a_few_far_rows():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(200, 3, generator=generator)
    rows[:10] += 1000
    near = start.centre(rows, "geometric_median")
    assert near.norm() < 0.3
    assert start.centre(rows, "mean").norm() > 50
    # of three points on a line it is the middle one
    line = torch.tensor([[0.0], [1.0], [50.0]])
    torch.testing.assert_close(start.centre(line, "geometric_median"), torch.tensor([1.0]), atol=1e-3, rtol=0)


def test_resampled_latents_start_at_what_was_badly_reconstructed():
    dictionary, _, _ = with_dead(6)
    rows, _ = planted()
    rows = rows[:256].double()
    dictionary.step(rows, 1e-2)
    dictionary.silent_steps[:6] = 99
    living = dictionary.weights.encoder[6:].detach().clone()
    with torch.no_grad():
        scaled = rows * dictionary.scale
        residual = functional.normalize(scaled - dictionary.kind.run(dictionary.weights, scaled).reconstruction, dim=1)
    dictionary.revive(rows)
    fresh = dictionary.weights.decoder[:6].detach()
    assert ((fresh @ residual.T).amax(1) > 1 - 1e-6).all()
    torch.testing.assert_close(dictionary.weights.encoder[:6].norm(dim=1).mean(), 0.2 * living.norm(dim=1).mean())
    assert dictionary.weights.encoder[6:].equal(living)
    assert (dictionary.optimiser.state[dictionary.weights.encoder]["exp_avg"][:6] == 0).all()
    assert len(dictionary.dead) == 0
