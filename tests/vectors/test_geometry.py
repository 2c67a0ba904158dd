"""Angles and dimensions of sets of vectors, by hand and against random ones."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import record

from trimtab.vectors.artifact import Vector
from trimtab.vectors.geometry import cosines, dimensions, effective_dimension, latent_shares, null_cosine


def vector(method, trait, unit, layer=2, check="right"):
    known = record(method=method, trait=trait, layer=layer, sign_check=check)
    return Vector(Path("v"), known, torch.tensor(unit), torch.zeros(len(unit)))


def test_cosines_are_of_one_layer():
    table = cosines([vector("a", "x", [1.0, 0.0]), vector("b", "x", [0.6, 0.8]), vector("a", "y", [0.0, 1.0], layer=3)])
    assert table[["a", "b", "layer"]].to_numpy().tolist() == [["a/x", "b/x", 2]]
    assert table["cosine"].item() == pytest.approx(0.6)


@pytest.mark.slow
@pytest.mark.parametrize("d_model", [3, 64, 576])
def test_nineteen_of_twenty_random_pairs_stay_in_the_null_band(d_model):
    drawn = torch.randn(2, 20_000, d_model, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cosine = torch.nn.functional.cosine_similarity(drawn[0], drawn[1])
    assert float((cosine.abs() <= null_cosine(d_model)).double().mean()) == pytest.approx(0.95, abs=0.006)
    # the standard deviation of a cosine is 1 / sqrt(d)
    assert null_cosine(d_model) == pytest.approx(1.96 / math.sqrt(d_model), rel=0.2)


def test_effective_dimension_by_hand():
    assert effective_dimension(torch.eye(4)) == pytest.approx(4)
    assert effective_dimension(torch.ones(3, 5)) == pytest.approx(1)
    # Gram matrix (1, 1/2; 1/2, 1): 4 / 2.5
    assert effective_dimension(torch.tensor([[1.0, 0.0], [0.5, math.sqrt(0.75)]])) == pytest.approx(1.6)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_effective_dimension_lies_between_one_and_the_number(seed, vectors):
    units = torch.nn.functional.normalize(torch.randn(vectors, 8, generator=torch.Generator().manual_seed(seed)), dim=1)
    assert 1 - 1e-9 <= effective_dimension(units) <= vectors + 1e-9


def test_sets_are_each_methods_and_each_layers_with_an_aim():
    vectors = [
        vector("a", "x", [1.0, 0.0, 0.0]),
        vector("a", "y", [1.0, 0.0, 0.0], layer=3),
        vector("b", "x", [0.0, 1.0, 0.0]),
        vector("random_0", "x", [0.0, 0.0, 1.0], check="no aim"),
    ]
    table = dimensions(vectors, seed=0).set_index(["set", "name"])
    assert list(table.index) == [("method", "a"), ("layer", "2")]
    assert table.loc[("method", "a"), "effective_dimension"] == pytest.approx(1)
    assert table.loc[("layer", "2"), ["vectors", "effective_dimension"]].tolist() == [2, pytest.approx(2)]
    assert (table["null_lower"] <= table["null_upper"]).all()


def test_latents_that_hold_a_share_of_the_weight():
    """Squared weights 9, 1, 0, ...: the first holds 90 %, both all."""
    table = latent_shares({"x": torch.tensor([1.0, 0.0, -3.0, 0.0])})
    assert dict(zip(table["share"], table["latents"], strict=True)) == {0.5: 1, 0.8: 1, 0.9: 1, 0.95: 2}
