"""The dictionary's forward pass by hand, and its hand-written gradient against plain autograd."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from trimtab.saes.topk import Codes, TopKSAE, active_latents, weighted_rows


def dense_latents(rows, encoder, b_enc, b_dec, k):
    """The definition, with all its zeros."""
    latents = functional.linear(rows - b_dec, encoder, b_enc).relu()
    values, indices = latents.topk(k, dim=1)
    return torch.zeros_like(latents).scatter(1, indices, values)


def random_sae(seed, d_in=5, d_sae=12, k=3, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    return TopKSAE(draw(d_in, d_sae), draw(d_sae), draw(d_sae, d_in), draw(d_in), k), draw


def test_two_latents_by_hand():
    sae = TopKSAE(
        W_enc=torch.tensor([[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]]),
        b_enc=torch.tensor([0.0, 0.5, 0.0]),
        W_dec=torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]),
        b_dec=torch.tensor([1.0, 1.0]),
        k=1,
    )
    # centred (2, 1): latents (2, 1.5, -2), of which the first stays
    rows = torch.tensor([[3.0, 2.0]])
    torch.testing.assert_close(sae.latents(rows), torch.tensor([[2.0, 0.0, 0.0]]))
    torch.testing.assert_close(sae.forward(rows), torch.tensor([[3.0, 1.0]]))


def test_a_row_with_fewer_than_k_positive_latents_keeps_only_those():
    sae = TopKSAE(torch.eye(3), torch.zeros(3), torch.eye(3), torch.zeros(3), k=2)
    rows = torch.tensor([[1.0, -1.0, -2.0]])
    torch.testing.assert_close(sae.latents(rows), torch.tensor([[1.0, 0.0, 0.0]]))
    assert (sae.encode(rows).values >= 0).all()


def test_gradients_equal_plain_autograd_in_float64():
    sae, draw = random_sae(0)
    rows, target = draw(20, 5), draw(20, 5)
    gradients = []
    for latents_of in (active_latents, dense_latents):
        leaves = [t.clone().requires_grad_() for t in (rows, sae.W_enc.T, sae.b_enc, sae.b_dec, sae.W_dec)]
        x, encoder, b_enc, b_dec, decoder = leaves
        latents = latents_of(x, encoder, b_enc, b_dec, 3)
        decoded = weighted_rows(latents, decoder) if isinstance(latents, Codes) else latents @ decoder
        (decoded + b_dec - target).square().sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    for ours, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, plain)


def test_gradient_equals_finite_differences():
    sae, draw = random_sae(1, k=2)

    def values(*weights):
        codes = active_latents(*weights, 2)
        # sorted: the order of the chosen is not defined
        return codes.values.gather(1, codes.indices.argsort(1))

    leaves = [t.clone().requires_grad_() for t in (draw(4, 5), sae.W_enc.T.contiguous(), sae.b_enc, sae.b_dec)]
    assert torch.autograd.gradcheck(values, leaves)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 11), tokens=st.integers(1, 9))
def test_equal_to_the_definition_with_at_most_k_active(seed, k, tokens):
    sae, draw = random_sae(seed, k=k)
    rows = draw(tokens, 5)
    latents = sae.latents(rows)
    torch.testing.assert_close(latents, dense_latents(rows, sae.W_enc.T, sae.b_enc, sae.b_dec, k))
    assert ((latents > 0).sum(1) <= k).all()
    torch.testing.assert_close(sae.forward(rows), latents @ sae.W_dec + sae.b_dec)


def test_moved_to_another_device_it_keeps_its_numbers():
    sae, _ = random_sae(2)
    moved = sae.to("cpu")
    assert moved.k == sae.k
    assert moved.W_enc.equal(sae.W_enc)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_same_gradients():
    sae, draw = random_sae(3)
    rows = draw(20, 5)
    gradients = []
    for device in ("cpu", "cuda"):
        encoder = sae.W_enc.T.contiguous().to(device).requires_grad_()
        codes = active_latents(rows.to(device), encoder, sae.b_enc.to(device), sae.b_dec.to(device), 3)
        weighted_rows(codes, sae.W_dec.to(device)).square().sum().backward()
        gradients.append(encoder.grad.cpu())
    torch.testing.assert_close(*gradients)
