"""Gates that can't do what a block of the grid asks of them."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from trimtab.config.check import check
from trimtab.errors import TrimtabError
from trimtab.jobs.origins import Origins

DEFAULT = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())
LATENTS = DEFAULT["saes"]["latents"]


def lit(latent: int) -> dict[str, Any]:
    return {"gates": {"lit": {"kind": "latent", "layer": 16, "latent": latent, "above": 0.5}}}


def told(rollouts: dict[str, Any], **more: Any) -> str:
    config = yaml.safe_load(yaml.safe_dump(DEFAULT))
    update_config(config, {**more, "rollouts": rollouts})
    try:
        check(config, Origins())
    except TrimtabError as error:
        return str(error)
    return ""


def test_a_latent_beyond_the_dictionary() -> None:
    assert told(lit(LATENTS - 1)) == ""
    line = f"config.yaml, rollouts.gates.lit.latent: {LATENTS}; the dictionary of layer 16 has {LATENTS}"
    assert told(lit(LATENTS)) == line
    # a layer's own number counts, and somebody else's dictionary has as many as it has
    assert told(lit(LATENTS), saes={"overrides": {16: {"latents": LATENTS + 1}}}) == ""
    assert told(lit(LATENTS), saes={"pretrained": "a/{layer}"}) == ""


@pytest.mark.parametrize("layer", [5, 16, 25])
def test_a_gate_that_reads_after_what_is_steered(layer: int) -> None:
    lines = told({**lit(7), "grid": [{"gates": ["lit"], "layers": [layer]}]})
    late = "config.yaml, rollouts.grid[0].gates: lit reads after layer 16, and rollouts.grid[0].layers has 5"
    assert lines.startswith(late) if layer == 5 else lines == ""


def test_a_projection_on_a_vector_that_there_is_none_of() -> None:
    gates = {"far": {"kind": "projection", "above": 0.1}}
    vectors = {"methods": [*DEFAULT["vectors"]["methods"], "ablation"]}
    assert told({"gates": gates, "grid": [{"gates": ["far"], "methods": ["ablation"]}]}, vectors=vectors) == (
        "config.yaml, rollouts.grid[0].gates: far, and ablation makes edits and no vector, along which rows could lie"
    )
    assert told({"gates": gates, "grid": [{"gates": ["always", "far"]}]}, vectors=vectors) == ""
