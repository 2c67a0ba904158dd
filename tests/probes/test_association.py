"""Chances of association scores, exact where few templates allow it, and their correction."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from trimtab.probes.association import chance, table
from trimtab.probes.controls import association


def test_the_false_discovery_rate_is_benjamini_and_hochbergs_within_each_layer():
    gaps = {layer: torch.randn(20, 30, generator=torch.Generator().manual_seed(layer)).double() for layer in (0, 1)}
    gaps[0][:, :4] += 1
    found = table(gaps, [f"t{i // 4}" for i in range(20)], seed=1)
    for _, rows in found.groupby("layer"):
        np.testing.assert_allclose(rows["q_pairs"], false_discovery_control(rows["p_pairs"]), rtol=1e-12)


def test_a_chance_by_hand():
    """Gaps 1 and 2: of the four signs two give a mean of 1.5 in size."""
    gaps = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    signs = torch.tensor(list(product([-1.0, 1.0], repeat=2)), dtype=torch.float64)
    assert chance(gaps, signs, observed_counts=False).item() == 0.5


@pytest.mark.slow
@given(st.integers(0, 10_000))
def test_the_order_of_means_is_the_order_of_scores(seed):
    """What `chance` counts by means, the study's score would count the same."""
    # large, since scores of trivial means are set to 0
    gaps = 1e6 * torch.randn(6, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    signs = torch.tensor(list(product([-1.0, 1.0], repeat=6)), dtype=torch.float64)
    scores = association((signs[:, :, None] * gaps).transpose(0, 1)[..., 0])
    by_score = float((scores.abs() >= float(association(gaps).abs()) * (1 - 1e-9)).double().mean())
    assert chance(gaps, signs, observed_counts=False).item() == pytest.approx(by_score)


def test_planted_latents_are_named_and_few_others():
    generator = torch.Generator().manual_seed(0)
    gaps = torch.randn(56, 200, generator=generator, dtype=torch.float64)
    gaps[:, :7] += 1.5
    gaps[:, -1] = 0
    found = table({4: gaps}, [f"t{i // 8}" for i in range(56)], seed=1)
    assert list(found["layer"].unique()) == [4]
    named = found.loc[found["q_pairs"] < 0.05, "latent"]
    assert set(range(7)) <= set(named)
    assert len(named) < 12
    assert found["p_pairs"].iloc[-1] == found["p_templates"].iloc[-1] == 1
    # seven templates can be turned in 128 ways, of which two give the largest mean
    assert found["p_templates"].min() == pytest.approx(2 / 128)


def test_templates_with_gaps_of_their_own_name_no_latent():
    generator = torch.Generator().manual_seed(2)
    own = torch.randn(10, 400, generator=generator, dtype=torch.float64).repeat_interleave(6, 0)
    gaps = torch.randn(60, 400, generator=generator, dtype=torch.float64) + own
    found = table({4: gaps}, [f"t{i // 6}" for i in range(60)], seed=1)
    assert (found["p_pairs"] <= 0.05).mean() > 0.2
    assert (found["p_templates"] <= 0.05).mean() < 0.08
    assert (found["q_templates"] < 0.05).sum() <= 1 < (found["q_pairs"] < 0.05).sum()
    np.testing.assert_allclose(found["q_templates"], false_discovery_control(found["p_templates"]))


def test_chances_of_noise_are_level():
    gaps = torch.randn(40, 400, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    found = table({0: gaps}, [f"t{i // 4}" for i in range(40)], seed=1)
    assert found["p_pairs"].mean() == pytest.approx(0.5, abs=0.05)
    assert (found["q_pairs"] < 0.05).sum() <= 1
