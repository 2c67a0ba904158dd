"""A condition is applied with the vector that it names, or refused."""

from dataclasses import replace

import pytest
import torch
from recorded import lengths, manifest, norm, record

from trimtab.artifacts.manifest import ReadAt
from trimtab.errors import TrimtabError
from trimtab.forward.sites import Site
from trimtab.rollouts.arms import arms, vector_files
from trimtab.rollouts.conditions import Condition
from trimtab.steering.changes import Add, KeepNorm, ProjectOut
from trimtab.steering.edits import Edit
from trimtab.steering.gates import Trigger
from trimtab.vectors import artifact
from trimtab.vectors.artifact import OwnEdits, Vector
from trimtab.vectors.design import CONTROL, GRID
from trimtab.vectors.unmade import Unmade

DESCRIBED = manifest(d_model=3, residual_norm={2: norm(10.0)})
INSTRUCTIONS = {"autonomy": "Decide by yourself."}


def save(folder, method, unit, **known):
    path = folder / method / "autonomy.safetensors"
    artifact.save(Vector(path, record(method=method, **known), unit, torch.zeros(3)))


@pytest.fixture
def vectors(tmp_path):
    for at, method in enumerate(["sae_probe", "random_0", "random_1"]):
        unit = torch.nn.functional.one_hot(torch.tensor(at), 3).float()
        save(tmp_path, method, unit)
    return tmp_path


def made(vectors, *conditions, described=DESCRIBED):
    return arms(conditions, vectors, described, INSTRUCTIONS)


def row(method, dose=0.2, unit="residual_share", timing="all", layer=2, draw=None, rule="add", arm="study"):
    return Condition(f"{method}.{draw}", arm, method, "autonomy", draw, dose, unit, timing, layer, rule)


def test_a_share_is_of_the_layers_norm_and_an_absolute_dose_is_its_length(vectors):
    share, absolute = made(vectors, row("sae_probe", -0.2, timing="decode"), row("sae_probe", 7.0, "absolute"))
    assert share.edits[0].strength == pytest.approx(-2.0)
    assert (share.edits[0].site.layer, share.edits[0].timing) == (2, "decode")
    assert share.edits[0].change.unit.tolist() == [1.0, 0.0, 0.0]
    assert absolute.edits[0].strength == 7.0


def test_a_dose_in_nats_has_the_length_that_was_found_for_it(vectors):
    unit = torch.tensor([0.0, 0.6, 0.8])
    save(vectors, "lda", unit, kl_calibration=lengths({0.2: 7.5, -0.2: -6.0, 0.9: None}))
    there, back = made(vectors, row("lda", 0.2, "kl"), row("lda", -0.2, "kl"))
    assert (there.edits[0].strength, back.edits[0].strength) == (7.5, -6.0)
    with pytest.raises(TrimtabError, match=r"lda/autonomy.safetensors: no length with a KL of \+0.9 nats is known"):
        made(vectors, row("lda", 0.9, "kl"))


def test_a_length_in_nats_is_good_for_the_application_it_was_found_under(vectors):
    found = (*lengths({0.2: 7.5}), *lengths({0.2: 4.0}, timing="decode"))
    save(vectors, "lda", torch.tensor([0.0, 0.6, 0.8]), kl_calibration=found)
    (arm,) = made(vectors, row("lda", 0.2, "kl", timing="decode"))
    assert arm.edits[0].strength == 4.0
    with pytest.raises(TrimtabError, match=r"is known by rule keep_norm at layer 2, timing all; searched for: none$"):
        made(vectors, row("lda", 0.2, "kl", rule="keep_norm"))
    with pytest.raises(TrimtabError, match=r"unit asc needs are not known by rule add at layer 2, timing decode$"):
        made(vectors, row("lda", 0.2, "asc", timing="decode"))


def test_a_condition_has_the_rule_that_it_names(vectors):
    (arm,) = made(vectors, row("sae_probe", 1.0, rule="project_out"))
    assert (type(arm.edits[0].change), arm.edits[0].strength) == (ProjectOut, 1.0)
    with pytest.raises(TrimtabError, match=r"^config.yaml, rollouts.rule: 'multiply'; expected one of add"):
        made(vectors, row("sae_probe", 1.0, rule="multiply"))


def test_a_vector_that_is_none_is_refused_in_one_line(vectors):
    save(vectors, "lda", torch.zeros(3))
    with pytest.raises(TrimtabError, match=r"lda/autonomy.safetensors: direction.2 has length 0; expected 1$"):
        made(vectors, row("lda"))


def test_each_random_draw_has_its_own_vector(vectors):
    one, two = made(vectors, row("random", draw=0), row("random", draw=1))
    assert one.edits[0].change.unit.tolist() == [0.0, 1.0, 0.0]
    assert two.edits[0].change.unit.tolist() == [0.0, 0.0, 1.0]


def test_the_files_of_a_design_are_named_once_and_in_order(tmp_path):
    design = [row("random", draw=1), row("none"), row("prompt"), row("zero"), row("random", -0.2, draw=1), row("lda")]
    folders = [path.relative_to(tmp_path) for path in vector_files(design, tmp_path)]
    assert [str(path) for path in folders] == ["lda/autonomy.safetensors", "random_1/autonomy.safetensors"]


def test_a_condition_without_its_vector_is_left_out_unless_it_is_the_studys(vectors, caplog):
    nothing = Unmade("lda", "autonomy", 2, "the poles coincide")
    artifact.save_unmade(vectors / "lda" / "autonomy.safetensors", nothing, {"made": "by a test"})
    with_it = replace(row("sae_probe", arm=GRID), also="lda.autonomy.0.5")
    (arm,) = made(vectors, row("lda", arm=CONTROL), row("sae_probe"), with_it, row("lda", arm=GRID))
    assert arm.condition_id == "sae_probe.None"
    told = f"{vectors}/lda/autonomy.safetensors: lda could not be made for autonomy: the poles coincide"
    assert [line.getMessage() for line in caplog.records] == [
        f"condition {name}.None is left out: {told}" for name in ("lda", "sae_probe", "lda")
    ]
    with pytest.raises(TrimtabError, match=f"^{told}; expected a method in rollouts.study.method that can be$"):
        made(vectors, row("lda"))


def test_unsteered_prompt_and_zero_need_no_vector(tmp_path):
    none, prompt, zero = made(tmp_path, row("none", 0.0), row("prompt", 0.0, timing="none"), row("zero", 0.0))
    assert (none.edits, none.instruction) == ((), "")
    assert (prompt.edits, prompt.instruction) == ((), "Decide by yourself.")
    assert (zero.edits[0].strength, zero.edits[0].timing, zero.edits[0].change.unit.numel()) == (0.0, "all", 3)


def test_a_vector_of_another_layer_is_refused_in_one_line(vectors):
    described = replace(DESCRIBED, residual_norm={5: norm(1.0)})
    with pytest.raises(
        TrimtabError, match=r"autonomy.safetensors: holds direction.2; condition .* needs direction.5"
    ) as error:
        made(vectors, row("sae_probe", layer=5), described=described)
    assert "\n" not in str(error.value)


def test_a_grid_adds_a_vector_at_another_layer_by_that_layers_norm(vectors):
    described = replace(DESCRIBED, residual_norm={2: norm(10.0), 5: norm(20.0)})
    (arm,) = made(vectors, row("sae_probe", layer=5, arm=GRID), described=described)
    assert (arm.edits[0].site.layer, arm.edits[0].strength) == (5, pytest.approx(4.0))
    assert arm.edits[0].change.unit.tolist() == [1.0, 0.0, 0.0]


def test_a_vector_of_another_model_is_refused_in_one_line(vectors):
    with pytest.raises(TrimtabError, match="is of tiny; expected one of huge") as error:
        made(vectors, row("sae_probe"), described=replace(DESCRIBED, model="huge"))
    assert "\n" not in str(error.value)


def test_a_condition_may_apply_another_traits_vector_as_well(vectors):
    """Each at its own layer, in the condition's unit and timing."""
    unit = torch.tensor([0.0, 0.6, 0.8])
    path = vectors / "lda" / "deference.safetensors"
    artifact.save(Vector(path, record(method="lda", trait="deference", layer=5), unit, torch.zeros(3)))
    one = replace(row("sae_probe", timing="decode"), also="lda.deference.-0.5")
    described = replace(DESCRIBED, residual_norm={2: norm(10.0), 5: norm(4.0)})
    (arm,) = made(vectors, one, described=described)
    own, other = arm.edits
    assert (own.site.layer, own.strength, own.timing) == (2, pytest.approx(2.0), "decode")
    assert (other.site.layer, other.strength, other.timing) == (5, pytest.approx(-2.0), "decode")
    assert other.change.unit.tolist() == unit.tolist()
    assert vector_files([one], vectors) == [path, vectors / "sae_probe" / "autonomy.safetensors"]
    artifact.save(Vector(path, record(method="lda", trait="deference", layer=5, model="other"), unit, torch.zeros(3)))
    with pytest.raises(TrimtabError, match=r"deference\.safetensors: is of other; expected one of tiny"):
        made(vectors, one, described=described)


def test_what_is_applied_as_well_may_name_its_layer_rule_and_gate(vectors):
    """At that layer's norm, behind a gate that the condition's own vector is not behind."""
    path = vectors / "lda" / "deference.safetensors"
    unit = torch.tensor([0.0, 0.6, 0.8])
    artifact.save(Vector(path, record(method="lda", trait="deference", layer=5), unit, torch.zeros(3)))
    one = replace(row("sae_probe"), also="lda.deference.-0.5.L2.keep_norm.lit")
    asked = []

    def gate_of(how, vector):
        asked.append((how.gate, vector.trait))
        return Trigger(torch.tensor([7])) if how.gate else None

    described = replace(DESCRIBED, residual_norm={2: norm(10.0), 5: norm(4.0)})
    (arm,) = arms([one], vectors, described, INSTRUCTIONS, gate_of=gate_of)
    own, other = arm.edits
    assert (own.site.layer, type(own.change), own.gate) == (2, Add, None)
    assert (other.site.layer, type(other.change), other.strength) == (2, KeepNorm, pytest.approx(-5.0))
    assert other.gate.ids.tolist() == [7]
    assert asked == [("", "autonomy"), ("lit", "deference")]


def test_edits_that_undo_the_conditions_own_are_refused_in_one_line(vectors):
    """Along the same direction under another name, which only the tensors show."""
    path = vectors / "ablation" / "autonomy.safetensors"
    edits = (Edit(Site(4), ProjectOut(torch.tensor([1.0, 0.0, 0.0])), 1.0),)
    artifact.save(OwnEdits(path, record(method="ablation"), edits))
    one = replace(row("sae_probe"), condition_id="both", also="ablation.autonomy.+1")
    (arm,) = made(vectors, one)
    assert [edit.site.layer for edit in arm.edits] == [2, 4]
    artifact.save(OwnEdits(path, record(method="ablation"), (replace(edits[0], site=Site(2)),)))
    with pytest.raises(TrimtabError, match=r"^condition both: at site 2, ablation.autonomy leaves nothing") as told:
        made(vectors, one)
    assert "\n" not in str(told.value)
    # and half of it leaves half
    assert len(made(vectors, replace(one, also="ablation.autonomy.+0.5"))[0].edits) == 2


def test_at_a_modules_output_all_arms_are_there(tmp_path):
    modules = {"attention_out": ("a0", "a1", "a2"), "mlp_out": ("m0", "m1", "m2")}
    described = replace(DESCRIBED, site=ReadAt("attention_out", modules))
    unit = torch.tensor([0.0, 1.0, 0.0])
    save(tmp_path, "sae_probe", unit, site="attention_out")
    zero, steered = made(tmp_path, row("zero", 0.0), row("sae_probe"), described=described)
    assert [edit.site for arm in (zero, steered) for edit in arm.edits] == [Site(2, "a2"), Site(2, "a2")]
    save(tmp_path, "raptor", unit)
    with pytest.raises(TrimtabError, match="is of site residual; the model is steered at site attention_out"):
        made(tmp_path, row("raptor"), described=described)
