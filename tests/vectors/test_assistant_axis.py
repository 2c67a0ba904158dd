"""The floor along the axis from roles to the assistant: by hand, and on planted rows."""

from dataclasses import replace

import pytest
import torch
from material_of import Kept, generator, material

from trimtab.errors import TrimtabError
from trimtab.forward.sites import Site
from trimtab.prompts import resources
from trimtab.vectors.contract import make
from trimtab.vectors.unmade import CannotBeMade


def parts(personas, hooked=(2,), depth=4, **settings):
    made = material(rows=Kept(dict.fromkeys(hooked)), settings={"assistant_axis": settings})
    return replace(made, readings=replace(made.readings, layers=depth, of_personas=personas))


def test_a_row_below_the_floor_is_lifted_to_it_and_one_above_stays():
    """Assistant rows 2, 2, 2, 4, 6 along e1, roles at -1: axis e1, and a quarter of the rows lie at most at 2."""
    assistant = torch.tensor([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [4.0, 0.0], [6.0, 0.0]])
    roles = torch.tensor([[-1.0, 1.0], [-1.0, -1.0]])
    (edit,) = make("assistant_axis", parts({Site(2): (assistant, roles)}))
    rows = torch.tensor([[-1.0, 3.0], [4.0, 3.0]])
    once = edit.change(rows, edit.strength)
    assert once.tolist() == [[2.0, 3.0], [4.0, 3.0]]
    assert torch.equal(edit.change(once, edit.strength), once)


@pytest.mark.parametrize("percentile", [25.0, 60.0])
def test_the_floor_lifts_the_asked_share_of_the_assistants_own_rows(percentile):
    assistant = torch.randn(2000, 6, generator=generator(0)) + 1
    (edit,) = make("assistant_axis", parts({Site(2): (assistant, torch.zeros(3, 6))}, percentile=percentile))
    lifted = (edit.change(assistant, 1.0) - assistant).norm(dim=1) > 1e-6
    assert float(lifted.float().mean()) == pytest.approx(percentile / 100, abs=0.002)


def test_layers_are_the_hooked_ones_of_the_papers_share_of_the_depth_or_the_nearest():
    rows = (torch.ones(4, 3), torch.zeros(2, 3))
    personas = {Site(layer): rows for layer in range(30)}
    found = make("assistant_axis", parts(personas, hooked=range(0, 30, 3), depth=30))
    assert [edit.site for edit in found] == [Site(21), Site(24)]
    found = make("assistant_axis", parts(personas, hooked=(2, 10), depth=30))
    assert [edit.site for edit in found] == [Site(10)]


def test_roles_that_are_the_assistant_have_no_axis_and_a_percentile_is_one():
    with pytest.raises(CannotBeMade, match="the assistant's mean row is that of the roles"):
        make("assistant_axis", parts({Site(2): (torch.ones(4, 3), torch.ones(2, 3))}))
    with pytest.raises(TrimtabError, match=r"assistant_axis\.percentile: 101\.0; expected 0 to 100"):
        make("assistant_axis", parts({}, percentile=101.0))


@pytest.mark.parametrize("folder", [resources.RESOURCES, resources.RESOURCES / "organism"], ids=lambda path: path.name)
def test_roles_of_the_resources_can_be_read_and_differ(folder):
    assert len(resources.roles(folder / "roles.yaml")) >= 8
