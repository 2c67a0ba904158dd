"""Directions with known answers: by hand, and where two makers must agree."""

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from material_of import D_MODEL, Kept, dictionary, generator, material, probe

from trimtab.errors import TrimtabError
from trimtab.forward.sites import Site
from trimtab.vectors import methods, transformations
from trimtab.vectors.contract import make
from trimtab.vectors.methods import known
from trimtab.vectors.transformations.shuffled import same
from trimtab.vectors.unmade import CannotBeMade


def ridge(features, labels, penalty):
    """Coefficients of ridge regression on centred features, in closed form."""
    centred = features.double() - features.double().mean(0)
    gram = centred.T @ centred + penalty * torch.eye(centred.shape[1], dtype=torch.float64)
    return torch.linalg.solve(gram, centred.T @ (labels.double() - labels.double().mean())).float()


def test_the_gap_of_two_small_clouds():
    clouds = material(high=torch.tensor([[1.0, 0.0], [3.0, 0.0]]), low=torch.tensor([[0.0, 1.0], [0.0, 3.0]]))
    direction = make("mean_difference", clouds)
    assert direction.raw_norm == pytest.approx(math.sqrt(8))
    torch.testing.assert_close(direction.unit, torch.tensor([1.0, -1.0]) / math.sqrt(2))


def test_a_decoded_probe_by_hand():
    """Latents 0 and 2 count, on their raw scale 2 and -1: v = 2 d0 - d2."""
    decoder = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    direction = make(
        "sae_probe", material(latent_probe=probe([1.0, 0.0, -3.0], [0.5, 1.0, 3.0]), sae=dictionary(decoder))
    )
    assert direction.raw_norm == pytest.approx(math.sqrt(5))
    torch.testing.assert_close(direction.unit, torch.tensor([2.0, 0.0, -1.0]) / math.sqrt(5))


def test_a_raw_probe_is_read_on_the_raw_scale():
    direction = make("raw_probe", material(residual_probe=probe([3.0, 4.0], [1.0, 2.0])))
    torch.testing.assert_close(direction.unit, torch.tensor([3.0, 2.0]) / math.sqrt(13))


@pytest.mark.slow
@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), penalty=st.floats(0.01, 100))
def test_with_an_orthonormal_dictionary_the_decoded_probe_is_the_raw_ridge(seed, penalty):
    """Codes that are a rotation of the rows carry the same ridge; decoding turns its weights back."""
    rows = torch.randn(40, D_MODEL, generator=generator(seed))
    labels = (torch.arange(40) % 2).float()
    decoder = torch.linalg.qr(torch.randn(D_MODEL, D_MODEL, generator=generator(seed + 1)))[0]
    codes = rows @ decoder.T
    made = material(
        latent_probe=probe(ridge(codes, labels, penalty)),
        residual_probe=probe(ridge(rows, labels, penalty)),
        sae=dictionary(decoder),
    )
    decoded, raw = make("sae_probe", made), make("raw_probe", made)
    torch.testing.assert_close(decoded.unit, raw.unit, rtol=1e-3, atol=1e-4)
    assert decoded.raw_norm == pytest.approx(raw.raw_norm, rel=1e-3)


@pytest.mark.slow
@settings(max_examples=50)
@given(seed=st.integers(0, 10_000))
def test_swapping_the_poles_turns_the_mean_difference_round(seed):
    high, low = torch.randn(2, 4, D_MODEL, generator=generator(seed))
    there, back = (make("mean_difference", material(high=a, low=b)) for a, b in ((high, low), (low, high)))
    assert torch.equal(there.unit, -back.unit)
    assert there.raw_norm == back.raw_norm


@pytest.mark.parametrize("method", ["sae_probe", "raw_probe"])
def test_swapping_the_labels_turns_a_probes_direction_round(method):
    there = material()
    turned = [probe(-there.latent_probe.weight), probe(-there.residual_probe.weight)]
    back = replace(there, latent_probe=turned[0], residual_probe=turned[1])
    assert torch.equal(make(method, there).unit, -make(method, back).unit)


DIRECTIONS = [name for name in known() if not methods.makes_edits(name)]
OWN = [name for name in known() if methods.makes_edits(name)]
TRANSFORMED = [f"{name}_sae_attributed" for name in transformations.known() if not methods.makes_edits(f"{name}_pca")]


@pytest.mark.parametrize("method", [*DIRECTIONS, *TRANSFORMED, "random_1", "specific_shuffled_sae_attributed_1"])
def test_every_direction_is_a_unit_of_the_stream(method):
    direction = make(method, material())
    assert direction.unit.shape == (D_MODEL,)
    assert direction.unit.dtype == torch.float32
    assert float(direction.unit.double().norm()) == pytest.approx(1, abs=1e-6)
    # checked at the start, where nothing is made, by what files say
    assert (direction.code is not None) == methods.gives_code(re.sub(r"_1$", "", method))


@pytest.mark.slow
@pytest.mark.parametrize("method", OWN)
def test_edits_of_a_methods_own_fit_the_stream_and_change_nothing_at_strength_zero(method):
    for edit in make(method, material()):
        start, stop = edit.site.columns or (0, D_MODEL)
        rows = torch.randn(5, stop - start)
        more = (torch.randn(5, edit.change.right.shape[1]),) if edit.change.takes_inputs else ()
        assert torch.equal(edit.change(rows, 0.0, *more), rows)
        assert edit.change(rows, edit.strength, *more).shape == rows.shape


WITHOUT_NULL = {"assistant_axis", "casal_known", "lin_act", "mentor", "reflex", "value_vectors"}
"""Methods of edits that ask for no labels, or for whole poles."""


@pytest.mark.parametrize("method", [name for name in OWN if name not in WITHOUT_NULL])
def test_a_method_of_edits_has_a_null_of_shuffled_labels(method):
    null = make(f"shuffled_{method}", material())
    assert not same(null, make(method, material()))
    assert same(null, make(f"shuffled_{method}", material()))
    assert methods.makes_edits(f"shuffled_{method}")


@pytest.mark.parametrize("method", sorted(WITHOUT_NULL))
def test_edits_without_such_a_null_say_why_in_one_line(method):
    with pytest.raises(
        CannotBeMade, match=r"^shuffled labels.*(the same without labels|fitted on whole poles)"
    ) as error:
        make(f"shuffled_{method}", material())
    assert "\n" not in str(error.value)


def test_ablation_leaves_nothing_of_the_mean_difference_after_any_cached_layer():
    clouds = material(layer=2)
    clouds = replace(clouds, rows=Kept({0: (clouds.high, clouds.low), 2: (clouds.high, clouds.low), 5: None}))
    unit = make("mean_difference", clouds).unit
    edits = make("ablation", clouds)
    assert [edit.site for edit in edits] == [Site(0), Site(2), Site(5)]
    rows = torch.randn(4, D_MODEL)
    for edit in edits:
        left = edit.change(rows, edit.strength)
        torch.testing.assert_close(left @ unit, torch.zeros(4), atol=1e-5, rtol=0)
        # what is at right angles to it stays
        torch.testing.assert_close(left + (rows @ unit)[:, None] * unit, rows)


def test_the_projection_on_the_mean_difference_separates_the_poles():
    clouds = material()
    direction = make("mean_difference", clouds)
    assert float((clouds.high.mean(0) - clouds.low.mean(0)) @ direction.unit) == pytest.approx(direction.raw_norm)


@pytest.fixture(scope="module")
def wide():
    return material(high=torch.zeros(2, 4096))


@pytest.mark.slow
@settings(max_examples=30)
@given(seed=st.integers(0, 2**63 - 1), one=st.integers(0, 50), two=st.integers(0, 50))
def test_random_directions_are_nearly_orthogonal_and_come_again(wide, seed, one, two):
    drawn = replace(wide, seed=seed)
    first, second = make(f"random_{one}", drawn), make(f"random_{two}", drawn)
    cosine = float(first.unit @ second.unit)
    # eight standard deviations of a cosine of independent directions
    assert cosine == pytest.approx(1) if one == two else abs(cosine) < 8 / math.sqrt(4096)
    assert make(f"random_{one}", drawn).unit.numpy().tobytes() == first.unit.numpy().tobytes()


@pytest.mark.slow
def test_a_random_direction_belongs_to_its_trait_and_seed(wide):
    first = make("random_0", wide).unit
    for other in (replace(wide, trait="deference"), replace(wide, seed=8)):
        assert abs(float(make("random_0", other).unit @ first)) < 0.2


def test_poles_that_coincide_define_no_direction():
    rows = torch.randn(5, D_MODEL, generator=generator(0)) + 1000
    with pytest.raises(
        CannotBeMade, match="mean difference of autonomy, layer 2: the two poles have the same mean"
    ) as error:
        make("mean_difference", material(high=rows, low=rows.flip(0)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_a_probe_without_finite_weights_defines_no_direction(value):
    broken = material(latent_probe=probe(torch.full((9,), value)), residual_probe=probe(torch.full((D_MODEL,), value)))
    for method in ("sae_probe", "raw_probe"):
        with pytest.raises(CannotBeMade, match="has no direction"):
            make(method, broken)


@pytest.mark.parametrize("method", ["umap", "random_x", "random_-1", "sae", "", "specific", "specific_umap_1"])
def test_an_unknown_method_is_named(method):
    with pytest.raises(TrimtabError, match=r"config\.yaml, vectors.methods: .*; expected one of ablation, "):
        make(method, material())


def test_a_name_is_its_transformations_and_its_method():
    assert methods.split("specific_shuffled_sae_attributed") == (["specific", "shuffled"], "sae_attributed")
    # a method that is called like a transformation is the method
    assert methods.split("shuffled") == ([], "shuffled")
    assert [path.stem for path in methods.files("specific_shuffled_sae_pattern")] == [
        *("sae_pattern", "shuffled", "specific")
    ]
    assert methods.needs("specific_behaviour") == {"actions", "prompts"}
    assert methods.needs("apart_mean_difference") == {"rows"}
    assert methods.needs("shuffled_raw_pattern") == set()


def test_groups_hold_methods_and_are_called_like_none():
    assert not {methods.EVERY, *methods.GROUPS} & {*known(), *transformations.known()}
    named = {
        group
        for name in known()
        for group in methods.constants(methods.FOLDER / f"{name}.py").get("GROUPS", "").split()
    }
    assert {*named, "edits"} == methods.GROUPS.keys()
    assert methods.members("edits") == [name for name in known() if methods.makes_edits(name)]


def test_a_transformed_method_is_said_to_be_both():
    plain, both = methods.wording("sae_pattern"), methods.wording("specific_shuffled_sae_pattern")
    assert both.label == f"{plain.label}, shuffled labels, without the other traits' gradients"
    assert both.sentence.startswith(plain.sentence)
    assert both.source == plain.source


@pytest.mark.parametrize("method", [*known(), *TRANSFORMED])
def test_a_method_asks_for_what_is_known(method):
    assert methods.needs(method) <= methods.NEEDS.keys()


def test_a_method_is_one_file(tmp_path, monkeypatch):
    """What the README and docs/vectors.md show: a file in the folder, and its name is a method."""
    root = Path(__file__).parents[2]
    text = (root / "README.md").read_text()
    example = re.search(r"```python\n# workflow/trimtab/vectors/methods/(\w+)\.py\n(.*?)```", text, re.DOTALL)
    assert example[0] in (root / "docs/vectors.md").read_text()
    name, code = example.groups()
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    clouds = material()
    assert name not in methods.known()
    there = methods.known()
    monkeypatch.setattr(methods, "known", lambda: [*there, name])
    direction = make(name, clouds)
    assert float(direction.unit.double().norm()) == pytest.approx(1, abs=1e-6)
    assert float(direction.unit.double() @ clouds.gap()) > 0
