"""Methods that go by what the agent does, their nulls, and transformations: by hand, and by other ways."""

import inspect
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from material_of import D_MODEL, D_SAE, Around, Said, dictionary, generator, material, probe

from trimtab.probes import ridge
from trimtab.vectors.asked import Behaviour, Gradients
from trimtab.vectors.contract import make
from trimtab.vectors.elsewhere import ElsewhereFiles
from trimtab.vectors.projection import DAMPING, without
from trimtab.vectors.readings import ModelReadings
from trimtab.vectors.transformations.shuffled import shuffled
from trimtab.vectors.unmade import CannotBeMade

RULES = Path(__file__).parents[2] / "workflow/rules/vectors.smk"


def cosine(one, other):
    return float(one.double() @ other.double() / (one.double().norm() * other.double().norm()))


def axis(at, width=D_MODEL):
    return torch.nn.functional.one_hot(torch.tensor(at), width).float()


def parts(**more):
    """Two latents a dimension, and a gradient along the first axis."""
    both = torch.cat([torch.eye(D_MODEL), -torch.eye(D_MODEL)])
    found = material(sae=dictionary(both, k=2 * D_MODEL), latent_probe=probe(torch.ones(2 * D_MODEL)))
    return replace(found, readings=replace(found.readings, **more))


# --- what the agent does ---


def test_behaviour_is_numpys_covariance():
    found = material()
    rows, odds = (each.numpy().astype(float) for each in found.readings.behaviour)
    expected = [np.cov(rows[:, at], odds)[0, 1] for at in range(D_MODEL)]
    made = make("behaviour", found)
    assert made.raw_norm * made.unit.numpy() == pytest.approx(expected, rel=1e-5)
    latents = found.sae.latents(torch.tensor(rows).float()).numpy().astype(float)
    code = np.array([np.cov(latents[:, at], odds)[0, 1] for at in range(D_SAE)])
    decoded = make("sae_behaviour", found)
    assert decoded.code.numpy() == pytest.approx(code, rel=1e-5, abs=1e-9)
    assert decoded.raw_norm * decoded.unit.numpy() == pytest.approx(code @ found.sae.W_dec.numpy(), rel=1e-4, abs=1e-6)


def test_with_linear_codes_of_an_orthonormal_dictionary_the_decoded_behaviour_is_the_plain_one():
    found = parts()
    torch.testing.assert_close(make("sae_behaviour", found).unit, make("behaviour", found).unit, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["behaviour", "sae_behaviour"])
def test_behaviour_knows_no_poles(method):
    found = material()
    turned = replace(found, high=found.low, low=found.high)
    assert torch.equal(make(method, found).unit, make(method, turned).unit)


@pytest.mark.parametrize("method", ["behaviour", "sae_behaviour"])
def test_actions_that_are_as_likely_everywhere_define_no_direction(method):
    rows, odds = material().readings.behaviour
    with pytest.raises(CannotBeMade, match="its actions are as likely at all prompts"):
        make(method, parts(behaviour=Behaviour(rows, torch.full_like(odds, -1.5))))


def test_the_gradient_is_as_the_model_told_it():
    found = material()
    assert cosine(make("gradient", found).unit, found.readings.gradients.own) == pytest.approx(1)


# --- attribution ---


def test_latents_that_move_the_action_the_other_way_are_left_out_by_hand():
    """Mean latents differ by (2, -1, 3) on unit rows and the gradient is (1, 1, -1): latent 0 raises, 1 and 2 lower."""
    sae = dictionary(torch.eye(3))
    high, low = torch.tensor([[2.0, 1.0, 3.0]]), torch.tensor([[0.0, 2.0, 0.0]])
    told = Said(gradients=Gradients(torch.tensor([1.0, 1.0, -1.0]), {}))
    made = make("sae_attributed", material(high=high, low=low, sae=sae, readings=told))
    assert made.code.tolist() == [2.0, 0.0, 0.0]
    # turned round, latents 1 and 2 raise, and their share keeps its sign
    told = Said(gradients=Gradients(torch.tensor([-1.0, -1.0, 1.0]), {}))
    made = make("sae_attributed", material(high=high, low=low, sae=sae, readings=told))
    assert made.code.tolist() == [0.0, -1.0, 3.0]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sae_attributed", "sae_attributed_random", "shuffled_sae_attributed"])
@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_every_latent_that_is_kept_raises_the_action_and_every_one_left_out_lowers_it(method, seed):
    found = replace(parts(), seed=seed)
    decoder, gradient = found.sae.W_dec.double(), found.readings.gradients.own.double()
    made = make(method, found)
    assert bool((made.code * (decoder @ gradient) >= 0).all())
    torch.testing.assert_close(decoder.T @ made.code, made.raw_norm * made.unit.double(), rtol=1e-5, atol=1e-6)
    if method == "sae_attributed":
        gap = found.latents()[: len(found.high)].mean(0) - found.latents()[len(found.high) :].mean(0)
        assert bool(((gap * (decoder @ gradient) > 0) == (made.code != 0)).all())


def test_a_random_code_has_only_latents_that_fire():
    found = parts()
    silent = replace(found.sae, b_enc=torch.where(torch.arange(2 * D_MODEL) < 3, -1000.0, 0.0))
    made = make("sae_attributed_random", replace(found, sae=silent))
    assert made.code[:3].abs().sum() == 0
    assert made.towards is None


# --- nulls ---


@pytest.mark.slow
def test_a_random_direction_of_the_corpus_has_its_covariance():
    """Over many draws the mean of v v' is the rows' covariance; of unit vectors, that of their directions."""
    corpus = torch.randn(30, 2, generator=generator(3)) * torch.tensor([5.0, 1.0]) + 100
    wide = material(high=torch.zeros(2, 2), elsewhere=Around(corpus, {}))
    drawn = [make(f"corpus_random_{at}", wide) for at in range(2000)]
    vectors = torch.stack([each.raw_norm * each.unit.double() for each in drawn]).numpy()
    assert vectors.T @ vectors / len(vectors) == pytest.approx(np.cov(corpus.T.double().numpy()), rel=0.1, abs=0.5)
    assert {each.towards for each in drawn} == {None}


def test_shuffled_material_swaps_whole_pairs_and_fits_probes_anew():
    found = material()
    other = shuffled(found)
    swap = (other.high == found.low).all(1)
    assert int(swap.sum()) == len(swap) // 2
    assert torch.equal(other.high, torch.where(swap[:, None], found.low, found.high))
    assert torch.equal(other.low, torch.where(swap[:, None], found.high, found.low))
    high, low = other.rows(2)
    assert torch.equal(high, other.high)
    assert torch.equal(low, other.low)
    # a token keeps its rows and changes its pole
    (part,), (true,) = other.readings.tokens(None), found.readings.tokens(None)
    assert torch.equal(part.rows, true.rows)
    assert torch.equal(part.high != true.high, swap[true.pair])
    labels = (torch.arange(2 * len(swap)) < len(swap)).double()
    refitted = ridge.fit(torch.cat([other.high, other.low]), labels, found.raw_penalties[0])
    torch.testing.assert_close(other.residual_probe.weight, refitted.weight)
    # what the agent does is dealt anew, and stays the same set of numbers with the same rows
    (rows, odds), (true_rows, true_odds) = other.readings.behaviour, found.readings.behaviour
    assert torch.equal(rows, true_rows)
    assert not torch.equal(odds, true_odds)
    assert sorted(odds.tolist()) == sorted(true_odds.tolist())
    assert other.readings.gradients is found.readings.gradients


def test_shuffled_labels_leave_nothing_of_a_planted_trait():
    noise = torch.randn(2, 300, D_MODEL, generator=generator(0))
    found = material(high=noise[0] + 4 * axis(0), low=noise[1])
    true, null = make("mean_difference", found), make("shuffled_mean_difference", found)
    assert null.raw_norm < 0.2 * true.raw_norm
    assert null.towards is None
    assert not torch.equal(make("shuffled_mean_difference_1", found).unit, null.unit)


@pytest.mark.parametrize("method", ["gradient", "random", "corpus_random"])
def test_a_method_without_labels_has_no_such_null(method):
    with pytest.raises(CannotBeMade, match="the method is the same without labels"):
        make(f"shuffled_{method}", material())


# --- projections ---


def test_a_part_along_one_direction_shrinks_by_the_damping():
    """v = (3, 4), away goes its part along (1, 0): 3 - 3 / 1.01."""
    left = without(torch.tensor([3.0, 4.0]), [torch.tensor([5.0, 0.0])])
    assert left.tolist() == pytest.approx([3 * DAMPING / (1 + DAMPING), 4.0])
    assert without(torch.tensor([3.0, 4.0]), []).tolist() == [3.0, 4.0]


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_what_is_left_minimises_what_it_is_said_to(seed, count):
    """|v' - v|² + |G v'|² / c has no gradient at v'."""
    vector = torch.randn(D_MODEL, generator=generator(seed), dtype=torch.float64)
    others = list(torch.randn(count, D_MODEL, generator=generator(seed + 1), dtype=torch.float64))
    units = torch.stack([other / other.norm() for other in others])
    left = without(vector, others).requires_grad_()
    cost = (left - vector).square().sum() + (units @ left).square().sum() / DAMPING
    (slope,) = torch.autograd.grad(cost, left)
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-9)


def test_directions_that_are_nearly_the_same_count_as_one():
    near = torch.tensor([1.0, 1e-4, 0.0])
    left = without(torch.tensor([1.0, 1.0, 1.0]), [axis(0, 3), near])
    assert float(left[1]) == pytest.approx(1.0, abs=1e-2)


def test_a_specific_direction_leaves_the_others_actions_alone_and_keeps_its_own():
    found = parts(gradients=Gradients(axis(0) + axis(1), {"persistence": axis(1), "twin": 1e-9 * axis(0)}))
    plain, made = make("mean_difference", found), make("specific_mean_difference", found)
    kept = torch.where(torch.arange(D_MODEL) == 1, 0.0, plain.unit)
    assert abs(float(made.unit[1] * kept.norm())) < 0.02 * abs(float(plain.unit[1]))
    # a trait of the same actions is no reason to lose them
    assert cosine(made.unit, kept) > 0.9999
    assert made.towards == plain.towards


def test_a_direction_apart_has_no_part_along_the_others_gaps():
    found = replace(material(), elsewhere=Around(torch.zeros(1, 1), {"persistence": 7 * axis(2)}))
    assert abs(float(make("apart_mean_difference", found).unit[2])) < 0.02


# --- what none of them may see ---


def test_no_scenario_and_no_held_out_template_can_reach_a_method():
    """The job that makes vectors has no scenario among its inputs; what it reads of prompts is development alone."""
    rule = re.search(r"^rule vectors:\n(.*?)^rule ", RULES.read_text(), re.DOTALL | re.MULTILINE)[1]
    assert "scenarios" not in rule
    for made in (ModelReadings, ElsewhereFiles, make, ModelReadings.train, ModelReadings.slopes):
        assert "scenario" not in " ".join(inspect.signature(made).parameters)
