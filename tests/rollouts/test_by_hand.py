"""A vector by hand: dose 0 is the library's own generation, doses don't mix, and text comes as it is written."""

import io
import math

import pytest
import torch
from chat import TEMPLATE, byte_tokenizer
from recorded import manifest, record
from tiny import D_MODEL, llama, qwen3_5_moe

from trimtab.agent import dates
from trimtab.artifacts.fingerprint import contents
from trimtab.errors import TrimtabError
from trimtab.forward.packed import pack_rows
from trimtab.forward.sites import Site
from trimtab.rollouts import side_by_side as command
from trimtab.rollouts.by_hand import OVERFLOW, ByHand
from trimtab.rollouts.loaded import chat_text
from trimtab.rollouts.side_by_side import Columns
from trimtab.steering.changes import Affine, LowRank, ProjectOut
from trimtab.steering.edits import Edit, added, scaled
from trimtab.steering.gates import ANY, Beyond, Trigger
from trimtab.vectors import artifact
from trimtab.vectors.artifact import OwnEdits, Vector

UNIT = torch.nn.functional.one_hot(torch.tensor(3), D_MODEL).float()
PROMPT = "The best way to start is"
TOKENIZER = byte_tokenizer()


def push(length, timing="all"):
    return added(2, UNIT, length, timing)


def made(kind, packed=False):
    model = kind(vocab_size=len(TOKENIZER), max_position_embeddings=512, initializer_range=0.2)
    model.generation_config.eos_token_id = TOKENIZER.eos_token_id
    # it must end now and then
    model.lm_head.weight[TOKENIZER.eos_token_id] *= 2
    if packed:
        pack_rows(model)
    return model


@pytest.fixture(scope="module")
def model():
    return made(llama, packed=True)


def texts(pieces, rows):
    found = [""] * rows
    for piece in pieces:
        found[piece.row] += piece.text
    return found


def generated(model, ids, tokens):
    """By `transformers` alone, greedily."""
    return TOKENIZER.decode(written(model, ids, tokens), skip_special_tokens=True)


def written(model, ids, tokens):
    given = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids)), "pad_token_id": 0}
    return model.generate(**given, max_new_tokens=tokens, do_sample=False)[0, len(ids) :].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [llama, qwen3_5_moe])
def test_dose_0_is_the_librarys_own_generation(kind):
    plain, ours = made(kind), made(kind, packed=True)
    for prompt in (PROMPT, "x", "Once"):
        hand = ByHand(ours, TOKENIZER, [push(0.0), push(6.0), ()])
        zero, steered, none = texts(hand.generate(prompt, tokens=40), 3)
        assert zero == none == generated(plain, TOKENIZER(prompt)["input_ids"], 40)
        assert steered != zero


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_doses_side_by_side_are_each_alone(model, temperature):
    lengths = [0.0, 3.0, -6.0]
    together = texts(ByHand(model, TOKENIZER, [push(one) for one in lengths]).generate(PROMPT, 30, temperature, 1), 3)
    alone = [texts(ByHand(model, TOKENIZER, [push(one)]).generate(PROMPT, 30, temperature, 1), 1)[0] for one in lengths]
    assert together == alone
    assert len(set(together)) == 3


@pytest.mark.slow
def test_alike_rows_draw_alike_and_another_seed_draws_anew(model):
    draws = [texts(ByHand(model, TOKENIZER, [(), ()]).generate(PROMPT, 30, 0.9, seed), 2) for seed in (1, 2)]
    assert draws[0][0] == draws[0][1] != draws[1][0] == draws[1][1]


@pytest.mark.slow
def test_text_comes_as_it_is_written(model):
    pieces = ByHand(model, TOKENIZER, [(), push(3.0)]).generate(PROMPT, 30)
    first = [next(pieces) for _ in range(2)]
    assert sorted(piece.row for piece in first) == [0, 1]
    assert not any(piece.ended for piece in first)
    rest = list(pieces)
    assert sorted(piece.row for piece in rest if piece.ended) == [0, 1]


@pytest.mark.slow
def test_a_chat_goes_on_in_the_template(model):
    """The second answer is the library's own to the whole chat, what was said before standing as it was written."""
    hand = ByHand(model, TOKENIZER, [()])
    (first,) = texts(hand.chat("Hello", 12, system="Be kind."), 1)
    opened = TOKENIZER.apply_chat_template(
        [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}],
        tokenize=False,
        add_generation_prompt=True,
    )
    plain = made(llama)
    ids = TOKENIZER(opened, add_special_tokens=False)["input_ids"]
    assert first == generated(plain, ids, 12)
    said = [token for token in written(plain, ids, 12) if token != TOKENIZER.eos_token_id]
    (second,) = texts(hand.chat("And?", 12), 1)
    more = "<|im_end|>\n<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\n"
    assert second == generated(plain, [*ids, *said, *TOKENIZER(more, add_special_tokens=False)["input_ids"]], 12)


def test_a_chat_is_the_same_every_day():
    """A template that tells the date has that of the agents' chats."""
    told = TEMPLATE.replace("'<|im_start|>user\\n'", "'<|im_start|>user\\n' + strftime_now('%d %b %Y') + date_string")
    messages = [{"role": "system", "content": ""}, {"role": "user", "content": "Hello"}]
    text = chat_text(byte_tokenizer(told), messages, "generate")
    assert f"<|im_start|>user\n{2 * dates.TEXT}Hello<|im_end|>" in text


@pytest.mark.slow
def test_a_dose_that_overflows_says_so_and_leaves_the_others(model):
    zero, hot = texts(ByHand(model, TOKENIZER, [(), push(1e39)]).generate(PROMPT, 30), 2)
    assert hot == OVERFLOW
    assert zero == texts(ByHand(model, TOKENIZER, [()]).generate(PROMPT, 30), 1)[0]


def test_a_prompt_that_does_not_fit(model):
    with pytest.raises(TrimtabError, match=r"come to 6\d\d tokens; the model reads at most 512"):
        list(ByHand(model, TOKENIZER, [()]).generate(PROMPT, tokens=600))
    bare = byte_tokenizer(None)
    for options in ({"tokens": 0}, *({"temperature": each} for each in (-1.0, math.nan, math.inf))):
        with pytest.raises(TrimtabError, match="expected 1 or more, and 0 or more"):
            list(ByHand(model, TOKENIZER, [()]).generate(PROMPT, **options))
    with pytest.raises(TrimtabError, match=r"holds bytes that are no UTF-8"):
        ByHand(model, TOKENIZER, [()]).generate("caf\udce9")
    with pytest.raises(TrimtabError, match="no chat template; use generate"):
        ByHand(model, bare, [()]).chat("Hello")


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    """A model's folder, and a vector of it."""
    folder = tmp_path_factory.mktemp("by_hand")
    made(llama).save_pretrained(folder / "model")
    TOKENIZER.save_pretrained(folder / "model")
    artifact.save(Vector(folder / "v.safetensors", record(), UNIT, torch.zeros(D_MODEL)))
    artifact.save(OwnEdits(folder / "edits.safetensors", record(asc=None), EDITS))
    return folder


EDITS = (
    Edit(Site(1, "mlp.down_proj"), LowRank(UNIT[:, None], torch.ones(1, 48)), 9.0),
    Edit(Site(2), ProjectOut(UNIT), 1.0, gate=Beyond((Site(1),), UNIT, 0.0)),
    Edit(Site(3), Affine(1 + UNIT, 6 * UNIT.roll(1)), 1.0, gate=Trigger(torch.arange(200), ANY)),
)
"""Of a weight, of the stream, and of many coordinates, two behind gates that the file names."""


@pytest.mark.slow
def test_edits_of_a_file_are_applied_as_they_were_made(on_disk):
    """Dose 0 is the model as it is, and others are shares."""
    hand = ByHand.of(on_disk / "model", on_disk / "edits.safetensors", [0.0, 1.0, -0.5])
    zero, whole, half = texts(hand.generate(PROMPT, 30), 3)
    loaded = made(llama, packed=True)
    conditions = [EDITS, scaled(EDITS, -0.5)]
    assert [whole, half] == texts(ByHand(loaded, TOKENIZER, conditions).generate(PROMPT, 30), 2)
    assert zero == texts(ByHand(loaded, TOKENIZER, [()]).generate(PROMPT, 30), 1)[0]
    assert len({zero, whole, half}) == 3


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (Edit(Site(9), ProjectOut(UNIT), 1.0), "layer 9 of LlamaForCausalLM: expected 0 to 3"),
        (Edit(Site(1, "mlp.up"), ProjectOut(UNIT), 1.0), "layer 1 has no module mlp.up; expected one of"),
        (Edit(Site(1), Affine(torch.ones(9), torch.ones(9)), 1.0), r"edits.safetensors: its edits don't fit .*\(.*9"),
        (
            Edit(Site(1), Affine(torch.ones(9), torch.ones(9)), 1.0, "decode", Trigger(torch.tensor([7]))),
            "its edits don't fit",
        ),
        (Edit(Site(1), ProjectOut(UNIT), 1.0, gate=Beyond((Site(3),), UNIT, 0.0)), "reads at 3, which no pass reaches"),
    ],
)
def test_edits_that_are_of_another_model_are_told_in_one_line(on_disk, tmp_path, edit, told):
    artifact.save(OwnEdits(tmp_path / "edits.safetensors", record(asc=None), (edit,)))
    with pytest.raises(TrimtabError, match=told) as error:
        ByHand.of(on_disk / "model", tmp_path / "edits.safetensors", [1.0])
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_the_command_prints_doses_side_by_side(on_disk, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "79")
    command.generate(on_disk / "model", on_disk / "v.safetensors", dose=[0.0, 1.5], prompt=PROMPT, tokens=30)
    heading, rule, *lines = capsys.readouterr().out.rstrip("\n").split("\n")
    assert heading.split("|")[0].strip() == "dose 0"
    assert heading.split("|")[1].strip() == "dose +1.5"
    assert set(rule) <= set("-| ")
    # 1.5 of the vector's residual norm of 4 is a length of 6
    zero, steered = texts(ByHand(made(llama, packed=True), TOKENIZER, [(), push(6.0)]).generate(PROMPT, 30), 2)
    columns = Columns(["dose 0", "dose +1.5"], 79)
    assert lines == [*columns.add(0, zero, True), *columns.add(1, steered, True)]


@pytest.mark.slow
def test_a_chat_reads_lines_until_an_empty_one(on_disk, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello\nAnd?\n\nnever\n"))
    command.chat(on_disk / "model", on_disk / "v.safetensors", dose=[0.0], tokens=5)
    assert capsys.readouterr().out.count("dose 0") == 2


@pytest.mark.slow
def test_what_does_not_belong_together_is_told_in_one_line(on_disk, tmp_path):
    folder, vector = on_disk / "model", on_disk / "v.safetensors"
    weights = contents(folder, ["*.safetensors"])
    manifest(model="other", path=str(folder), weights=weights).write(tmp_path / "manifest.json")
    deep = tmp_path / "deep.safetensors"
    artifact.save(Vector(deep, record(layer=9), UNIT, torch.zeros(D_MODEL)))
    for words, options, complaint in (
        ((tmp_path, vector), {}, "expected a run's model/manifest.json, or a folder with a model"),
        ((tmp_path / "manifest.json", vector), {}, "v.safetensors: is of tiny; expected one of other"),
        ((tmp_path / "manifest.json", vector), {"dtype": "float32"}, "says its own dtype and device"),
        ((folder, deep), {}, "is of layer 9 and 32 dimensions; .* has 4 layers of 32"),
        ((folder, vector), {"dtype": "float64"}, "--dtype float64: expected one of bfloat16, float32"),
        ((folder, vector), {"device": "tpu"}, "--device tpu: expected one of cpu, cuda, auto"),
        ((folder / "config.json", vector), {}, "config.json: has no model; expected a run's model/manifest.json"),
        ((folder / "model.safetensors", vector), {}, "model.safetensors: not whole JSON"),
        ((folder, folder / "config.json"), {}, "is damaged .*; if a run made it, delete it"),
        ((folder, vector), {"timing": "sometimes"}, "timing 'sometimes': expected one of"),
        ((folder, vector), {"unit": "miles"}, "'miles'; expected one of"),
        ((folder, vector), {"rule": "melt"}, "'melt'; expected one of"),
        ((folder, vector), {"unit": "kl"}, "no length with a KL of"),
        ((folder, vector), {"rule": "as_made"}, "raptor makes a vector, so rule as_made can't apply it"),
        ((folder, vector), {"rule": "edit_code"}, "raptor has no latent code"),
        ((folder, on_disk / "edits.safetensors"), {"rule": "add"}, "makes edits, which rule add can't apply"),
        ((folder, on_disk / "edits.safetensors"), {"unit": "kl"}, "no length with a KL of"),
    ):
        with pytest.raises(TrimtabError, match=complaint) as error:
            ByHand.of(*words, [0.5], **options)
        assert "\n" not in str(error.value)
    for doses in ([], [0.5, math.nan], [-math.inf]):
        with pytest.raises(TrimtabError, match=r"^--dose .*: expected one finite dose at least"):
            ByHand.of(folder, vector, doses)


def test_columns_give_out_lines_that_are_whole():
    columns = Columns(["a", "b"], 27)
    assert columns.headings.split("\n")[0] == "a            | b"
    assert columns.add(0, "one two three four ", False) == []
    # the first line of b may still grow
    assert columns.add(1, "x", False) == []
    assert columns.add(1, "\ny", False) == ["one two      | x"]
    assert columns.add(1, "", True) == []
    # of two columns that have ended, every line is whole
    assert columns.add(0, "five", True) == ["three four   | y", "five         |"]


def test_columns_show_no_control_characters():
    columns = Columns(["a"], 40)
    assert columns.add(0, "\x1b[2Jred\x07\ttab", True) == [" [2Jred  tab"]


@pytest.mark.slow
def test_a_vector_of_what_the_mlp_adds_is_added_there(on_disk, tmp_path):
    """After the MLP nothing else is added, so the text is that of the same push after the layer."""
    path = tmp_path / "v.safetensors"
    artifact.save(Vector(path, record(site="mlp_out"), UNIT, torch.zeros(D_MODEL)))
    hand = ByHand.of(on_disk / "model", path, [0.0, 1.5])
    assert list(hand._batch._steering._steps) == [Site(2, "mlp")]
    found = texts(hand.generate(PROMPT, 20), 2)
    assert found == texts(ByHand(made(llama, packed=True), TOKENIZER, [(), push(6.0)]).generate(PROMPT, 20), 2)
