"""Methods of the literature in closed form: known answers on planted data, and where they must equal a simpler one."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from material_of import D_MODEL, Around, Kept, generator, material, tokens
from sklearn.metrics import adjusted_rand_score

from trimtab.forward.sites import INPUT, Site
from trimtab.probes import logistic
from trimtab.steering.changes import Add
from trimtab.vectors.contract import make
from trimtab.vectors.layers import Poles, spread
from trimtab.vectors.methods import g_act, lin_act, scorer_gradient
from trimtab.vectors.unmade import CannotBeMade

E = torch.eye(D_MODEL)


# --- G-ACT ---


def planted(pairs=36):
    """Differences of three kinds, ten standard deviations apart, and low rows that tell which kind a pair is of."""
    kind = torch.arange(pairs) % 3
    low = 4 * E[kind + 3] + 0.2 * torch.randn(pairs, D_MODEL, generator=generator(1))
    noise = 0.3 * torch.randn(pairs, D_MODEL, generator=generator(2))
    return kind, low + 5 * E[kind] + noise, low


def test_planted_clusters_of_differences_are_found():
    kind, high, low = planted()
    centroids, cluster = g_act.clustered((high - low).double(), 3, 0)
    assert adjusted_rand_score(kind, cluster) == 1
    for one in range(3):
        # a mean of twelve differences is off by sigma sqrt(d / n)
        wanted = 5 * E[int(kind[cluster == one][0])].double()
        assert float((centroids[one] - wanted).norm()) < 2 * 0.3 * (D_MODEL / 12) ** 0.5


def test_of_one_cluster_the_centroid_is_the_mean_difference():
    _, high, low = planted()
    (centroid,), _ = g_act.clustered((high - low).double(), 1, 0)
    torch.testing.assert_close(centroid, (high - low).double().mean(0), rtol=0, atol=1e-12)
    rows = Kept({2: (high, low)})
    (edit,) = make("g_act", material(high=high, low=low, rows=rows, settings={"g_act": {"clusters": 1}}))
    plain = make("mean_difference", material(high=high, low=low))
    torch.testing.assert_close(edit.change(low, 1.0) - low, (plain.raw_norm * plain.unit).expand_as(low))


def test_the_probe_picks_the_direction_of_a_rows_own_kind():
    kind, high, low = planted()
    edits = make("g_act", material(high=high, low=low, rows=Kept({0: (high, low), 5: (high, low)})))
    assert [edit.site for edit in edits] == [Site(0), Site(5)]
    for edit in edits:
        moved = edit.change(low, 1.0) - low
        assert (moved[:, :3].argmax(dim=1) == kind).all()
        torch.testing.assert_close(moved, 5 * E[kind], rtol=0, atol=0.4)


def test_fewer_pairs_than_clusters_are_told():
    with pytest.raises(CannotBeMade, match="G-ACT of autonomy: 8 pairs can't be put into 9 clusters"):
        make("g_act", material(settings={"g_act": {"clusters": 9}}))


# --- entangled traits ---


def test_a_trait_is_set_against_the_one_it_is_entangled_with_most():
    others = Around(torch.zeros(2, D_MODEL), {"near": E[0] + E[1], "far": E[2] - E[0]}, {"near": 3 * E[1], "far": E[5]})
    made = make("direct_contrast", material(high=E[:1], low=torch.zeros(1, D_MODEL), elsewhere=others))
    torch.testing.assert_close(made.raw_norm * made.unit, E[0] - 3 * E[1])
    with pytest.raises(CannotBeMade, match="direct contrast of autonomy: there is no other trait"):
        make("direct_contrast", material(elsewhere=Around(torch.zeros(2, D_MODEL), {})))


def test_of_two_traits_that_mix_the_trait_itself_is_left():
    """Its mean difference is e1 + e2 / 2, and the other's 3 e2."""
    parts = material(high=E[:1] + E[1] / 2, low=torch.zeros(1, D_MODEL), elsewhere=Around(E, {"other": 3 * E[1]}))
    torch.testing.assert_close(make("purified_mean_difference", parts).unit, E[0])
    # what has no part in the others' span stays as it is
    alone = replace(parts, elsewhere=Around(E, {"other": E[4]}))
    torch.testing.assert_close(make("purified_mean_difference", alone).unit, make("mean_difference", alone).unit)


def test_nothing_is_left_in_the_span_of_the_others():
    gaps = dict(zip("abc", torch.randn(3, D_MODEL, generator=generator(4)), strict=True))
    gaps["d"] = gaps["a"] - 2 * gaps["b"]
    made = make("purified_pca", material(elsewhere=Around(E, gaps)))
    for gap in gaps.values():
        assert abs(float(made.unit @ gap)) < 1e-6
    with pytest.raises(CannotBeMade, match="all of it lies in the other traits' span"):
        make("purified_pca", material(elsewhere=Around(E, dict(zip("abcdef", E, strict=True)))))


# --- Lin-AcT ---


def column(*values):
    return torch.tensor(values).double()[:, None]


@pytest.mark.parametrize("gaussian", [False, True])
def test_a_coordinates_map_by_hand(gaussian):
    """0, 1, 2 go to 1, 3, 5 by twice and 1 more, in whichever order they come."""
    scale, shift = lin_act.transport(column(2.0, 0.0, 1.0), column(3.0, 5.0, 1.0), gaussian)
    assert (float(scale), float(shift)) == (pytest.approx(2), pytest.approx(1))


def test_sorted_values_and_spreads_are_two_maps():
    """From (-1, 0, 1) to (-3, 0, 1), of mean -2/3: products of sorted values 4 over 2; variances 26/3 over 2."""
    one, other = (lin_act.transport(column(-1.0, 0.0, 1.0), column(-3.0, 0.0, 1.0), how)[0] for how in (False, True))
    assert (float(one), float(other)) == (pytest.approx(2), pytest.approx((13 / 3) ** 0.5))


def test_a_coordinate_that_does_not_vary_is_shifted():
    scale, shift = lin_act.transport(column(3.0, 3.0), column(2.0, 6.0), gaussian=False)
    assert (float(scale), float(shift)) == (1.0, 1.0)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.floats(0.01, 10), st.floats(-5, 5), st.booleans())
def test_an_affine_map_is_found_whatever_the_order(seed, scale, shift, gaussian):
    rows = torch.randn(9, 2, generator=generator(seed)).double()
    other = (scale * rows + shift)[torch.randperm(9, generator=generator(seed + 1))]
    found = lin_act.transport(rows, other, gaussian)
    torch.testing.assert_close(found[0], torch.full((2,), scale).double())
    torch.testing.assert_close(found[1], torch.full((2,), shift).double(), rtol=1e-5, atol=1e-7)


def test_poles_that_are_the_same_have_no_map():
    parts = material()
    same = replace(parts.readings, of_tokens=[tokens((parts.high, parts.high))])
    with pytest.raises(CannotBeMade, match="Lin-AcT of autonomy: the poles' rows are the same at every layer"):
        make("lin_act", replace(parts, readings=same))


# --- ITI ---


def test_the_head_that_tells_the_poles_apart_is_moved_along_what_parts_them():
    """Of two heads of two columns at two layers, the second of layer 3 has poles apart by (3, 4)."""
    noise = 0.1 * torch.randn(2, 2, 24, 4, generator=generator(8))
    noise[1, 0, :, 2:] += torch.tensor([3.0, 4.0])
    sites = [Site(layer, "self_attn.o_proj", INPUT) for layer in (0, 3)]
    parts = material(rows=Kept({0: None, 3: None}), selecting=[pair % 3 == 2 for pair in range(24)])
    said = replace(parts.readings, at_many=dict(zip(sites, map(tuple, noise), strict=True)), heads=2)
    own = {"iti": {"heads": 1, "alpha": 2.0}}
    (edit,) = make("iti", replace(parts, readings=said, settings=own))
    assert str(edit.site) == "3.self_attn.o_proj:input[2:4]"
    torch.testing.assert_close(edit.change.unit, torch.tensor([0.6, 0.8]), rtol=0, atol=0.02)
    along = noise[1, :, :, 2:].reshape(48, 2) @ edit.change.unit
    assert edit.strength == pytest.approx(2 * float(along.std()), rel=1e-4)
    # halves of 48 rows 5 apart: 2.5 sqrt(48 / 47), but for the noise
    assert edit.strength == pytest.approx(5 * (48 / 47) ** 0.5, rel=0.02)


# --- the gradient of a scorer ---


def two_sided(pairs=60):
    """The high pole on both sides of the low one along the first axis, where no linear probe can tell."""
    noise = 0.4 * torch.randn(2, pairs, 3, generator=generator(5))
    side = torch.where(torch.arange(pairs) % 2 == 0, 3.0, -3.0)
    return noise[0] + side[:, None] * torch.eye(3)[0], noise[1]


def test_of_a_linear_scorer_the_step_adds_its_weight():
    high, low = torch.randn(2, 20, D_MODEL, generator=generator(6)) + torch.tensor([[[0.7]], [[0.0]]])
    poles = Poles(high.double(), low.double())
    scorer = scorer_gradient.fitted(poles, 0, 1.0, generator(0))
    probe = logistic.fit(poles.rows, poles.labels, 1.0)
    torch.testing.assert_close(scorer.linear, probe.weight / probe.scale, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(scorer(poles.rows), probe.predict(poles.rows), rtol=1e-4, atol=1e-4)
    rows = torch.randn(5, D_MODEL, generator=generator(7))
    assert torch.equal(scorer.gradient()(rows, 1.5), Add(scorer.linear.float())(rows, 1.5))


@pytest.mark.slow
def test_rows_on_either_side_go_to_the_high_pole_of_their_side():
    high, low = two_sided()
    parts = material(high=high, low=low, rows=Kept({2: (high, low)}), selecting=[pair % 3 == 2 for pair in range(60)])
    (edit,) = make("scorer_gradient", parts)
    rows = torch.tensor([[1.5, 0.0, 0.0], [-1.5, 0.0, 0.0]])
    right, left = (edit.change(rows, 0.01) - rows)[:, 0].tolist()
    assert right > 0 > left
    # a dose of 1 is as long as the rows' spread, mean over them
    both = torch.cat([high, low])
    steps = (edit.change(both, edit.strength) - both).norm(dim=1)
    assert float(steps.mean()) == pytest.approx(spread(parts), rel=1e-4)
