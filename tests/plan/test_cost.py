"""The plan counts what can be counted by hand, and a model's shape is that of the model itself."""

from pathlib import Path

import pytest
import yaml
from tiny import LAYERS, SHAPE, VOCABULARY, llama, mixtral

from trimtab.artifacts import files
from trimtab.plan.cost import CONTRAST_TOKENS, START, Shape, Work, as_text, conditions, taken, work
from trimtab.plan.shape import shape_of
from trimtab.settings.experiment import Experiment

DEFAULT = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())
ONE = Shape(parameters=1000, active=900, layers=3, d_model=10, key_value=8, bytes=2)


def test_a_shape_without_weights_is_the_models():
    model = llama()
    found = shape_of(model.config, "bfloat16")
    embedding = VOCABULARY * SHAPE["hidden_size"]
    assert (found.parameters, found.active) == (model.num_parameters(), model.num_parameters() - embedding)
    assert (found.layers, found.d_model, found.bytes) == (LAYERS, SHAPE["hidden_size"], 2)
    assert found.key_value == 2 * SHAPE["num_key_value_heads"] * SHAPE["head_dim"]


def test_of_experts_only_those_count_that_a_token_goes_through():
    model = mixtral()
    found = shape_of(model.config, "float32")
    experts = sum(p.numel() for name, p in model.named_parameters() if ".experts." in name)
    embedding = model.get_input_embeddings().weight.numel()
    # two of four
    assert found.active == model.num_parameters() - embedding - experts // 2


def test_operations_by_hand():
    assert ONE.forward(5, 7) == 5 * (2 * 900 + 4 * 3 * 10 * 7)
    assert Work("saes", 2, 3.6e13, 0, 0).hours(1e10) == pytest.approx(1 + 2 * START / 3600)


def test_the_default_design_has_the_conditions_that_its_readme_tells():
    assert conditions(Experiment.model_validate(DEFAULT)) == 122


def test_what_grows_with_what():
    def stages(**changes):
        return {each.stage: each for each in work(Experiment.model_validate(DEFAULT | changes), ONE)}

    usual, longer = stages(), stages(prompts=DEFAULT["prompts"] | {"scenarios": 100})
    assert longer["rollouts"].operations == 2 * usual["rollouts"].operations
    assert longer["activations"] == usual["activations"]
    fewer = stages(layers=DEFAULT["layers"][:3])
    assert fewer["activations"].disk == usual["activations"].disk / 3
    assert fewer["saes"].jobs == 4
    pretrained = stages(saes=DEFAULT["saes"] | {"pretrained": "{layer}.pt"})
    assert pretrained["saes"].operations == 0
    # once a trait, whatever is made of what was read
    alone = {"methods": ["sae_probe", "random"], "chance_draws": 0, "random_draws": 1, "null_draws": 2}
    plain, behaviour = (
        stages(vectors=DEFAULT["vectors"] | alone | {"methods": [*alone["methods"], *more]})["vectors"]
        for more in (["mean_difference"], ["behaviour"])
    )
    assert behaviour.jobs - plain.jobs == 5
    contrast = DEFAULT["prompts"]["contrast"]
    prompts = 2 * 4 * 10 * len(contrast["templates"]) * contrast["fills"] + 32
    more = behaviour.operations - plain.operations
    assert more == pytest.approx(ONE.forward(5 * prompts * CONTRAST_TOKENS, 600))


def test_a_stream_captures_once_a_pass_and_stores_one_shard():
    def stages(**changes):
        return {
            each.stage: each
            for each in work(Experiment.model_validate(DEFAULT | {"saes": DEFAULT["saes"] | changes}), ONE)
        }

    cached, streamed = stages(), stages(source="stream")
    shards = DEFAULT["prompts"]["corpus"]["shards"]
    # rows of contrast prompts, a small part, are stored either way
    assert cached["activations"].disk / shards < streamed["activations"].disk < cached["activations"].disk / 3
    assert streamed["activations"].jobs == cached["activations"].jobs - shards + 1
    context = 600 + DEFAULT["prompts"]["corpus"]["max_tokens"] / 2
    passes = 2 * ONE.forward(DEFAULT["saes"]["tokens"], context)
    assert streamed["saes"].operations == pytest.approx(cached["saes"].operations + passes)
    assert streamed["saes"].jobs == 2
    assert streamed["saes"].disk == cached["saes"].disk
    assert stages(source="stream", second_seeds=0)["saes"].jobs == 1


def test_what_was_taken_stands_beside_what_was_planned(tmp_path):
    for name, record in {"0": {"s": 3600.0, "max_rss": 700.0}, "1": {"s": 1800.0, "max_rss": 900.0}}.items():
        files.write_jsonl(tmp_path / f"benchmarks/saes/{name}.jsonl", [record])
    files.write_json(tmp_path / "saes/0/cfg.json", {})
    assert taken(tmp_path, "probes") is None
    found = taken(tmp_path, "saes")
    assert (found.jobs, found.hours, found.memory) == (2, 1.5, 9e8)
    table = as_text([Work("saes", 2, 3.6e13, 1e9, 0), Work("probes", 1, 0, 1e9, 0)], 1e10, tmp_path).splitlines()
    assert table[2].split() == ["saes", "2", "1.01", "1.0", "0.00", "3.6e+13", "2", "1.50", "0.9", "0.00"]
    assert len(table[3].split()) == 6
    assert table[4].split() == ["all", "3", "1.01", "1.0", "0.00", "3.6e+13", "2", "1.50", "0.9", "0.00"]
    # of a narrow terminal, too
    assert max(map(len, table)) <= 80
