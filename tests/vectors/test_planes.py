"""Steering that turns rows: its plane by hand, its layers, and its gate by the paper's numbers."""

import math
from dataclasses import replace

import pytest
import torch
from material_of import D_MODEL, Kept, generator, material

from trimtab.forward.sites import Site
from trimtab.steering.gates import Opposed
from trimtab.steering.steering import Steering
from trimtab.vectors.contract import make
from trimtab.vectors.layers import Poles
from trimtab.vectors.planes import plane
from trimtab.vectors.unmade import CannotBeMade

HALF = math.sqrt(0.5)


def rows_of(*shifts, gap=4.0, pairs=30):
    """Layers 0, 1, ... whose poles lie `gap` apart along the first axis, about so much of it."""
    noise = torch.randn(len(shifts), 2, pairs, D_MODEL, generator=generator(0)) / 2
    axis = torch.nn.functional.one_hot(torch.tensor(0), D_MODEL).float()
    return Kept(
        {
            layer: (noise[layer, 0] + (shift + gap / 2) * axis, noise[layer, 1] + (shift - gap / 2) * axis)
            for layer, shift in enumerate(shifts)
        }
    )


def test_the_plane_of_three_candidates_by_hand():
    """(1, 0), (1, 1) / sqrt 2 and (0, 1): the middle one is nearest to all, and (1, -1) is what they vary along."""
    mean = torch.tensor([6.0, 1.0, 2.0]).double()
    layers = [
        Poles((mean + torch.tensor(gap).double())[None], mean[None])
        for gap in ([2.0, 0.0, 0.0], [5.0, 5.0, 0.0], [0.0, 0.1, 0.0])
    ]
    first, second = plane(layers, "test")
    torch.testing.assert_close(first, torch.tensor([HALF, HALF, 0.0]).double())
    # away from the mean rows, which lie along (1, -1) themselves
    torch.testing.assert_close(second, torch.tensor([-HALF, HALF, 0.0]).double())


def test_layers_that_agree_span_no_plane():
    one = Poles(torch.eye(3).double()[:1], torch.zeros(1, 3).double())
    for layers in ([one], [one, one]):
        with pytest.raises(CannotBeMade, match=r"test: the mean differences of \d layer\(s\) span"):
            plane(layers, "test")


def test_selective_steering_turns_rows_at_layers_of_opposite_signs_alone():
    parts = material(rows=rows_of(4.0, 0.0, -4.0), selecting=[pair % 3 == 2 for pair in range(30)])
    (edit,) = make("selective_steering", parts)
    assert (edit.site, edit.strength) == (Site(1), pytest.approx(math.pi / 6))
    about = {"selective_steering": {"centred": True, "degrees": 90}}
    centred = make("selective_steering", replace(parts, settings=about))
    assert [each.site for each in centred] == [Site(0), Site(1), Site(2)]
    assert centred[0].strength == pytest.approx(math.pi / 2)
    rows = torch.randn(5, D_MODEL, generator=generator(3))
    turned = edit.change(rows, edit.strength)
    torch.testing.assert_close(turned.norm(dim=1), rows.norm(dim=1))
    torch.testing.assert_close(edit.change(turned, edit.strength), edit.change(rows, 2 * edit.strength))


def test_a_positive_angle_takes_the_mean_row_to_the_high_pole():
    aside = 5 * torch.nn.functional.one_hot(torch.tensor(1), D_MODEL)
    rows = Kept({layer: (high + aside, low + aside) for layer, (high, low) in rows_of(0.5, 0.5, 0.5).poles.items()})
    edits = make("selective_steering", material(rows=rows, selecting=[pair % 3 == 2 for pair in range(30)]))
    for edit in edits:
        mean = torch.cat(rows(edit.site.layer)).mean(0, keepdim=True)
        assert float((edit.change(mean, 0.01) - mean) @ edit.change.unit) > 0


def test_no_layer_of_opposite_signs_is_told():
    parts = material(rows=rows_of(9.0, 9.0), selecting=[pair % 3 == 2 for pair in range(30)])
    with pytest.raises(CannotBeMade, match="Selective Steering of autonomy: at no layer do the poles lie on opposite"):
        make("selective_steering", parts)


def test_angular_steering_sets_the_angle_of_rows_on_the_high_poles_side():
    parts = material(rows=rows_of(0.0, 1.0, 2.0))
    masked = make("angular_steering", parts)
    assert [edit.site for edit in masked] == [Site(0), Site(1), Site(2)]
    steering = Steering([masked[:1]], torch.device("cpu"))
    change = masked[0].change
    rows = torch.stack([3 * change.unit + 4 * change.second, -3 * change.unit + 4 * change.second])[None]
    steering.locate(torch.zeros(1, 2).long(), torch.zeros(1, 2).bool(), torch.zeros(1, 2).long())
    found = steering.edited(Site(0), rows)
    torch.testing.assert_close(found[0, 0], 5 * change.unit)
    assert torch.equal(found[0, 1], rows[0, 1])
    every = {"angular_steering": {"masked": False, "degrees": 90}}
    edit = make("angular_steering", replace(parts, settings=every))[0]
    assert edit.gate is None
    torch.testing.assert_close(edit.change(rows[0], edit.strength), (5 * change.second).expand(2, -1))


@pytest.mark.parametrize(("cosine", "share"), [(0.0, 0.078261), (0.5, 0.0), (-1.0, 0.6), (-0.5, 0.6)])
def test_how_far_spherical_steering_goes_by_the_papers_numbers(cosine, share):
    unit, row = torch.tensor([1.0, 0.0]), 5 * torch.tensor([[cosine, math.sqrt(1 - cosine**2)]])
    gate = Opposed((Site(2),), unit, 20.0, -0.15)
    assert 0.6 * float(gate(torch.zeros(1).long(), row)) == pytest.approx(share, abs=2e-6)


def test_spherical_steering_moves_a_row_at_right_angles_a_little():
    """0.078261 of a quarter turn, on the sphere of radius 5."""
    parts = material(high=torch.eye(D_MODEL)[:1].repeat(4, 1), low=torch.zeros(4, D_MODEL))
    edits = make("spherical_steering", parts)
    steering = Steering([edits], torch.device("cpu"))
    steering.locate(torch.zeros(1, 1).long(), torch.zeros(1, 1).bool(), torch.zeros(1, 1).long())
    found = steering.edited(Site(2), 5 * torch.eye(D_MODEL)[1][None, None])[0, 0]
    angle = 0.6 * 0.15 / 1.15 * math.pi / 2
    expected = 5 * torch.tensor([math.sin(angle), math.cos(angle), *[0.0] * (D_MODEL - 2)])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
