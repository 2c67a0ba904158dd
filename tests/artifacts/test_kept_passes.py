"""What passes gave is found again, if nothing that it depends on has changed, and by nobody else."""

from dataclasses import replace

import pytest
import torch
from recorded import manifest

from trimtab.artifacts.kept import Kept, parts
from trimtab.errors import TrimtabError
from trimtab.forward.sites import Site
from trimtab.steering.edits import added

UNIT = torch.ones(4) / 2
GIVEN = {"kl": torch.tensor([0.1, torch.inf], dtype=torch.float64)}


class Passes:
    """Counts what is computed."""

    def __init__(self):
        self.run = 0

    def __call__(self):
        self.run += 1
        return GIVEN


def test_a_pass_is_run_once_and_found_with_the_same_bits(tmp_path):
    compute = Passes()
    for _ in range(2):
        found = Kept(tmp_path, "model").found(["kl", added(1, UNIT, 2.0)], compute)
        assert found.keys() == GIVEN.keys()
        assert found["kl"].dtype == torch.float64
        assert torch.equal(found["kl"], GIVEN["kl"])
    assert compute.run == 1


@pytest.mark.parametrize(
    ("depends", "about"),
    [
        ("another model", ["kl", added(1, UNIT, 2.0)]),
        ("model", ["decisions", added(1, UNIT, 2.0)]),
        ("model", ["kl", added(1, UNIT, 2.0 + 1e-12)]),
        ("model", ["kl", added(1, UNIT, 2.0, "prefill")]),
        ("model", ["kl", added(2, UNIT, 2.0)]),
        ("model", ["kl", added(Site(1, "mlp"), UNIT, 2.0)]),
        ("model", ["kl", added(1, -UNIT, 2.0)]),
        # whoever shares a pass may move its last bits
        ("model", ["kl", added(1, UNIT, 2.0), added(1, UNIT, 3.0)]),
    ],
)
def test_whatever_it_depends_on_makes_another_pass(tmp_path, depends, about):
    compute = Passes()
    Kept(tmp_path, "model").found(["kl", added(1, UNIT, 2.0)], compute)
    Kept(tmp_path, depends).found(about, compute)
    assert compute.run == 2


@pytest.mark.parametrize(
    "other", [{"weights": {"model.safetensors": "b" * 64}}, {"dtype": "bfloat16"}], ids=["weights", "dtype"]
)
def test_another_model_or_other_code_has_its_own(tmp_path, other):
    described, compute = manifest(weights={"model.safetensors": "a" * 64}, dtype="float32"), Passes()
    for kept in (
        Kept.of(tmp_path, described, "code"),
        Kept.of(tmp_path, replace(described, **other), "code"),
        Kept.of(tmp_path, described, "other code"),
    ):
        kept.found("kl", compute)
    assert compute.run == 3


def test_what_a_job_did_not_ask_for_goes_when_it_is_done(tmp_path):
    compute, before = Passes(), Kept(tmp_path, "model")
    for name in ("a", "b"):
        before.found(name, compute)
    after = Kept(tmp_path, "model")
    after.found("b", compute)
    after.tidy()
    assert compute.run == 2
    Kept(tmp_path, "model").found("b", compute)
    assert compute.run == 2
    Kept(tmp_path, "model").found("a", compute)
    assert compute.run == 3


def test_without_a_folder_nothing_is_kept(tmp_path):
    compute, kept = Passes(), Kept()
    for _ in range(2):
        assert kept.found("a", compute) is GIVEN
    kept.tidy()
    assert compute.run == 2


def test_a_pass_that_fails_leaves_nothing(tmp_path):
    def fail():
        raise TrimtabError("logits are NaN")

    with pytest.raises(TrimtabError, match="logits are NaN"):
        Kept(tmp_path, "model").found("a", fail)
    assert not [*tmp_path.iterdir()]


def test_parts_tell_lists_apart_by_where_they_end():
    assert [*parts([[1], [2, 3]])] != [*parts([[1, 2], [3]])]
