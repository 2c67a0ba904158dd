"""Baselines and agreement on rows whose answers are known."""

import pytest
import torch
from torch.nn import functional

from trimtab.saes.agreement import agreement, matched
from trimtab.saes.baselines import baselines, pca, random_dictionary, random_directions
from trimtab.saes.sae import SAE, TopKActivation


def flat(n=400, d=8, rank=2, seed=0):
    """Rows in a plane of `rank` dimensions, off the origin."""
    generator = torch.Generator().manual_seed(seed)
    plane = torch.randn(rank, d, generator=generator)
    return torch.randn(n, rank, generator=generator) @ plane + 5 * torch.ones(d)


def share(rows, fake):
    return 1 - float((rows - fake(rows)).square().sum() / (rows - rows.mean(0)).square().sum())


def test_pca_explains_a_plane_with_as_many_components_as_it_has_dimensions():
    rows = flat()
    assert share(rows, pca(rows, 2)) == pytest.approx(1, abs=1e-5)
    assert share(rows, pca(rows, 1)) < 0.99


def test_random_directions_are_unit_rows_about_an_origin():
    origin = torch.full((4,), 2.0)
    drawn = random_directions(origin, latents=12, k=3, seed=1)
    assert (drawn.W_enc.shape, drawn.W_dec.shape) == ((4, 12), (12, 4))
    torch.testing.assert_close(drawn.W_dec.norm(dim=1), torch.ones(12))
    assert torch.equal(drawn.W_enc, drawn.W_dec.T)
    assert torch.equal(drawn.b_dec, origin)
    assert not torch.equal(random_directions(origin, 12, 3, seed=2).W_dec, drawn.W_dec)


def test_a_random_dictionary_explains_something_and_its_scale_is_the_best_one():
    rows = flat(rank=8)
    sae = random_dictionary(rows, latents=64, k=4, seed=1)
    assert 0 < share(rows, sae.forward) < 1
    for factor in (0.9, 1.1):
        other = SAE(sae.W_enc, sae.b_enc, sae.W_dec * factor, sae.b_dec, sae.activation)
        assert share(rows, other.forward) < share(rows, sae.forward)


def test_baselines_use_as_many_numbers_as_the_dictionary():
    rows = flat(rank=8)
    # two latents of each token are positive, though five may be active
    sae = SAE(torch.eye(8)[:, :2], torch.full((2,), 100.0), torch.eye(8)[:2], torch.zeros(8), TopKActivation(2))
    found = baselines(sae, rows, seed=0)
    torch.testing.assert_close(found["pca"](rows), pca(rows, 2)(rows))
    assert share(rows, found["random"]) == pytest.approx(share(rows, random_dictionary(rows, 2, 2, 0).forward))


def test_a_shuffled_dictionary_agrees_with_itself_and_a_random_one_with_nothing():
    generator = torch.Generator().manual_seed(0)
    decoder = functional.normalize(torch.randn(30, 64, generator=generator), dim=1)
    order = torch.randperm(30, generator=generator)
    torch.testing.assert_close(matched(decoder, decoder[order]), torch.ones(30))
    found = agreement(decoder, decoder[order] * 3, seed=1)
    assert found.mean_cosine == pytest.approx(1)
    assert found.alike_share == 1
    assert found.chance_alike_share == 0
    assert found.chance_mean_cosine < 0.4


def test_matching_is_one_to_one():
    one = torch.eye(2)
    # both rows are nearest to the first of these, and only one may have it
    other = torch.tensor([[1.0, 1.0], [0.0, -1.0]])
    assert matched(one, other).tolist() == pytest.approx([0, 2**-0.5])
