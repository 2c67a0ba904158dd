"""Any edit goes to tensors and text and comes back; what can't be read is told in one line."""

import json
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from trimtab.errors import TrimtabError
from trimtab.forward.sites import INPUT, Site
from trimtab.steering import changes, gates
from trimtab.steering.changes import Add, Affine
from trimtab.steering.codes import RAISE, EditCode, EditLatents, TwoSided
from trimtab.steering.edits import Edit
from trimtab.steering.packing import CHANGES, GATES, pack, unpack
from trimtab.steering.retrieval import Retrieved

FILE = Path("v.safetensors")
U, V = torch.eye(3)[0], torch.eye(3)[1]
EVERY_CHANGE = {
    "add": Add(U),
    "add_relative": changes.AddRelative(U),
    "keep_norm": changes.KeepNorm(U),
    "push_opposed": changes.PushOpposed(U),
    "project_out": changes.ProjectOut(U),
    "floor": changes.Floor(U, 0.5),
    "clamp": changes.Clamp(U, -0.5),
    "rotate": changes.Rotate(U, V),
    "set_angle": changes.SetAngle(U, V, 0.25),
    "slerp": changes.Slerp(U),
    "edit_latents": EditLatents(
        torch.eye(3)[:2], torch.ones(2), torch.zeros(2), torch.eye(3)[1:], torch.tensor([0.5, 2.0]), RAISE
    ),
    "two_sided": TwoSided(
        *(torch.eye(3)[:2], torch.ones(2), torch.zeros(2), torch.eye(3)[1:], torch.tensor([0.5, 2.0])),
        *(torch.tensor([0.6, 0.8]), 4.0),
    ),
    "affine": Affine(1 + U, V),
    "choose": changes.Choose(torch.eye(3)[:2], torch.eye(3)[1:], torch.tensor([0.0, 1.0])),
    "ascend": changes.Ascend(U, torch.eye(3)[:2], torch.ones(2), torch.tensor([0.5, -1.0])),
    "low_rank": changes.LowRank(torch.ones(3, 2), torch.ones(2, 5)),
}
AT = (Site(0), Site(1, "mlp.down_proj", INPUT, (0, 3)))
EVERY_GATE = {
    "trigger": gates.Trigger(torch.tensor([3, 4]), gates.ANY),
    "beyond": gates.Beyond(AT, torch.ones(6), 0.5, gates.FIRST),
    "logistic": gates.Logistic(AT, torch.ones(6), -0.5),
    "opposed": gates.Opposed(AT, torch.ones(6), 20.0, -0.15),
    "cosine": gates.Cosine(AT, torch.ones(6), 0.3, -1.0),
    "retrieved": Retrieved(torch.tensor([3, 4]), torch.tensor([[1.0, 2.0], [0.0, 4.0]]), 1),
    "network": gates.Network(AT, torch.ones(2, 6), torch.ones(2), torch.ones(2), 0.5),
}


def same(one, other):
    assert type(one) is type(other)
    for field in fields(one):
        left, right = getattr(one, field.name), getattr(other, field.name)
        assert torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right


def there_and_back(edits):
    """Through the bytes of a safetensors file and of JSON."""
    tensors, described = pack(edits)
    return unpack(FILE, load(save(tensors)), json.loads(json.dumps(described)))


def test_the_lists_here_are_all_there_is():
    assert EVERY_CHANGE.keys() == CHANGES.keys()
    assert EVERY_GATE.keys() == GATES.keys()


@pytest.mark.parametrize("change", EVERY_CHANGE)
@pytest.mark.parametrize("gate", [None, *EVERY_GATE])
def test_every_change_behind_every_gate_comes_back(change, gate):
    edit = Edit(Site(2, "mlp.down_proj"), EVERY_CHANGE[change], -1.5, "decode_4", gate and EVERY_GATE[gate])
    (back,) = there_and_back((edit,))
    assert (back.site, back.strength, back.timing) == (edit.site, edit.strength, edit.timing)
    same(back.change, edit.change)
    if gate is None:
        assert back.gate is None
    else:
        same(back.gate, edit.gate)


def test_names_are_of_part_and_site_and_two_at_one_site_are_kept_apart():
    edits = (Edit(Site(1), Affine(U, V), 1.0), Edit(Site(3), Affine(V, U), 1.0), Edit(Site(1), Affine(U + V, V), 0.5))
    assert [*pack(edits)[0]] == ["scale.1", "shift.1", "scale.3", "shift.3", "scale.1'", "shift.1'"]
    for one, other in zip(edits, there_and_back(edits), strict=True):
        same(one.change, other.change)


def test_a_change_that_holds_a_dictionary_is_refused():
    with pytest.raises(TrimtabError, match=r"^EditCode: no file can hold it; expected one of add, "):
        pack((Edit(Site(1), EditCode(None, U), 1.0),))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda d: d["change"].update(kind="multiply"), "'multiply'; expected one of add, add_relative"),
        (lambda d: d["change"].update(more=1), "floor: has more, threshold, unit; expected threshold, unit"),
        (lambda d: d["change"].update(threshold="high"), "threshold: 'high'; expected a number"),
        (lambda d: d["change"].update(unit={"tensor": "unit.9"}), "no tensor 'unit.9' in the file"),
        (lambda d: d["change"].update(unit=1.0), "unit: 1.0; expected a tensor"),
        (lambda d: d.update(site="one"), "site 'one': expected a layer"),
        (lambda d: d.update(timing="never"), "timing 'never': expected one of all"),
        (lambda d: d.pop("gate"), "has change, site, strength, timing; expected change, gate, site"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_in_one_line(spoil, told):
    tensors, described = pack((Edit(Site(1), changes.Floor(U, 0.5), 1.0),))
    spoil(described[0])
    with pytest.raises(TrimtabError, match=told) as error:
        unpack(FILE, tensors, described)
    assert "\n" not in str(error.value)
