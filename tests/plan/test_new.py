"""A first config for a model of one's own is one that the check passes and the model fits."""

import json

import pytest
import yaml
from chat import byte_tokenizer
from snakemake.utils import update_config
from tiny import LAYERS, SHAPE, llama
from transformers import Qwen2VLConfig

from trimtab.config.check import check
from trimtab.config.generated import config_yaml
from trimtab.errors import TrimtabError
from trimtab.jobs.origins import Origins
from trimtab.plan import __main__ as command
from trimtab.plan.new import TIMES_WIDER, propose
from trimtab.plan.shape import shape


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder with a model whose chat template shows tools."""
    folder = tmp_path_factory.mktemp("own") / "Own-Model"
    tokenizer = byte_tokenizer()
    llama(vocab_size=len(tokenizer), max_position_embeddings=512).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_what_is_written_is_a_config_that_passes(model):
    made = propose("mine", str(model), None)
    whole = yaml.safe_load(config_yaml())
    update_config(whole, yaml.safe_load(made.text))
    experiment = check(whole, Origins())
    assert experiment == made.experiment
    assert experiment.experiment == "mine"
    assert experiment.model.source == str(model)
    assert [*experiment.layers] == [int(share * LAYERS) for share in (0.25, 0.5, 0.75)]
    assert experiment.saes.latents == TIMES_WIDER * SHAPE["hidden_size"]
    assert experiment.rollouts.protocol == "native"


def test_a_template_without_tools_is_said_and_few_shot_taken(model, tmp_path):
    tokenizer = byte_tokenizer(template="{% for message in messages %}{{ message['content'] }}{% endfor %}")
    llama(vocab_size=len(tokenizer), max_position_embeddings=4096).save_pretrained(tmp_path / "plain")
    tokenizer.save_pretrained(tmp_path / "plain")
    made = propose("mine", str(tmp_path / "plain"), None)
    assert made.experiment.rollouts.protocol == "few_shot"
    (warning,) = made.warnings
    assert warning == (
        "the agent speaks few_shot and not by the model's own tool calls, since this model's chat template shows no "
        "tools"
    )


def test_a_context_too_short_for_an_episode_is_said(model):
    (warning,) = propose("mine", str(model), None).warnings
    assert warning.startswith("it reads 512 tokens, and an episode takes about ")


def test_the_command_writes_a_file_once(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command.new("mine", str(model))
    said = capsys.readouterr().out
    assert "careful: it reads 512 tokens" in said
    assert "snakemake --configfile mine.yaml -- results/mine/model/preflight.json" in said
    assert said.startswith("stage ")
    with pytest.raises(TrimtabError, match=r"^mine\.yaml is there already; give another name, or delete it$"):
        command.new("mine", str(model))


def test_a_model_that_sees_has_the_shape_of_its_text(tmp_path):
    text = {"vocab_size": 99, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
    text |= {"num_attention_heads": 4, "num_key_value_heads": 2}
    eyes = {"depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 2}
    Qwen2VLConfig(text_config=text, vision_config=eyes).save_pretrained(tmp_path)
    found = shape(str(tmp_path), None, "float32")
    assert (found.layers, found.d_model) == (3, 32)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"model_type": "t5"}, "a 't5' model can't be built as a decoder-only model"),
        ({"num_attention_heads": "four"}, "has no config that can be read"),
    ],
)
def test_a_config_of_no_such_model_is_one_line(model, tmp_path, changes, line):
    about = json.loads((model / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(about | changes))
    with pytest.raises(TrimtabError, match=f"^config.yaml, model.source: .*{line}") as caught:
        shape(str(tmp_path), None, "float32")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "source", "line"),
    [
        ("mine", "/nowhere/model", "MODEL: there is no folder /nowhere/model, seen from "),
        ("mine", "/nowhere/model.gguf", "MODEL: '/nowhere/model.gguf' is no file here"),
        ("my/own", None, 'experiment: "my/own" is not a folder name'),
    ],
)
def test_what_can_not_be_is_refused_in_one_line(model, name, source, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrimtabError) as caught:
        command.new(name, source or str(model))
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not [*tmp_path.iterdir()]
