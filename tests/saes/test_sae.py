"""A finished dictionary by hand, and against the definition with all its zeros."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from trimtab.saes.sae import SAE, JumpReLUActivation, TopKActivation


def random_sae(seed, activation, d_in=5, d_sae=12):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return SAE(draw(d_in, d_sae), draw(d_sae), draw(d_sae, d_in), draw(d_in), activation), draw


def test_two_latents_by_hand():
    sae = SAE(
        W_enc=torch.tensor([[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]]),
        b_enc=torch.tensor([0.0, 0.5, 0.0]),
        W_dec=torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]),
        b_dec=torch.tensor([1.0, 1.0]),
        activation=TopKActivation(1),
    )
    # centred (2, 1): latents (2, 1.5, -2), of which the first stays
    rows = torch.tensor([[3.0, 2.0]])
    torch.testing.assert_close(sae.latents(rows), torch.tensor([[2.0, 0.0, 0.0]]))
    torch.testing.assert_close(sae.forward(rows), torch.tensor([[3.0, 1.0]]))
    jumping = SAE(sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec, JumpReLUActivation(torch.tensor([2.0, 1.4, -3.0])))
    # 2 is not above 2, and a latent below 0 is never active, whatever its threshold
    torch.testing.assert_close(jumping.latents(rows), torch.tensor([[0.0, 1.5, 0.0]]))


def test_a_row_with_fewer_than_k_positive_latents_keeps_only_those():
    sae = SAE(torch.eye(3), torch.zeros(3), torch.eye(3), torch.zeros(3), TopKActivation(2))
    rows = torch.tensor([[1.0, -1.0, -2.0]])
    torch.testing.assert_close(sae.latents(rows), torch.tensor([[1.0, 0.0, 0.0]]))
    assert (sae.encode(rows).values >= 0).all()


def test_rows_on_which_nothing_is_active_are_reconstructed_by_the_bias():
    sae = SAE(torch.eye(3), torch.zeros(3), torch.eye(3), torch.ones(3), JumpReLUActivation(torch.full((3,), 100.0)))
    torch.testing.assert_close(sae.forward(torch.zeros(2, 3)), torch.ones(2, 3))


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 11), tokens=st.integers(1, 9))
def test_topk_equals_the_definition_with_at_most_k_active(seed, k, tokens):
    sae, draw = random_sae(seed, TopKActivation(k))
    rows = draw(tokens, 5)
    before = functional.linear(rows - sae.b_dec, sae.W_enc.T, sae.b_enc).relu()
    values, indices = before.topk(k, dim=1)
    latents = sae.latents(rows)
    torch.testing.assert_close(latents, torch.zeros_like(before).scatter(1, indices, values))
    assert ((latents > 0).sum(1) <= k).all()
    torch.testing.assert_close(sae.forward(rows), latents @ sae.W_dec + sae.b_dec)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), tokens=st.integers(1, 9))
def test_jumprelu_equals_the_definition(seed, tokens):
    threshold = torch.randn(12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    sae, draw = random_sae(seed, JumpReLUActivation(threshold))
    rows = draw(tokens, 5)
    before = (rows - sae.b_dec) @ sae.W_enc + sae.b_enc
    latents = before.relu() * (before > threshold)
    torch.testing.assert_close(sae.latents(rows), latents)
    torch.testing.assert_close(sae.forward(rows), latents @ sae.W_dec + sae.b_dec)


@pytest.mark.parametrize("activation", [TopKActivation(3), JumpReLUActivation(torch.ones(12))])
def test_moved_to_another_device_it_keeps_its_numbers(activation):
    sae, _ = random_sae(2, activation)
    moved = sae.to("cpu")
    assert moved.W_enc.equal(sae.W_enc)
    assert type(moved.activation) is type(activation)
