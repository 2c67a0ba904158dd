"""Each method's known answers: by hand, on planted data, or where two methods must agree."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from material_of import D_MODEL, Said, dictionary, generator, material, probe, tokens

from trimtab.errors import TrimtabError
from trimtab.forward.sites import Site
from trimtab.probes import logistic
from trimtab.probes.ridge import fit
from trimtab.vectors.asked import TokenRows
from trimtab.vectors.contract import make
from trimtab.vectors.methods import casal
from trimtab.vectors.unmade import CannotBeMade


def axis(at, width=D_MODEL, length=1.0):
    return length * torch.nn.functional.one_hot(torch.tensor(at), width).float()


def cosine(one, other):
    return float(one.double() @ other.double() / (one.double().norm() * other.double().norm()))


def clouds(seed, pairs, gap, spread):
    """Two Gaussian clouds a gap apart, with a standard deviation a dimension."""
    noise = torch.randn(2, pairs, len(gap), generator=generator(seed)) * torch.as_tensor(spread)
    return {"high": noise[0] + torch.as_tensor(gap), "low": noise[1]}


# --- decoded probes ---


def test_only_the_top_latents_count():
    """k is 2, so of weights 1, -3 and 2 on unit rows the last two stay: v = -3 d1 + 2 d2."""
    decoder = torch.eye(3)
    top = make("sae_probe_top", material(latent_probe=probe([1.0, -3.0, 2.0]), sae=dictionary(decoder, k=2)))
    torch.testing.assert_close(top.unit, torch.tensor([0.0, -3.0, 2.0]) / math.sqrt(13))
    assert top.code.tolist() == [0.0, -3.0, 2.0]


def test_the_top_of_a_dictionary_no_larger_than_k_is_the_whole():
    parts = material(sae=dictionary(torch.randn(9, D_MODEL, generator=generator(4)), k=9))
    assert torch.equal(make("sae_probe_top", parts).unit, make("sae_probe", parts).unit)


def test_a_decoded_vector_is_the_sum_of_its_code():
    parts = material()
    for method in ("sae_probe", "sae_probe_top", "sae_pattern", "best_latent"):
        made = make(method, parts)
        torch.testing.assert_close(parts.sae.W_dec.double().T @ made.code, made.raw_norm * made.unit.double())


def test_the_best_latent_is_turned_to_the_high_pole():
    parts = material(association=torch.tensor([0.5, -2.0, 1.0]), sae=dictionary(2 * torch.eye(3)))
    made = make("best_latent", parts)
    assert made.unit.tolist() == [0.0, -1.0, 0.0]
    with pytest.raises(CannotBeMade, match="no latent goes with the trait"):
        make("best_latent", replace(parts, association=torch.zeros(3)))


@pytest.mark.parametrize(("turned", "value"), [(1.0, 6.0), (-1.0, 0.0)])
def test_the_latent_that_goes_best_with_the_trait_is_held_at_its_most_or_ablated(turned, value):
    """Latent 2 reads the third coordinate: 4 and 6 of the high rows, and 2 of a low one."""
    high, low = torch.tensor([[0.0, 0.0, 4.0], [0.0, 0.0, 6.0]]), torch.tensor([[0.0, 0.0, 2.0], [0.0, 0.0, -1.0]])
    parts = material(
        high=high, low=low, association=turned * torch.tensor([0.5, 0.0, 2.0]), sae=dictionary(torch.eye(3))
    )
    (edit,) = make("clamped_latent", parts)
    assert edit.site == Site(2)
    rows = torch.cat([high, low])
    found = edit.change(rows, edit.strength)
    # below 0 a latent reads nothing, so what is there is error, and stays
    assert found.tolist() == [[0.0, 0.0, value]] * 3 + [[0.0, 0.0, value - 1.0]]


def test_settings_of_a_method_are_its_own_and_the_others_keep_theirs():
    given = {"clamped_latent": {"times": 3}, "casal": {"module": "mlp.c_proj"}}
    parts = material(
        high=torch.ones(4, 3), low=-torch.ones(4, 3), association=torch.ones(3), sae=dictionary(torch.eye(3))
    )
    (plain,), (thrice,) = (make("clamped_latent", replace(parts, settings=each)) for each in ({}, given))
    assert torch.equal(thrice.change.value, 3 * plain.change.value)
    readings = replace(parts.readings, at_sites=(torch.eye(4), -torch.eye(4)))
    parts = replace(parts, readings=readings)
    assert [str(make("casal", replace(parts, settings=each))[0].site) for each in ({}, given)] == [
        "2.mlp.down_proj",
        "2.mlp.c_proj",
    ]


def test_a_latent_that_never_fires_can_not_be_held():
    parts = material(
        high=-torch.ones(4, 3), low=torch.ones(4, 3), association=torch.ones(3), sae=dictionary(torch.eye(3))
    )
    with pytest.raises(CannotBeMade, match="the latent that goes best with it reads nothing of the high pole"):
        make("clamped_latent", parts)


# --- weights ---


def test_a_weight_that_reads_one_input_of_two():
    """Inputs (1, 0) of the high pole and (-1, 0) of the low one: the class is the first input itself (CASAL)."""
    rows, labels = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).double(), torch.tensor([1.0, -1.0]).double()
    torch.testing.assert_close(casal.regression(rows, labels, 1e-9).float(), torch.tensor([1.0, 0.0]))
    # a penalty of the rows' own mean square halves nothing but what the rows say: 2 / (2 + 1)
    torch.testing.assert_close(casal.regression(rows, labels, 1.0).float(), torch.tensor([2 / 3, 0.0]))


def test_casal_is_the_change_of_a_weight_that_moves_both_poles_best():
    """All matrices are tried, by least squares of what each row shall be moved by; the best one has rank one."""
    parts = material(**clouds(3, 30, [1.0, 2.0, 0, 0, 0, 0], [1.0] * 6))
    inputs = torch.randn(2, 30, 4, generator=generator(5)) + torch.tensor([[[0.5]], [[-0.5]]])
    (edit,) = make("casal", replace(parts, readings=Said(at_sites=(inputs[0], inputs[1]))))
    assert str(edit.site) == "2.mlp.down_proj"
    rows = inputs.reshape(60, 4).double()
    wanted = torch.cat([parts.gap().expand(30, -1), -parts.gap().expand(30, -1)])
    best = torch.linalg.lstsq(rows, wanted).solution.T
    made = edit.change.left.double() @ edit.change.right.double()
    # less what the penalty holds back
    assert cosine(made.flatten(), best.flatten()) > 0.99
    high, low = (edit.change(torch.zeros(30, D_MODEL), 1.0, each) @ parts.gap().float() for each in inputs)
    assert high.mean() > 0 > low.mean()


def test_casal_of_a_model_without_its_module_is_not_made_and_a_wrong_name_is_a_mistake():
    class Bare(Said):
        def at(self, site):
            raise TrimtabError(f"site {site}: layer 2 has no module; expected one of mlp, mlp.experts")

    parts = material(readings=Bare())
    with pytest.raises(
        CannotBeMade, match=r"CASAL of autonomy: site 2.mlp.down_proj:input: .*casal.module names anoth"
    ):
        make("casal", parts)
    with pytest.raises(TrimtabError, match=r"^site 2\.mlp\.down_porj") as error:
        make("casal", replace(parts, settings={"casal": {"module": "mlp.down_porj"}}))
    assert not isinstance(error.value, CannotBeMade)


def test_casal_of_two_inputs_is_the_vector_at_the_first_exactly():
    """Inputs (1, 0) of the high pole and (-1, 0) of the low one: dW = v (1, 0), but for a penalty of 1e-4 of a row."""
    poles = torch.tensor([[1.0, 0.0]] * 6), torch.tensor([[-1.0, 0.0]] * 6)
    gap = torch.tensor([0.0, 3.0, 4.0])
    parts = material(high=gap.expand(6, -1), low=torch.zeros(6, 3), readings=Said(at_sites=poles))
    (edit,) = make("casal", parts)
    wanted = torch.outer(gap, torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(edit.change.left @ edit.change.right, wanted, rtol=1e-4, atol=1e-6)


def test_casal_needs_pairs_to_choose_its_penalty_by():
    with pytest.raises(TrimtabError, match="CASAL of autonomy: it needs pairs in both splits fit and select"):
        make("casal", material(selecting=[False] * 8))


# --- patterns ---


def test_filter_and_pattern_of_one_feature_that_is_read_and_one_that_is_written():
    """Rows (t + n, n): the trait is written to the first axis, a nuisance n to both. Reading t is (1, -1), to cancel n;
    what varies with t is (1, 0).

    With t in (1, -1) and n in (1, -1) crossed, rows are (2, 1), (0, -1), (0, 1), (-2, -1) and the covariance with its
    n - 1 is 4/3 of (2, 1; 1, 1), which takes (1, -1) to (1, 0).
    """
    rows = torch.tensor([[2.0, 1.0], [0.0, -1.0], [0.0, 1.0], [-2.0, -1.0]])
    parts = material(high=rows[:2], low=rows[2:], residual_probe=probe([2.0, -2.0], [2.0, 2.0]))
    assert cosine(make("raw_probe", parts).unit, torch.tensor([1.0, -1.0])) == pytest.approx(1)
    pattern = make("raw_pattern", parts)
    torch.testing.assert_close(pattern.unit, torch.tensor([1.0, 0.0]))
    assert pattern.raw_norm == pytest.approx(4 / 3)


def test_with_linear_codes_of_an_orthonormal_dictionary_both_patterns_are_one():
    """An encoder of both signs and a decoder turned likewise: latents relu(±R x) hold the rows, and each decodes."""
    turned = torch.linalg.qr(torch.randn(D_MODEL, D_MODEL, generator=generator(3)))[0]
    parts = material(**clouds(2, 30, [1.0, 0.5, 0, 0, 0, 0], [1.0, 2.0, 0.5, 1.0, 1.0, 3.0]))
    weight = torch.randn(D_MODEL, generator=generator(4))
    both = torch.cat([turned, -turned])
    linear = replace(
        parts,
        sae=dictionary(both, k=2 * D_MODEL),
        latent_probe=probe(both @ weight),
        residual_probe=probe(weight),
    )
    made, raw = make("sae_pattern", linear), make("raw_pattern", linear)
    torch.testing.assert_close(made.unit, raw.unit, rtol=1e-3, atol=1e-4)
    assert made.raw_norm == pytest.approx(raw.raw_norm, rel=1e-3)


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.floats(0.01, 1000))
def test_the_pattern_of_a_ridge_probe_is_the_difference_of_means_less_the_penaltys_part(seed, penalty):
    """(S + p D²) w = S_y, the sum of products with labels, gap n / 4; the pattern is S w / (n - 1)."""
    parts = material(**clouds(seed, 20, [1.0, -1.0, 0, 0, 0, 0], [1.0, 2.0, 0.5, 1.0, 1.0, 3.0]))
    rows = torch.cat([parts.high, parts.low])
    fitted = fit(rows, (torch.arange(40) < 20).double(), penalty)
    made = make("raw_pattern", replace(parts, residual_probe=probe(fitted.weight, fitted.scale, fitted.mean)))
    weight = fitted.weight / fitted.scale
    expected = (parts.gap() * 40 / 4 - penalty * fitted.scale**2 * weight) / 39
    torch.testing.assert_close(made.raw_norm * made.unit.double(), expected, rtol=1e-4, atol=1e-6)


# --- means, components, discriminants ---


def test_means_of_what_the_agent_wrote_count_each_prompt_once():
    """One prompt a pole, in two parts: tokens (1, 3) high, their mean 2, and 7 low; what was given doesn't count."""
    rows = torch.tensor([[1.0, 0.0], [3.0, 0.0], [9.0, 9.0]])
    pair, high = torch.zeros(3, dtype=torch.long), torch.tensor([True, True, True])
    parts = [
        TokenRows(rows, pair, high, torch.tensor([True, True, False]), pair),
        TokenRows(torch.tensor([[7.0, 0.0]]), pair[:1], ~high[:1], high[:1], pair[:1]),
    ]
    made = make(
        "written_means", material(high=torch.zeros(1, 2), low=torch.zeros(1, 2), readings=Said(of_tokens=parts))
    )
    assert (made.unit.tolist(), made.raw_norm) == ([-1.0, 0.0], 5.0)
    given = [parts[0], parts[1]._replace(written=~high[:1])]
    with pytest.raises(CannotBeMade, match="written means of autonomy: a contrast prompt ends before the agent's own"):
        make("written_means", material(high=torch.zeros(1, 2), low=torch.zeros(1, 2), readings=Said(of_tokens=given)))


def test_of_one_written_token_a_prompt_they_are_the_difference_of_means():
    parts = material()
    same = replace(parts, readings=Said(of_tokens=[tokens((parts.high, parts.low))]))
    torch.testing.assert_close(make("written_means", same).unit, make("mean_difference", parts).unit)


@pytest.mark.parametrize("method", ["pca", "lat"])
def test_a_component_has_the_means_sign_whatever_the_pairs(method):
    parts = material(**clouds(0, 40, [3.0, 0, 0, 0, 0, 0], [0.2] * 6))
    there = make(method, parts)
    assert cosine(there.unit, axis(0)) > 0.98
    back = make(method, replace(parts, high=parts.low, low=parts.high))
    assert cosine(back.unit, -axis(0)) > 0.98


def test_pca_of_two_differences_by_hand():
    """Differences (2, 0) and (2, 2): the second moments are (8, 4; 4, 4), and their axis is at half of atan(2)."""
    high, low = torch.tensor([[2.0, 0.0], [3.0, 3.0]]), torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    angle = math.atan2(8, 4) / 2
    torch.testing.assert_close(
        make("pca", material(high=high, low=low)).unit, torch.tensor([math.cos(angle), math.sin(angle)])
    )


def test_where_spread_hides_the_gap_means_discriminant_and_component_part():
    """Gap (2, 2) with variances 1 and 100: the mean keeps to the gap, LDA to S^-1 gap, LAT goes with the spread."""
    gap, spread = torch.tensor([2.0, 2.0, 0.0, 0.0]), torch.tensor([1.0, 10.0, 1.0, 1.0])
    parts = material(**clouds(1, 4000, gap, spread))
    assert cosine(make("mean_difference", parts).unit, gap) > 0.98
    assert cosine(make("lda", parts).unit, gap / spread**2) > 0.99
    assert abs(cosine(make("lat", parts).unit, axis(1, 4))) > 0.98


@pytest.mark.slow
def test_the_error_of_a_mean_difference_is_that_of_the_means():
    """E|v - gap|² = d (1/n + 1/n) for unit noise."""
    errors = []
    for seed in range(60):
        parts = material(**clouds(seed, 50, torch.ones(20), torch.ones(20)))
        made = make("mean_difference", parts)
        errors.append(float((made.raw_norm * made.unit - 1).square().sum()))
    assert sum(errors) / len(errors) == pytest.approx(20 * 2 / 50, rel=0.1)


def test_rows_that_are_all_the_same_have_no_axis():
    same = torch.ones(4, D_MODEL)
    with pytest.raises(CannotBeMade, match="all rows are the same"):
        make("lat", material(high=same, low=same))
    with pytest.raises(CannotBeMade, match="level along it"):
        make("pca", material(high=same, low=same))


# --- probes of the stream ---


def test_a_logistic_probe_keeps_its_intercept_on_the_raw_scale():
    """weight 2, 4 at scale 2, 4 about means 1, 2: w = (1, 1), b = 0.5 - 1 - 2."""
    made = make("logistic_probe", material(logistic_probe=probe([2.0, 4.0], [2.0, 4.0], [1.0, 2.0], 0.5)))
    torch.testing.assert_close(made.unit, torch.tensor([1.0, 1.0]) / math.sqrt(2))
    assert made.raw_norm == pytest.approx(math.sqrt(2))
    assert made.intercept == pytest.approx(-2.5)


def test_raptor_finds_a_planted_direction_and_its_logits_are_its_probes():
    gap = torch.tensor([2.0, -1.0, 0.0, 0.0, 0.0, 0.0])
    parts = material(**clouds(3, 300, gap, [1.0] * 6))
    made = make("raptor", parts)
    assert cosine(made.unit, gap) > 0.95
    rows = torch.cat([parts.high, parts.low])
    logits = made.raw_norm * (rows.double() @ made.unit.double()) + made.intercept
    right = (logits > 0) == (torch.arange(len(rows)) < len(parts.high))
    assert right.double().mean() > 0.8


@pytest.mark.slow
def test_raptor_refits_at_the_penalty_that_validates_best():
    parts = material(**clouds(4, 60, [1.0, 0, 0, 0, 0, 0], [1.0, 2.0, 1.0, 1.0, 3.0, 1.0]))
    rows = torch.cat([parts.high, parts.low]).double()
    labels = (torch.arange(len(rows)) < len(parts.high)).double()
    kept = ~torch.tensor(parts.selecting * 2)
    best = None
    for inverse in torch.logspace(-4, 2, 100, dtype=torch.float64).tolist():
        tried = logistic.fit(rows[kept], labels[kept], 1 / inverse)
        right = float(((tried.predict(rows[~kept]) > 0) == (labels[~kept] > 0.5)).double().mean())
        if best is None or right > best[0] + 1e-12:
            best = (right, 1 / inverse)
    probe_of_all = logistic.fit(rows, labels, best[1])
    torch.testing.assert_close(
        make("raptor", parts).unit.double() * make("raptor", parts).raw_norm,
        probe_of_all.weight / probe_of_all.scale,
        rtol=1e-5,
        atol=1e-7,
    )


@pytest.mark.parametrize("everywhere", [True, False])
def test_raptor_needs_rows_to_validate_on(everywhere):
    parts = material()
    with pytest.raises(TrimtabError, match="RAPTOR of autonomy: it needs pairs in both splits"):
        make("raptor", replace(parts, selecting=[everywhere] * len(parts.high)))


# --- the agent's own uncertainty, and its prompt ---


def test_east_of_two_rows_by_hand():
    """H = (0, 1), h = (0, 2): sum H h / sum H - mean h = 2 - 1."""
    parts = material(high=torch.tensor([[0.0]]), low=torch.tensor([[2.0]]), readings=Said(torch.tensor([[0.0], [1.0]])))
    made = make("east", parts)
    assert (made.unit.tolist(), made.raw_norm) == ([1.0], pytest.approx(1.0))
    assert made.towards == "higher action entropy"


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.floats(-50, 50))
def test_east_is_a_covariance_and_knows_no_origin(seed, shift):
    entropies = torch.rand(2, 8, generator=generator(seed))
    parts = material(readings=Said(entropies))
    rows, weight = torch.cat([parts.high, parts.low]).double(), entropies.double().flatten()
    covariance = ((weight - weight.mean())[:, None] * (rows - rows.mean(0))).mean(0) / weight.mean()
    made = make("east", parts)
    torch.testing.assert_close(made.raw_norm * made.unit.double(), covariance, rtol=1e-4, atol=1e-6)
    moved = make("east", replace(parts, high=parts.high + shift, low=parts.low + shift))
    torch.testing.assert_close(moved.unit, made.unit, rtol=1e-3, atol=1e-3)


def test_east_finds_the_direction_that_uncertainty_follows():
    entropies, noise = torch.rand(2, 200, generator=generator(1)), torch.randn(2, 200, 6, generator=generator(2))
    rows = entropies[..., None] * axis(3, length=5.0) + 0.1 * noise
    assert cosine(make("east", material(high=rows[0], low=rows[1], readings=Said(entropies))).unit, axis(3)) > 0.99


def test_equal_entropies_define_no_direction():
    with pytest.raises(CannotBeMade, match="all prompts have the same action entropy"):
        make("east", material(readings=Said(torch.full((2, 8), 0.7))))


def test_a_prompt_vector_is_what_the_prompt_adds():
    plain = torch.randn(5, D_MODEL, generator=generator(9))
    made = make("prompt_vector", material(readings=Said(prompted=(plain + axis(2, length=3.0), plain))))
    torch.testing.assert_close(made.unit, axis(2), atol=1e-6, rtol=0)
    assert made.raw_norm == pytest.approx(3.0, rel=1e-5)
    with pytest.raises(CannotBeMade, match="the prompt moves nothing"):
        make("prompt_vector", material(readings=Said(prompted=(plain, plain))))


# --- controls ---


@pytest.mark.slow
@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_an_orthogonal_control_is_at_right_angles_and_as_long(seed):
    parts = material(seed=seed)
    vector, control = make("sae_probe", parts), make("orthogonal", parts)
    assert abs(cosine(vector.unit, control.unit)) < 1e-6
    assert control.raw_norm == vector.raw_norm
    assert control.towards is None


def test_a_shuffled_probe_is_a_probe_of_labels_without_the_trait():
    parts = material(**clouds(5, 400, [4.0, 0, 0, 0, 0, 0], [1.0] * 6), sae=dictionary(torch.eye(6), k=6))
    rows = torch.cat([parts.high, parts.low])
    labels = (torch.arange(len(rows)) < len(parts.high)).double()
    true = fit(parts.sae.latents(rows).double(), labels, parts.penalty)
    made = make("shuffled", parts)
    # of the size of noise, where the true probe has the trait
    assert made.raw_norm < 0.4 * float((true.weight / true.scale).norm())
    assert made.towards is None


def test_draws_of_a_control_differ_and_come_again():
    parts = material()
    for method in ("random", "orthogonal", "shuffled", "lat"):
        one, two = make(f"{method}_0", parts), make(f"{method}_1", parts)
        assert not torch.equal(one.unit, two.unit)
        assert torch.equal(make(method, parts).unit, one.unit)
