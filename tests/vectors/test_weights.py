"""Edits of weights leave as weights: PEFT and transformers compute with them what the edits do as hooks."""

import json
import re

import pytest
import torch
from paired import POLES, cut
from recorded import manifest, record
from safetensors.torch import load_file
from tiny import D_MODEL, gpt2, llama
from transformers import AutoModelForCausalLM

from trimtab.artifacts import files
from trimtab.artifacts.fingerprint import contents
from trimtab.errors import TrimtabError
from trimtab.forward.sites import Site
from trimtab.forward.writers import writers
from trimtab.steering.changes import Add, LowRank
from trimtab.steering.edits import Edit, added, scaled
from trimtab.steering.gates import Trigger
from trimtab.steering.steering import Steering
from trimtab.vectors import __main__ as command
from trimtab.vectors import artifact
from trimtab.vectors.artifact import OwnEdits, Vector
from trimtab.vectors.methods import lora
from trimtab.vectors.objective import Course, Plan
from trimtab.vectors.training import train

GENERATOR = torch.Generator().manual_seed(0)
IDS = torch.randint(0, 97, (2, 7), generator=GENERATOR)
FAMILIES = {"llama": (llama, "mlp.down_proj", 48), "gpt2": (gpt2, "mlp.c_proj", 4 * D_MODEL)}
DOSE = -1.5
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
"""Sums of float32 in another order, over logits of about 1."""


def low_rank(inner, rank=1, size=0.3):
    left, right = torch.randn(D_MODEL, rank, generator=GENERATOR), torch.randn(rank, inner, generator=GENERATOR)
    return LowRank(size * left, size * right)


def edits_of(module, inner):
    """Two at one module, and one of another layer and rank."""
    here = Site(1, module)
    return (
        Edit(here, low_rank(inner), 1.0),
        Edit(here, low_rank(inner), -0.5),
        Edit(Site(3, module), low_rank(inner, 2), 0.7),
    )


@pytest.fixture(scope="module", params=FAMILIES)
def made(request, tmp_path_factory):
    """A folder with a model, and edits of its weights."""
    kind, module, inner = FAMILIES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    kind(initializer_range=0.2).save_pretrained(folder / "model")
    (folder / "model/chat_template.jinja").write_text("{{ messages }}")
    artifact.save(OwnEdits(folder / "edits.safetensors", record(), edits_of(module, inner)))
    return folder


def exported(made, out, form, dose=DOSE):
    command.export(made / "edits.safetensors", out, format=form, dose=dose, model=made / "model")
    return out


def read(folder):
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def logits(model, edits=()):
    steering = Steering([edits] * len(IDS), model.device)
    row = torch.arange(len(IDS))[:, None].expand_as(IDS)
    steering.locate(row, torch.zeros_like(IDS).bool(), IDS)
    with torch.no_grad(), steering.applied(model):
        return model(IDS).logits


def hooked(made, dose=DOSE):
    return logits(read(made / "model"), scaled(artifact.read(made / "edits.safetensors").edits, dose))


@pytest.mark.slow
def test_the_edited_model_is_the_edits(made, tmp_path):
    plain, found = logits(read(made / "model")), logits(read(exported(made, tmp_path / "out", "model")))
    torch.testing.assert_close(found, hooked(made), **CLOSE)
    assert not torch.allclose(found, plain, atol=0.05)


def test_an_adapter_says_in_its_files_what_is_added_to_which_weight(made, tmp_path):
    """By the format's own rule, `W + alpha / r B A`."""
    out = exported(made, tmp_path / "out", "peft")
    about, named = json.loads((out / "adapter_config.json").read_text()), load_file(out / "adapter_model.safetensors")
    assert sorted(about["rank_pattern"].values()) == [2, 2]
    model = read(made / "model")
    for path in about["target_modules"]:
        a, b = (named.pop(f"base_model.model.{path}.lora_{side}.weight") for side in "AB")
        change = about["alpha_pattern"][path] / about["rank_pattern"][path] * b @ a
        with torch.no_grad():
            model.get_submodule(path).weight += change.T if about["fan_in_fan_out"] else change
    assert not named
    torch.testing.assert_close(logits(model), hooked(made), **CLOSE)


# PEFT 0.21 asks transformers 5.23 by a name that goes with 6.0
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")
@pytest.mark.parametrize("dose", [DOSE, 0.0])
def test_peft_applies_the_adapter(made, tmp_path, dose):
    # which takes seconds
    from peft import PeftModel

    base = logits(read(made / "model"))
    model = PeftModel.from_pretrained(read(made / "model"), exported(made, tmp_path / "out", "peft", dose)).eval()
    with torch.no_grad():
        found = model(IDS).logits
        merged = model.merge_and_unload()(IDS).logits
    if dose == 0:
        assert torch.equal(found, base)
        assert torch.equal(merged, base)
    else:
        torch.testing.assert_close(found, hooked(made), **CLOSE)
        torch.testing.assert_close(merged, hooked(made), **CLOSE)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")
@pytest.mark.parametrize("family", [llama, gpt2], ids=lambda family: family.__name__)
def test_peft_says_with_a_trained_adapter_what_the_steered_model_says(family, tmp_path):
    from peft import PeftModel

    family(initializer_range=0.2).save_pretrained(tmp_path / "model")
    model = read(tmp_path / "model").requires_grad_(False)
    ready = [one for one in writers(model, IDS[:1]) if one.inputs]
    objective = lora.Lora(ready, D_MODEL, lora.Settings(rank=2, rate=0.05), torch.Generator().manual_seed(3))
    course = Course([cut(model, POLES[:1], [0, 1], 2)], cut(model, POLES[:1], [0, 1], 2))
    trained = objective.edits(train(objective, course, Plan(passes=12, looks=2), 3).own, 1.0)
    artifact.save(OwnEdits(tmp_path / "edits.safetensors", record(), trained))
    out = exported(tmp_path, tmp_path / "out", "peft", 1.0)
    with torch.no_grad():
        found = PeftModel.from_pretrained(read(tmp_path / "model"), out).eval()(IDS).logits
    torch.testing.assert_close(found, hooked(tmp_path, 1.0), **CLOSE)
    assert not torch.allclose(found, logits(read(tmp_path / "model")), atol=0.05)


def test_at_dose_0_the_model_is_the_same_bytes_but_for_the_record(made, tmp_path):
    out = exported(made, tmp_path / "out", "model", 0.0)
    base, other = (load_file(folder / "model.safetensors") for folder in (made / "model", out))
    assert base.keys() == other.keys()
    assert all(torch.equal(base[name].view(torch.int32), other[name].view(torch.int32)) for name in base)
    names = {path.name for path in (made / "model").iterdir()}
    assert {path.name for path in out.iterdir()} == names | {"trimtab.json"}
    for name in names - {"model.safetensors"}:
        assert (made / "model" / name).read_bytes() == (out / name).read_bytes()
    told = files.read_json(out / "trimtab.json")
    assert told["settings"]["dose"] == 0
    assert [*told["inputs"].values()] == [files.sha256(made / "edits.safetensors")]


def test_only_the_edited_weights_of_parts_change_and_a_swallowed_change_is_told(tmp_path, caplog):
    """In bfloat16 a change far below a weight's last digit is lost where the weight is large."""
    model = llama(initializer_range=0.2).to(torch.bfloat16)
    model.save_pretrained(tmp_path / "model", max_shard_size="30KB")
    parts = sorted(path.name for path in (tmp_path / "model").glob("*.safetensors"))
    assert len(parts) > 2
    change = low_rank(48, size=0.01)
    artifact.save(OwnEdits(tmp_path / "edits.safetensors", record(), (Edit(Site(2, "mlp.down_proj"), change, 1.0),)))
    out = exported(tmp_path, tmp_path / "out", "model", 1.0)
    name, index = "model.layers.2.mlp.down_proj.weight", files.read_json(out / "model.safetensors.index.json")
    for part in parts:
        same = (out / part).read_bytes() == (tmp_path / "model" / part).read_bytes()
        assert same == (index["weight_map"][name] != part)
    before, after = (load_file(folder / index["weight_map"][name])[name] for folder in (tmp_path / "model", out))
    wanted = (before.double() + change.left.double() @ change.right.double()).bfloat16()
    assert torch.equal(after, wanted)
    (line,) = [each.getMessage() for each in caplog.records if each.name == "trimtab.vectors.weights"]
    assert re.fullmatch(rf"{name}: rounding to torch.bfloat16 is [\d.]+ of the change \(as norms\)", line)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (Edit(Site(1), Add(torch.ones(D_MODEL)), 1.0), "Add at 1 is no change of a module's weight"),
        (Edit(Site(1, "mlp.down_proj", columns=(0, 32)), low_rank(48), 1.0), "is no change of a module's weight"),
        (Edit(Site(1, "mlp.down_proj"), low_rank(48), 1.0, "decode"), "not open at every token, as a weight is"),
        (Edit(Site(1, "mlp.down_proj"), low_rank(48), 1.0, gate=Trigger(IDS[0])), "not open at every token"),
        (Edit(Site(1, "mlp.down_proj"), low_rank(9), 1.0), "of a weight of 32 by 9; the model's has 32 by 48"),
        (Edit(Site(1, "mlp"), low_rank(9), 1.0), "1.mlp is a LlamaMLP; expected a linear layer"),
        (Edit(Site(1, "mlp.up"), low_rank(9), 1.0), "layer 1 has no module mlp.up; expected one of"),
        (Edit(Site(9, "mlp.down_proj"), low_rank(48), 1.0), "layer 9 of LlamaForCausalLM: expected 0 to 3"),
    ],
)
@pytest.mark.parametrize("made", ["llama"], indirect=True)
def test_what_is_no_weight_of_the_model_is_refused_in_one_line(made, tmp_path, edit, told):
    artifact.save(OwnEdits(tmp_path / "edits.safetensors", record(), (edit,)))
    for form in ("peft", "model"):
        with pytest.raises(TrimtabError, match=told) as error:
            command.export(tmp_path / "edits.safetensors", tmp_path / "out", format=form, model=made / "model")
        assert "\n" not in str(error.value)
        assert [path.name for path in tmp_path.iterdir()] == ["edits.safetensors"]


def test_words_that_do_not_go_together_are_refused_in_one_line(tmp_path):
    vector, edits = tmp_path / "vector.safetensors", tmp_path / "edits.safetensors"
    artifact.save(Vector(vector, record(), torch.eye(3)[0], torch.zeros(3)))
    artifact.save(OwnEdits(edits, record(), added(1, torch.eye(3)[0], 1.0)))
    llama().save_pretrained(model := tmp_path / "model")
    weights = contents(model, ["*.safetensors"])
    manifest(model="other", path=str(model), weights=weights).write(tmp_path / "manifest.json")
    for file, options, told in (
        (vector, {"format": "peft", "model": model}, "holds a vector, which no weight can"),
        (edits, {"format": "gguf", "length": 1.0}, "holds edits; expected a --dose, their share"),
        (edits, {"format": "peft"}, "--format peft: expected --model and a --dose, and no --length"),
        (edits, {"format": "model", "model": model, "length": 1.0}, "expected --model and a --dose, and no --length"),
        (vector, {"format": "gguf", "dose": 1.0}, "holds a vector; expected a --length"),
        (vector, {"format": "gguf", "model": model}, "expected a --length or, of edits, a --dose, and no --model"),
        (vector, {"format": "onnx"}, "--format onnx: expected one of gguf, .*, persona_vectors, peft, model"),
        (
            edits,
            {"format": "peft", "model": tmp_path},
            "expected a run's model/manifest.json, or a folder with a model",
        ),
        (edits, {"format": "peft", "model": tmp_path / "manifest.json"}, "is of tiny; expected one of other"),
        (
            edits,
            {"format": "peft", "model": model / "config.json"},
            "config.json: has no model; expected a run's model/man",
        ),
        (edits, {"format": "peft", "model": model / "model.safetensors"}, "model.safetensors: is damaged"),
    ):
        with pytest.raises(TrimtabError, match=told) as error:
            command.export(file, tmp_path / "out", **options)
        assert "\n" not in str(error.value)
    artifact.save(OwnEdits(edits, record(), (Edit(Site(1, "mlp.down_proj"), low_rank(48), 1.0),)))
    whole = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(whole[:999])
    with pytest.raises(TrimtabError, match=r"model\.safetensors: not a whole safetensors file \("):
        command.export(edits, tmp_path / "out", format="model", model=model)
    (model / "model.safetensors").write_bytes(whole)
    (tmp_path / "out").mkdir()
    with pytest.raises(TrimtabError, match="out: is there already; expected the name of a new folder"):
        command.export(edits, tmp_path / "out", format="peft", model=model)
