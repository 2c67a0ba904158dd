"""Edits of which one undoes another, by hand; and that nothing else is taken for such."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trimtab.forward.sites import Site
from trimtab.steering.changes import (
    Add,
    AddRelative,
    Affine,
    Clamp,
    Floor,
    KeepNorm,
    ProjectOut,
    SetAngle,
    Slerp,
)
from trimtab.steering.codes import RAISE, SET, EditLatents
from trimtab.steering.edits import Edit
from trimtab.steering.exclusion import excluded
from trimtab.steering.gates import Trigger

U = torch.tensor([0.6, 0.8, 0.0])
ACROSS = torch.tensor([-0.8, 0.6, 0.0])
UP = torch.tensor([0.0, 0.0, 1.0])
NOTHING, BOTH = "leaves nothing of", "contradicts"


def why(earlier, later, strengths=(1.0, 1.0), sites=(2, 2), gates=(None, None)):
    one, other = (
        Edit(Site(site), change, strength, gate=gate)
        for change, strength, site, gate in zip((earlier, later), strengths, sites, gates, strict=True)
    )
    return excluded(one, other)


def latents(values, way=SET):
    """By the coordinate that a latent reads and writes, its value."""
    rows = torch.eye(3)[[*values]]
    none = torch.zeros(len(values))
    return EditLatents(rows, none, none, rows, torch.tensor([*values.values()]), way)


EXCLUDED = [
    (Add(U), Clamp(U, 3.0), NOTHING),
    (Add(U), Clamp(-U, 3.0), NOTHING),
    (AddRelative(U), ProjectOut(U), NOTHING),
    (Add(U), ProjectOut(U * (1 + 1e-5)), NOTHING),
    (Clamp(U, 1.0), Clamp(U, 2.0), NOTHING),
    (ProjectOut(U), ProjectOut(U), NOTHING),
    (Floor(U, 1.0), ProjectOut(U), NOTHING),
    (Floor(U, 1.0), Floor(-U, 1.0), BOTH),  # at least 1 and at most -1
    (Floor(-U, -2.0), Floor(U, 3.0), BOTH),  # at most 2 and at least 3
    (Clamp(U, 1.0), Floor(U, 2.0), BOTH),
    (ProjectOut(U), Floor(U, 0.5), BOTH),
    (SetAngle(U, ACROSS, 0.5), SetAngle(U, ACROSS, 1.0), BOTH),
    (SetAngle(U, ACROSS, 0.5), SetAngle(-U, ACROSS, 0.5), BOTH),
    (latents({0: 1.0, 2: 4.0}), latents({1: 3.0, 2: 0.0}), BOTH),
]
TAKEN = [
    (Add(U), Add(U)),
    (Clamp(U, 1.0), Add(U)),  # moved on from the value
    (Add(UP), Clamp(U, 1.0)),
    (Add(U), Floor(U, 1.0)),
    (Floor(U, 1.0), Floor(-U, -2.0)),  # between 1 and 2
    (Floor(U, 1.0), Floor(U, 2.0)),
    (Clamp(U, 2.0), Floor(U, 2.0)),
    (KeepNorm(U), Clamp(U, 1.0)),  # moved at right angles, too
    (Slerp(U), ProjectOut(U)),
    (SetAngle(U, ACROSS, 0.5), ProjectOut(U)),
    (SetAngle(U, ACROSS, 0.5), SetAngle(-U, ACROSS, math.pi - 0.5)),  # one angle, told from both ends
    (Affine(U, U), Clamp(U, 1.0)),
    (latents({0: 1.0, 2: 4.0}), latents({1: 3.0, 2: 4.0})),
    (latents({0: 1.0}), latents({0: 2.0}, RAISE)),
]


@pytest.mark.parametrize(("earlier", "later", "told"), EXCLUDED)
def test_what_excludes_what(earlier, later, told):
    assert why(earlier, later) == told
    # elsewhere, not at all, or behind a gate that may be closed, nothing does
    gate, other = Trigger(torch.tensor([7])), Trigger(torch.tensor([8]))
    assert why(earlier, later, sites=(2, 3)) == ""
    assert why(earlier, later, strengths=(0.0, 1.0)) == why(earlier, later, strengths=(1.0, 0.0)) == ""
    assert why(earlier, later, gates=(None, gate)) == why(earlier, later, gates=(other, gate)) == ""
    # behind a gate that is open wherever the other's edit is, it does
    assert why(earlier, later, gates=(gate, None)) == why(earlier, later, gates=(gate, gate)) == told
    # a share of a change leaves some of what was there
    assert why(earlier, later, strengths=(1.0, 0.5)) == ""


@pytest.mark.parametrize(("earlier", "later"), TAKEN)
def test_what_can_follow_what(earlier, later):
    assert why(earlier, later) == ""


NUMBERS = st.floats(-4, 4).map(lambda value: round(value, 2))


@pytest.mark.slow
@given(st.data())
def test_what_is_refused_is_lost_and_what_is_taken_of_values_holds(data):
    """By the changes themselves: the later gives what it gives without the earlier, or breaks what that asked for."""
    unit = data.draw(st.sampled_from([U, -U]))
    one, other = NUMBERS, NUMBERS
    earlier = data.draw(st.one_of(one.map(lambda v: Clamp(U, v)), one.map(lambda v: Floor(U, v)), st.just(Add(U))))
    later = data.draw(st.one_of(other.map(lambda v: Clamp(unit, v)), other.map(lambda v: Floor(unit, v))))
    rows = torch.tensor([[x, y, 1.0] for x in (-6.0, 0.0, 6.0) for y in (-6.0, 0.0, 6.0)])
    first = earlier(rows, 1.0)
    both, alone = later(first, 1.0), later(rows, 1.0)
    lost = torch.allclose(both, alone, atol=1e-4)
    kept = isinstance(earlier, Add) or torch.allclose(earlier(both, 1.0), both, atol=1e-4)
    told = why(earlier, later)
    if told == NOTHING:
        assert lost
    elif told == BOTH:
        assert not kept
    else:
        assert not lost or isinstance(later, Floor)
        assert kept
