"""What tuning changed: quadrants by a truth table, and a planted shift that is found as it is."""

from dataclasses import replace

import pytest
import torch
from material_of import Kept, Said, generator, material

from trimtab.errors import TrimtabError
from trimtab.forward.sites import Site
from trimtab.vectors.asked import Twin
from trimtab.vectors.contract import make
from trimtab.vectors.methods.reflex import right
from trimtab.vectors.unmade import CannotBeMade

PAIRS = 6
SHIFT = torch.tensor([0.0, 3.0, 4.0])


def tuned(model, twin, shifts, best=1):
    """A twin whose rows are the model's and a shift a layer; what is added at layer `best` puts decisions right."""
    rows = {layer: torch.randn(2, PAIRS, 3, generator=generator(layer)) for layer in shifts}
    readings = Said(
        side_by_side=Twin(model, twin, {layer: (own, own + shifts[layer]) for layer, own in rows.items()}),
        tries=lambda edits: (
            torch.tensor([[1.0], [-1.0]]).expand(2, PAIRS) * any(edit.site == Site(best) for edit in edits),
            torch.zeros(2, PAIRS),
        ),
    )
    return material(
        high=torch.zeros(PAIRS, 3),
        low=torch.zeros(PAIRS, 3),
        selecting=[False] * 4 + [True] * 2,
        rows=Kept(dict.fromkeys(shifts)),
        readings=readings,
    )


def test_a_decision_is_right_if_it_goes_with_its_pole():
    odds = torch.tensor([[1.0, -1.0], [1.0, -1.0]])
    assert right(odds, 0.0).tolist() == [[True, False], [False, True]]


def test_a_constant_shift_of_the_twin_is_the_vector():
    wrong, put_right = (torch.tensor([[sign], [-sign]]).expand(2, PAIRS) for sign in (-1.0, 1.0))
    parts = tuned(wrong, put_right, {0: 9 * SHIFT, 1: SHIFT, 2: -SHIFT})
    (edit,) = make("reflex", parts)
    assert edit.site == Site(1)
    torch.testing.assert_close(edit.strength * edit.change.unit, SHIFT, rtol=1e-5, atol=1e-5)


def test_only_prompts_of_the_quadrant_count_and_none_that_are_kept_for_choosing():
    """Model right at pair 0 alone; twin right at pairs 1, 2 and 5: quadrant 2 is pairs 1 and 2, 5 being kept."""

    def odds(pairs):
        return torch.tensor([[1.0 if pair in pairs else -1.0 for pair in range(PAIRS)]] * 2) * torch.tensor(
            [[1.0], [-1.0]]
        )

    parts = tuned(odds({0}), odds({1, 2, 5}), {1: SHIFT})
    own, theirs = parts.readings.side_by_side.rows[1]
    theirs = theirs.clone()
    theirs[:, 0] += 100
    theirs[:, 5] += 100
    theirs[:, 1] += torch.tensor([6.0, 0.0, 0.0])
    twin = parts.readings.side_by_side._replace(rows={1: (own, theirs)})
    (edit,) = make("reflex", replace(parts, readings=replace(parts.readings, side_by_side=twin)))
    torch.testing.assert_close(
        edit.strength * edit.change.unit, SHIFT + torch.tensor([3.0, 0.0, 0.0]), rtol=1e-4, atol=1e-4
    )
    lost = replace(parts, readings=replace(parts.readings, side_by_side=twin), settings={"reflex": {"quadrant": 4}})
    (other,) = make("reflex", lost)
    torch.testing.assert_close(other.strength * other.change.unit, SHIFT + 100, rtol=1e-4, atol=1e-3)


def test_a_twin_that_changes_nothing_has_no_vector():
    wrong, put_right = (torch.tensor([[sign], [-sign]]).expand(2, PAIRS) for sign in (-1.0, 1.0))
    with pytest.raises(CannotBeMade, match="no prompt is wrong, and right in the twin"):
        make("reflex", tuned(wrong, wrong, {1: SHIFT}))
    with pytest.raises(CannotBeMade, match="the twin's rows are the model's"):
        make("reflex", tuned(wrong, put_right, {1: 0 * SHIFT}))
    with pytest.raises(TrimtabError, match=r"reflex\.quadrant: 3; expected one of 2, 4"):
        make("reflex", replace(tuned(wrong, put_right, {1: SHIFT}), settings={"reflex": {"quadrant": 3}}))
