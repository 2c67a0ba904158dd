"""All vectors of a trait on a real toy model: written, checked on held-out rows, at lengths that have their KL."""

from dataclasses import replace

import pytest
import recorded
import torch
from material_of import D_SAE, dictionary, generator, material, probe, said
from tiny import D_MODEL, llama

from trimtab.artifacts import tensors
from trimtab.errors import TrimtabError
from trimtab.forward.contributions import contributions
from trimtab.forward.sites import ATTENTION_OUT, MLP_OUT
from trimtab.settings.vectors import TrainingSettings, VectorSettings
from trimtab.steering.edits import after
from trimtab.steering.places import Segment
from trimtab.vectors import apply, artifact, unmade
from trimtab.vectors.applications import Application, Asked
from trimtab.vectors.artifact import OwnEdits
from trimtab.vectors.calibrate import CalibrationPrompts
from trimtab.vectors.dose import Scale, length
from trimtab.vectors.material import Pairs
from trimtab.vectors.methods import is_trained, known, makes_edits
from trimtab.vectors.trait_vectors import Sources, make_vectors
from trimtab.vectors.unmade import CannotBeMade, Unmade

LAYER = 2
HEADER = Segment([4, 8, 15, 16], written=False)
PROMPTS = [
    [HEADER, Segment([23, 42, 7], written=False, ends_prompt=True), Segment([9, 3], written=True)],
    [HEADER, Segment([5], written=False, ends_prompt=True), Segment([11], written=True)],
]
DESCRIBED = recorded.manifest()
TRAINING = TrainingSettings(passes=24, batch=4, together=8, kept=16, looks=2, patience=2)
# a training as short as this one's goes far at a high rate alone
RATES = {"yapo": {"rate": 0.5}, "lora": {"rate": 0.1}, "lin_eas": {"rate": 0.2}}
SETTINGS = VectorSettings(calibration_doses=[0.1, 0.4], settings=RATES, training=TRAINING, wrong_sign="mark")


def parts(held_out=1.0):
    """A trait along the first axis; on held-out rows it points as `held_out` says."""
    noise = torch.randn(4, 12, D_MODEL, generator=generator(0))
    axis = 4 * torch.nn.functional.one_hot(torch.tensor(0), D_MODEL).float()
    made = material(
        layer=LAYER,
        high=noise[0] + axis,
        low=noise[1],
        sae=dictionary(torch.eye(D_SAE, D_MODEL)),
        latent_probe=probe(torch.linspace(1, 0, D_SAE)),
        association=torch.linspace(1, -0.5, D_SAE),
        readings=said(12, (noise[2] + axis, noise[2])),
    )
    rows = Pairs(noise[3] + held_out * axis, noise[2], ["test"] * 12, [[], []])
    return made, Sources(DESCRIBED, llama(initializer_range=0.2), PROMPTS, rows, {"made": "by a test"})


@pytest.mark.slow
def test_every_method_leaves_a_vector_with_lengths_that_have_their_kl(tmp_path):
    made, sources = parts()
    names = [*(name for name in known() if name != "random"), "random_0"]
    make_vectors(tmp_path, names, made, sources, SETTINGS, [0.05, -0.05])
    prompts = CalibrationPrompts(sources.model, PROMPTS, LAYER)
    for name in names:
        vector = artifact.read(tmp_path / name / "autonomy.safetensors")
        assert (vector.method, vector.trait, vector.layer) == (name, "autonomy", LAYER)
        assert vector.record.provenance == {"made": "by a test"}
        gated = isinstance(vector, OwnEdits) and any(edit.gate for edit in vector.edits)
        assert bool(vector.record.openings) == gated
        assert bool(vector.record.training) == is_trained(name)
        assert [each.split for each in vector.record.margins] == ["fit", "select", "test"] * is_trained(name)
        for opened in vector.record.openings:
            assert opened.prompts == 2
            assert (opened.open_share > 0) == (opened.prompts_open > 0)
        # at two prompts a gate may stay shut, and then nothing has a KL
        if gated and None in vector.record.lengths(vector.plain).values():
            continue
        scale = Scale.of(str(vector.path), vector.record, 4.0, vector.plain)
        for target in (0.05, -0.05):
            reach = length(target, "kl", scale)
            assert reach * target > 0
            edits = apply.edits(vector, vector.plain, target, "kl", scale)
            whole = vector.edits[0].strength if isinstance(vector, OwnEdits) else 1.0
            assert abs(edits[0].strength) == pytest.approx(abs(reach * whole))
            start = prompts if after(edits) == LAYER else CalibrationPrompts(sources.model, PROMPTS, after(edits))
            assert start.kl([edits])[0] == pytest.approx(0.05, rel=0.025)
        assert isinstance(vector, OwnEdits) or length(0.01, "asc", scale) > 0
    # states of trainings go once all is written
    assert not (tmp_path / ".training/autonomy").exists()
    aims = {name: artifact.read(tmp_path / name / "autonomy.safetensors").record.sign_check for name in names}
    assert {name for name, check in aims.items() if check == "no aim"} == {
        *filter(makes_edits, names),
        *("random_0", "orthogonal", "shuffled", "east", "gradient"),
        *("behaviour", "sae_behaviour", "sae_attributed_random", "corpus_random", "seal", "efficiency"),
        *("bipo", "reps", "reft_r1", "asc_learned"),
    }
    assert aims["mean_difference"] == aims["lda"] == aims["prompt_vector"] == "right"


def test_what_cannot_be_made_says_why_and_the_others_are_made(tmp_path):
    made, sources = parts()
    flat = replace(made, readings=replace(made.readings, entropies=torch.ones(2, 12)))
    asked = [Asked(name, None, "keep_norm", "all", 0.05) for name in ("east", "lda")]
    make_vectors(tmp_path, ["east", "lda"], flat, sources, SETTINGS, [0.05], asked)
    (lda,), (east,) = artifact.read_all(tmp_path / name / "autonomy.safetensors" for name in ("lda", "east"))
    assert [solved.rule for solved in lda.record.kl_calibration] == ["add", "keep_norm"]
    why = "EAST of autonomy, layer 2: all prompts have the same action entropy"
    assert east == Unmade("east", "autonomy", LAYER, why)
    assert unmade.table([east]).to_dict("records") == [
        {"method": "east", "trait": "autonomy", "layer": LAYER, "why": why}
    ]
    _, texts = tensors.read(tmp_path / "east/autonomy.safetensors")
    assert texts["provenance"] == '{"made":"by a test"}'
    with pytest.raises(CannotBeMade, match=rf"east/autonomy\.safetensors: east could not be made for autonomy: {why}$"):
        artifact.read(tmp_path / "east/autonomy.safetensors")


def test_a_wrong_way_on_held_out_rows_marks_or_stops(tmp_path):
    made, sources = parts(held_out=-1.0)
    make_vectors(tmp_path, ["mean_difference"], made, sources, SETTINGS, [0.05])
    assert artifact.read(tmp_path / "mean_difference/autonomy.safetensors").record.sign_check == "wrong"
    stop = VectorSettings(calibration_doses=[0.1, 0.4], settings={}, training=TRAINING, wrong_sign="stop")
    with pytest.raises(TrimtabError, match=r"^vector mean_difference of autonomy: .* it points the wrong way; leave"):
        make_vectors(tmp_path, ["mean_difference"], made, sources, stop, [0.05])
    # a control has no way to be wrong about
    make_vectors(tmp_path, ["random_0"], made, sources, stop, [0.05])


def test_further_draws_have_derivatives_where_a_condition_goes_by_them(tmp_path):
    made, sources = parts()
    for bounded in (False, True):
        make_vectors(tmp_path, ["random_0", "random_1"], made, sources, SETTINGS, [0.05], bounded=bounded)
        first, further = (artifact.read(tmp_path / f"random_{at}" / "autonomy.safetensors") for at in range(2))
        assert first.record.asc is not None
        assert (further.record.asc is not None) == bounded
        assert further.plain == Application(LAYER, "add", "all")


def test_a_length_that_was_measured_for_the_comparison_is_not_measured_again(tmp_path, monkeypatch):
    """Both signs of two doses, what the search of 0.05 takes, and what that of -0.05 takes from there."""
    made, sources = parts()
    pushes, measured = [], CalibrationPrompts.kl

    def counted(prompts, edits):
        pushes.extend(edits)
        return measured(prompts, edits)

    monkeypatch.setattr(CalibrationPrompts, "kl", counted)
    asked = [Asked("mean_difference", None, "add", "all", target) for target in (0.05, -0.05)]
    make_vectors(tmp_path, ["mean_difference"], made, sources, SETTINGS, [0.05], asked)
    known = artifact.read(tmp_path / "mean_difference/autonomy.safetensors").record
    assert [each.target for each in known.kl_calibration] == [0.05, -0.05]
    strengths = [edit.strength for edits in pushes for edit in edits]
    assert len(set(strengths)) == len(strengths)


def test_the_same_material_gives_the_same_bytes(tmp_path):
    made, sources = parts()
    for folder in ("one", "two"):
        make_vectors(tmp_path / folder, ["lat", "orthogonal"], replace(made), sources, SETTINGS, [0.05])
    for name in ("lat", "orthogonal"):
        one, two = (tmp_path / folder / name / "autonomy.safetensors" for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [MLP_OUT, ATTENTION_OUT])
def test_at_a_modules_output_vectors_are_measured_and_applied_there(tmp_path, kind):
    """Against a hook of torch's own on the module; the MLP's output is the last thing that a layer adds."""
    made, sources = parts()
    sites = contributions(sources.model)[kind]
    make_vectors(tmp_path, ["mean_difference", "ablation"], replace(made, sites=sites), sources, SETTINGS, [0.05])
    vector, own = (artifact.read(tmp_path / name / "autonomy.safetensors") for name in ("mean_difference", "ablation"))
    assert (vector.record.site, own.record.site) == (kind, kind)
    module = sources.model.model.layers[LAYER].get_submodule(sites.modules[LAYER])
    whole = [torch.tensor([[token for part in prompt for token in part.tokens]]) for prompt in PROMPTS]
    rows, clean, steered = [], [], []

    def run(hook, found):
        handle = module.register_forward_hook(hook)
        found += [sources.model(ids).logits[0, len(HEADER.tokens) :].log_softmax(-1) for ids in whole]
        handle.remove()

    def stream(output):
        return output if isinstance(output, torch.Tensor) else output[0]

    def push(part, given, output):
        moved = stream(output) + vector.record.lengths(vector.plain)[0.05] * vector.unit
        return moved if isinstance(output, torch.Tensor) else (moved, *output[1:])

    run(lambda part, given, output: rows.append(stream(output)[0, -1]), clean)
    run(push, steered)
    torch.testing.assert_close(vector.mean, torch.stack(rows).mean(0), rtol=1e-4, atol=1e-6)
    before, after = torch.cat(clean), torch.cat(steered)
    assert float((before.exp() * (before - after)).sum(-1).mean()) == pytest.approx(0.05, rel=0.025)
    assert [edit.site for edit in own.edits] == [sites.at(layer) for layer in made.rows.layers]
