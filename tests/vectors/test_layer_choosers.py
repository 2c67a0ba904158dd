"""Choosers of layers: their scores by hand, the layer they find where one was planted, and what is applied there."""

import math
import re
from pathlib import Path

import pytest
import torch
from material_of import D_MODEL, Kept, dictionary, generator, material

from trimtab.errors import TrimtabError
from trimtab.forward.sites import Site
from trimtab.steering.changes import Add
from trimtab.vectors import methods
from trimtab.vectors.contract import make
from trimtab.vectors.layers import Poles, at_layer, opposite, spread
from trimtab.vectors.methods import known, mean_difference
from trimtab.vectors.transformations.accuracy import accuracy
from trimtab.vectors.transformations.divergence import divergence, of_softmax
from trimtab.vectors.transformations.separation import separation
from trimtab.vectors.unmade import CannotBeMade

CHOOSERS = ["separation", "accuracy", "divergence", "opposite", "crossing"]


def poles(high, low):
    return Poles(torch.tensor(high).double(), torch.tensor(low).double())


def planted(gap=6.0, pairs=24):
    """Rows of three layers, of which the second has poles `gap` apart along the first axis, about the origin."""
    axis = torch.nn.functional.one_hot(torch.tensor(0), D_MODEL).float()
    noise = torch.randn(3, 2, pairs, D_MODEL, generator=generator(0))
    noise[1, 0] += gap / 2 * axis
    noise[1, 1] -= gap / 2 * axis
    return Kept({layer: (noise[at, 0], noise[at, 1]) for at, layer in enumerate((0, 4, 7))})


def parts(rows):
    high, low = rows(7)
    return material(layer=7, high=high, low=low, rows=rows, sae=dictionary(torch.eye(9, D_MODEL)))


def test_the_divergence_of_two_coins():
    one, other = torch.tensor([[0.5, 0.5]]).double(), torch.tensor([[0.9, 0.1]]).double()
    assert float(divergence(one, other)) == pytest.approx(0.101749, abs=1e-6)
    assert float(divergence(one, one)) == 0
    # what never agrees is a bit apart, and no two are more
    assert float(divergence(torch.eye(2)[:1].double(), torch.eye(2)[1:].double())) == pytest.approx(math.log(2))


def test_it_is_taken_of_rows_that_a_softmax_made_distributions():
    select = poles([[math.log(9), 0.0]], [[3.0, 3.0]])
    assert of_softmax(select, select)[0] == pytest.approx(0.101749, abs=1e-6)


def test_separation_in_standard_deviations_within_the_poles():
    """Along (1, 0): high 4 and 6, low 1 and -1, so 5 apart, and both have variance 2."""
    fit = poles([[1.0, 0.0]], [[0.0, 0.0]])
    select = poles([[4.0, 9.0], [6.0, -9.0]], [[1.0, 0.0], [-1.0, 3.0]])
    assert separation(fit, select)[0] == pytest.approx(5 / math.sqrt(2))
    # a gap that turns round on pairs kept from it is no separation
    assert separation(poles([[0.0, 0.0]], [[1.0, 0.0]]), select)[0] == pytest.approx(-5 / math.sqrt(2))


def test_accuracy_counts_rows_kept_from_the_fit_and_then_how_sure_the_probe_is():
    fit = poles([[2.0], [3.0]], [[-2.0], [-3.0]])
    right, loss = accuracy(fit, poles([[1.0], [-0.5]], [[-1.0], [-4.0]]), 1.0)
    assert right == 0.75
    assert loss < accuracy(fit, poles([[9.0], [9.0]], [[-9.0], [-9.0]]), 1.0)[1] < 0


@pytest.mark.parametrize(
    ("high", "low", "plain", "centred"),
    [
        ([[1.0, 0.0]], [[-1.0, 0.0]], True, True),
        # 2/sqrt 5 and 1/sqrt 5 of their length: apart, and on one side of the origin
        ([[2.0, 1.0]], [[1.0, 2.0]], False, True),
        ([[1.0, 2.0]], [[1.0, 2.0]], False, False),
    ],
)
def test_signs_are_about_an_origin_and_sides_about_a_centre(high, low, plain, centred):
    both, unit = poles(high, low), torch.tensor([1.0, 0.0])
    assert opposite(both, both, unit, centred=False) == plain
    assert opposite(both, both, unit, centred=True) == centred


@pytest.mark.parametrize("chooser", CHOOSERS)
def test_a_planted_layer_is_found_and_the_method_is_made_and_added_there(chooser):
    rows = planted()
    edits = make(f"{chooser}_mean_difference", parts(rows))
    (edit,) = [edit for edit in edits if edit.site == Site(4)]
    # poles that lie on both sides of a centre by chance are few standard errors apart
    assert len(edits) == 1 or chooser in ("opposite", "crossing")
    high, low = (each.double() for each in rows(4))
    gap = high.mean(0) - low.mean(0)
    assert isinstance(edit.change, Add)
    torch.testing.assert_close(edit.change.unit.double(), gap / gap.norm())
    both = torch.cat([high, low])
    assert edit.strength == pytest.approx(float((both - both.mean(0)).norm(dim=1).mean()))


def test_poles_on_one_side_everywhere_have_no_layer_of_opposite_signs():
    rows = planted()
    far = Kept({layer: (high + 100, low + 100) for layer, (high, low) in rows.poles.items()})
    with pytest.raises(CannotBeMade, match="layers of autonomy: at none do the poles lie on opposite sides"):
        make("opposite_mean_difference", parts(far))
    assert Site(4) in [edit.site for edit in make("crossing_mean_difference", parts(far))]


def test_probes_of_another_layer_are_fitted_on_its_rows():
    """Against ridge regression of standardised rows, in closed form."""
    rows = planted()
    there = at_layer(parts(rows), 4)
    both = torch.cat(rows(4)).double()
    scaled = (both - both.mean(0)) / both.std(0)
    labels = (torch.arange(len(both)) < len(both) // 2).double()
    penalty = there.raw_penalties[0]
    weight = torch.linalg.solve(scaled.T @ scaled + penalty * torch.eye(D_MODEL), scaled.T @ (labels - labels.mean()))
    torch.testing.assert_close(there.residual_probe.weight.double(), weight, rtol=1e-5, atol=1e-8)
    assert (there.layer, at_layer(there, 4) is there) == (4, True)


@pytest.mark.slow
@pytest.mark.parametrize("method", [name for name in known() if not methods.makes_edits(name) and name != "imported"])
def test_any_method_that_gives_a_direction_can_be_made_at_a_chosen_layer(method):
    found = parts(planted())
    (edit,) = make(f"accuracy_{method}", found)
    assert float(edit.change.unit.double().norm()) == pytest.approx(1, abs=1e-6)
    assert edit.strength == pytest.approx(spread(at_layer(found, 4)))


@pytest.mark.parametrize("selecting", [True, False])
def test_a_chooser_needs_pairs_to_fit_on_and_pairs_to_choose_by(selecting):
    found = planted()
    high, low = found(7)
    with pytest.raises(TrimtabError, match="choosing them needs pairs in both splits fit and select"):
        make("separation_pca", material(layer=7, high=high, low=low, rows=found, selecting=[selecting] * len(high)))


def test_a_chooser_is_one_file():
    """That of docs/literature.md: at the planted layer the gap is longest, and the rows hardly longer."""
    page = (Path(__file__).parents[2] / "docs/literature.md").read_text()
    code = re.search(r"```python\n(# workflow/trimtab/vectors/transformations/.*?)```", page, re.DOTALL)[1]
    names = {}
    exec(code, names)
    (edit,) = names["make"](mean_difference.make, parts(planted()))
    assert edit.site == Site(4)
