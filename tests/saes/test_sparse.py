"""The sparse products against their definition, and each hand-written gradient against finite differences."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.saes import sparse
from trimtab.saes.sparse import DENSE, SPARSE, Pattern, Products, decode, encode, fastest, quickest

BOTH = pytest.mark.parametrize("products", [SPARSE, DENSE], ids=["sparse", "dense"])


def drawn(seed, tokens=6, latents=7, d=4, share=0.4):
    """A random pattern, in which some tokens and some latents may have no entry, with rows and a table."""
    generator = torch.Generator().manual_seed(seed)
    active = torch.rand(tokens, latents, generator=generator) < share
    pattern = Pattern(*active.nonzero(as_tuple=True), tokens, latents)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return pattern, draw(len(pattern.tokens)), draw(tokens, d), draw(latents, d), draw


def test_two_tokens_by_hand():
    pattern = Pattern(torch.tensor([0, 0, 2]), torch.tensor([1, 0, 1]), n_tokens=3, n_latents=2)
    values, table = torch.tensor([2.0, 3.0, 5.0]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(SPARSE.sums(pattern, values, table), torch.tensor([[3.0, 2.0], [0.0, 0.0], [0.0, 5.0]]))
    rows = torch.tensor([[1.0, 10.0], [7.0, 7.0], [2.0, 20.0]])
    torch.testing.assert_close(SPARSE.dots(pattern, rows, table), torch.tensor([10.0, 1.0, 20.0]))
    turned, order = pattern.transposed
    torch.testing.assert_close(SPARSE.sums(turned, values[order], rows), torch.tensor([[3.0, 30.0], [12.0, 120.0]]))


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.2, 0.8]))
def test_sparse_equals_dense(seed, share):
    pattern, values, rows, table, _ = drawn(seed, share=share)
    torch.testing.assert_close(SPARSE.sums(pattern, values, table), DENSE.sums(pattern, values, table))
    torch.testing.assert_close(SPARSE.dots(pattern, rows, table), DENSE.dots(pattern, rows, table))
    turned, order = pattern.transposed
    torch.testing.assert_close(SPARSE.sums(turned, values[order], rows), DENSE.sums(turned, values[order], rows))


@BOTH
def test_gradient_of_decode_equals_finite_differences(products):
    pattern, values, _, table, _ = drawn(1)
    leaves = [values.requires_grad_(), table.requires_grad_()]
    assert torch.autograd.gradcheck(lambda v, t: decode(pattern, v, t, products), leaves)


@BOTH
def test_gradient_of_encode_equals_finite_differences(products):
    pattern, _, rows, encoder, draw = drawn(2)
    weights = [encoder, draw(7), draw(4)]

    def values(encoder, b_enc, b_dec):
        # as in training, rows less the bias come without a gradient of their own
        return encode(pattern, (rows - b_dec).detach(), encoder, b_enc, b_dec, products)

    def plain(encoder, b_enc, b_dec):
        return ((rows - b_dec) @ encoder.T + b_enc)[pattern.tokens, pattern.latents]

    weight = draw(len(pattern.tokens))
    gradients = []
    for function in (values, plain):
        leaves = [tensor.clone().requires_grad_() for tensor in weights]
        (function(*leaves) * weight).sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    for ours, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, wanted)
    assert torch.autograd.gradcheck(plain, [tensor.clone().requires_grad_() for tensor in weights])


def test_values_that_are_known_are_taken_as_they_are_with_the_same_gradient():
    pattern, _, rows, encoder, draw = drawn(3)
    b_enc, b_dec = draw(7), draw(4)
    gradients = []
    for known in (None, SPARSE.dots(pattern, rows - b_dec, encoder) + b_enc[pattern.latents]):
        leaf = encoder.clone().requires_grad_()
        values = encode(pattern, rows - b_dec, leaf, b_enc, b_dec, known=known)
        values.square().sum().backward()
        gradients.append((values.detach(), leaf.grad))
    for ours, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, wanted)


def test_a_cpu_is_not_measured():
    assert fastest(torch.device("cpu"), 4, 8, 3, 2) is SPARSE


def test_the_quickest_is_taken_and_logged(monkeypatch, caplog):
    clock = {"now": 0.0}
    monkeypatch.setattr(sparse.time, "perf_counter", lambda: clock["now"])
    slow = Products(*SPARSE)

    def once(products):
        clock["now"] += 2.0 if products is slow else 0.5

    caplog.set_level("INFO", "trimtab.saes.sparse")
    assert quickest({"slow": slow, "quick": DENSE}, once) is DENSE
    assert "SAE products: quick; measured slow 2e+03 ms, quick 500 ms" in caplog.text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@BOTH
def test_a_gpu_gives_the_same_gradients(products):
    gradients = []
    for device in ("cpu", "cuda"):
        pattern, values, _, table, _ = drawn(4)
        moved = Pattern(pattern.tokens.to(device), pattern.latents.to(device), pattern.n_tokens, pattern.n_latents)
        leaves = [values.to(device).requires_grad_(), table.to(device).requires_grad_()]
        decode(moved, *leaves, products).square().sum().backward()
        gradients.append([leaf.grad.cpu() for leaf in leaves])
    for ours, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, wanted)
