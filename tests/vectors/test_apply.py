"""A vector, a rule and a dose make an edit; what they lack is said in one line."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from recorded import lengths, record

from trimtab.errors import TrimtabError
from trimtab.forward.sites import MLP_OUT, STREAM, Site, Sites
from trimtab.steering.catalogue import AS_MADE, RULES
from trimtab.steering.changes import ProjectOut
from trimtab.steering.codes import EditCode
from trimtab.steering.edits import Edit, added
from trimtab.steering.gates import Trigger
from trimtab.vectors import artifact
from trimtab.vectors.applications import Application
from trimtab.vectors.apply import edits
from trimtab.vectors.artifact import OwnEdits, Vector
from trimtab.vectors.cost import Cost
from trimtab.vectors.decisions import at_kl
from trimtab.vectors.dose import Scale
from trimtab.vectors.unmade import Unmade

SCALE = Scale("v.safetensors", 10.0, {0.2: 3.0}, raw_norm=5.0, intercept=-1.0)
UNIT = torch.tensor([0.6, 0.8, 0.0])
MEAN = torch.tensor([5.0, 0.0, 2.0])


def vector(**parts):
    return Vector(**{"path": Path("v.safetensors"), "record": record(), "unit": UNIT, "mean": MEAN} | parts)


def edit(vector, rule, dose, unit="residual_share", timing="all", sae=None):
    (made,) = edits(vector, Application(vector.layer, rule, timing), dose, unit, SCALE, sae)
    assert (made.site, made.timing, made.gate) == (Site(vector.layer), timing, None)
    return made


def moved(rule, dose, row, unit="residual_share", **parts):
    made = edit(vector(**parts), rule, dose, unit)
    return made.change(torch.tensor([row]), made.strength)[0]


def test_lengths_and_shares():
    assert edit(vector(), "add", 0.2, timing="decode").strength == 2.0
    assert edit(vector(), "add", 0.2, "kl").strength == 3.0
    assert edit(vector(), "project_out", 0.5).strength == 0.5
    torch.testing.assert_close(moved("add", 0.2, [1.0, 1.0, 1.0]), torch.tensor([2.2, 2.6, 1.0]))


def test_edits_with_a_timing_of_their_own_keep_it_and_can_have_no_other():
    own = OwnEdits(Path("o.safetensors"), record(), (*added(1, UNIT, 2.0, "decode"), *added(1, UNIT, 2.0)))
    how = Application(1, AS_MADE, "all")
    assert [edit.timing for edit in edits(own, how, 0.5, "residual_share", SCALE)] == ["decode", "all"]
    with pytest.raises(TrimtabError, match="edits with a timing of their own, so prefill can't be asked of them"):
        edits(own, replace(how, timing="prefill"), 0.5, "residual_share", SCALE)


@pytest.mark.parametrize(("dose", "end"), [(0.1, 4.0), (-0.1, 2.0)])
def test_a_floor_lies_a_length_from_the_mean_and_a_negative_one_is_a_ceiling(dose, end):
    """The mean row lies at 3 along the vector, and a tenth of the residual norm is 1."""
    for along in (0.0, 3.0, 9.0):
        found = moved("floor", dose, (along * UNIT).tolist())
        wanted = max(along, end) if dose > 0 else min(along, end)
        assert float(found @ UNIT) == pytest.approx(wanted, abs=1e-5)


def test_a_clamp_lies_a_length_from_the_mean():
    assert float(moved("clamp", -0.2, [7.0, 7.0, 7.0]) @ UNIT) == pytest.approx(1.0, abs=1e-5)


def test_a_positive_angle_turns_the_mean_row_towards_the_vector():
    before = float(MEAN @ UNIT)
    assert float(moved("rotate", 10, MEAN.tolist()) @ UNIT) > before
    assert float(moved("rotate", -10, MEAN.tolist()) @ UNIT) < before
    # angle 0 is along the vector
    torch.testing.assert_close(moved("set_angle", 0, MEAN.tolist()), float(MEAN.norm()) * UNIT)


def test_a_target_probability_is_what_the_probe_then_says():
    """w = 5 u, b = -1, P = 0.9: rows below are lifted to exactly 0.9, and rows above stay."""
    low, high = moved("add", 0.9, [0.0, 0.0, 0.0], "probability"), moved("add", 0.9, [6.0, 8.0, 0.0], "probability")
    assert 1 / (1 + math.exp(-(5 * float(low @ UNIT) - 1))) == pytest.approx(0.9, abs=1e-6)
    assert high.tolist() == [6.0, 8.0, 0.0]


def test_an_edited_code_needs_a_code_and_its_sae():
    with pytest.raises(TrimtabError, match=r"v.safetensors: raptor has no latent code"):
        edit(vector(), "edit_code", 0.2)
    made = edit(vector(code=torch.ones(4)), "edit_code", 0.2, sae=object())
    assert isinstance(made.change, EditCode)
    assert made.strength == 2.0


def test_a_mean_row_along_the_vector_spans_no_plane():
    with pytest.raises(TrimtabError, match="they span no plane"):
        edit(vector(mean=2 * UNIT), "rotate", 10)


def test_an_unknown_rule_is_named():
    with pytest.raises(
        TrimtabError, match=r"^config.yaml, rollouts.rule: 'multiply'; expected one of add, add_relative, "
    ):
        edit(vector(), "multiply", 0.2)


@pytest.mark.parametrize("rule", [name for name in RULES if name != AS_MADE])
def test_every_rule_of_the_catalogue_makes_an_edit(rule):
    known = {"code": torch.ones(4)} if rule == "edit_code" else {}
    assert callable(edit(vector(**known), rule, 0.2, sae=object()).change)


OWN = OwnEdits(Path("o.safetensors"), record(), (*added(1, UNIT, 2.0), Edit(Site(2, "mlp"), ProjectOut(UNIT), 0.5)))


@pytest.mark.parametrize("unit", ["residual_share", "absolute"])
def test_edits_as_made_are_all_applied_at_one_share(unit):
    one, two = edits(OWN, Application(9, AS_MADE, "decode"), -0.5, unit, SCALE)
    assert (one.site, one.strength, one.timing) == (Site(1), -1.0, "decode")
    assert (two.site, two.strength, two.timing) == (Site(2, "mlp"), -0.25, "decode")
    # nats are a share that was searched for
    assert edits(OWN, Application(9, AS_MADE, "all"), 0.2, "kl", SCALE)[0].strength == 6.0


def test_edits_have_no_rule_and_a_vector_is_not_as_made():
    with pytest.raises(TrimtabError, match=r"^o.safetensors: raptor makes edits, which rule add can't apply; expected"):
        edits(OWN, Application(9, "add", "all"), 0.5, "absolute", SCALE)
    with pytest.raises(TrimtabError, match=r"^v.safetensors: raptor makes a vector, so rule as_made can't apply it"):
        edit(vector(), AS_MADE, 0.5)


def test_a_gate_before_edits_that_have_one_is_refused():
    gated = replace(OWN, edits=(replace(OWN.edits[0], gate=Trigger(torch.tensor([1]))),))
    with pytest.raises(TrimtabError, match="raptor makes a gate of its own, so ajar can't stand before it"):
        edits(gated, Application(9, AS_MADE, "all", "ajar"), 0.5, "absolute", SCALE, gate=Trigger(torch.tensor([2])))


def test_a_vector_is_applied_at_the_kind_of_site_that_it_is_of():
    sites = Sites(MLP_OUT, ("a", "b", "c", "d"))
    how, of_mlp = Application(3, "add", "all"), vector(record=record(site=MLP_OUT))
    (made,) = edits(of_mlp, how, 0.2, "residual_share", SCALE, sites=sites)
    assert (made.site, made.strength) == (Site(3, "d"), 2.0)
    for one, there in ((of_mlp, STREAM), (vector(), sites)):
        line = f"v.safetensors: is of site {one.record.site}; the model is steered at site {there.kind}"
        with pytest.raises(TrimtabError, match=line):
            edits(one, how, 0.2, "residual_share", SCALE, sites=there)


def test_vectors_are_applied_at_the_length_of_one_kl_and_others_are_named(tmp_path, caplog):
    paths = [tmp_path / f"{name}.safetensors" for name in ("lda", "raptor", "pca")]
    for path, solved in zip(paths, ({0.1: 2.5, 0.2: 4.0}, {0.2: 1.0}), strict=False):
        known = record(method=path.stem, kl_calibration=lengths(solved), cost=Cost(3))
        artifact.save(Vector(path, known, UNIT, MEAN))
    artifact.save_unmade(paths[2], Unmade("pca", "autonomy", 2, "rows are alike"), {})
    found, costs = at_kl(paths, 0.1, STREAM)
    assert [(name, edit.site, edit.strength) for name, (edit,) in found.items()] == [("lda", Site(2), 2.5)]
    assert costs == {"lda": Cost(3), "raptor": Cost(3)}
    assert [line.getMessage() for line in caplog.records] == [
        "pca: rows are alike; left out",
        f"{paths[1]}: no length with a KL of 0.1 nats was found; left out",
    ]
