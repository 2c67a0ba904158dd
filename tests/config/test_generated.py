"""What is generated from the models of the settings says the same as they do, and is committed."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from trimtab.config import generated
from trimtab.settings.experiment import Experiment

DEFAULT: dict[str, Any] = yaml.safe_load(generated.config_yaml())


def keys(node: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    return [
        (*path, *rest)
        for name, value in node.items()
        for rest in ([(name,)] + [(name, *below) for below in keys(value)] if isinstance(value, dict) else [(name,)])
    ]


@pytest.mark.parametrize("path", generated.files(), ids=lambda path: path.name)
def test_a_committed_file_is_what_the_models_say(path: Path):
    assert path.read_text() == generated.files()[path], "run: python -m trimtab.config write"


def test_each_key_of_the_default_experiment_has_a_comment_above_it():
    lines = generated.config_yaml().splitlines()
    entries = [
        at
        for at, line in enumerate(lines)
        if line.strip() and not line.lstrip().startswith(("#", "shuffled", "prompt_vector,"))
    ]
    bare = [lines[at].strip() for at in entries if not lines[at - 1].lstrip().startswith("# ")]
    # the first of a mapping whose keys are data stands under the mapping's own line
    of_data = [*DEFAULT["rollouts"]["action_weights"], *DEFAULT["statistics"]["primary"]]
    assert [line.partition(":")[0] for line in bare] == of_data


def test_the_reference_has_every_key():
    text = generated.reference()
    missing = [".".join(path) for path in keys(DEFAULT) if f"`{'.'.join(path)}`" not in text]
    sections = [key for key in missing if f"## {key}\n" not in text]
    weights = [f"rollouts.action_weights.{tool}" for tool in DEFAULT["rollouts"]["action_weights"]]
    assert sections == [*weights, *(f"statistics.primary.{trait}" for trait in DEFAULT["statistics"]["primary"])]


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 1200),
    st.floats(-2, 2).filter(lambda number: not number.is_integer()),
    st.sampled_from(["auto", "add", "decode_4", "few_shot", "0" * 40, "/tmp/{layer}", "https://x", "", "two words"]),
    st.lists(st.one_of(st.integers(-1, 3), st.sampled_from(["all", "opening", "x"])), max_size=3),
    st.dictionaries(st.sampled_from(["3", "k", "autonomy"]), st.sampled_from([3, "calls", {"k": 2}, {}]), max_size=2),
)


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    return Draft202012Validator(generated.schema())


@pytest.mark.slow
@given(path=st.sampled_from(keys(DEFAULT)), value=VALUES)
@example(path=("saes", "overrides"), value={"k": {}})
def test_the_schema_passes_what_the_models_pass(schema, path, value):
    """The models check the config; editors check it with the schema."""
    changed = deepcopy(DEFAULT)
    *parents, key = path
    node = changed
    for parent in parents:
        node = node[parent]
    node[key] = value
    try:
        Experiment.model_validate(changed)
        passes = True
    except ValidationError:
        passes = False
    assert schema.is_valid(json.loads(json.dumps(changed))) == passes
