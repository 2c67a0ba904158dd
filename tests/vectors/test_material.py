"""Rows reach the makers in pairs, from the splits that they may use."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import D_MODEL, llama

from trimtab import files, tensors
from trimtab.activations.capture import Prompt
from trimtab.activations.reader import Cache
from trimtab.activations.shards import write_shard
from trimtab.errors import TrimtabError
from trimtab.vectors.makers import Direction, make
from trimtab.vectors.material import DEVELOPMENT, TEST, gather, held_out_gap, poles

LAYER = 2
SPLITS = {"pair-b": "fit", "pair-a": "select", "pair-c": "test", "pair-d": "test", "pair-e": "test"}
AXIS = torch.nn.functional.one_hot(torch.tensor(0), D_MODEL).float()


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """Contrast prompts and their cache: the prompt `<kind>/<pair>/<pole>` has tokens of its own."""
    folder = tmp_path_factory.mktemp("artifacts")
    rows, prompts = [], []
    for at, (pair, split) in enumerate(SPLITS.items()):
        for pole in ("low", "high"):
            for kind in ("opening", "instruction"):
                name = f"{kind}/{pair}/{pole}"
                rows.append({"id": name, "kind": kind, "pair": pair, "pole": pole, "split": split})
                prompts.append(Prompt(name, [3 + at, 20 + at, {"low": 50, "high": 60}[pole], 70 + len(kind)]))
    files.write_jsonl(folder / "contrast.jsonl", rows)
    described = {"model": "tiny", "revision": None, "dtype": "float32", "d_model": D_MODEL, "weights": {}}
    write_shard(
        folder / "cache.h5", llama(), prompts, [LAYER], "last", described, {"token_budget": 64, "chunk_rows": 8}, {}
    )
    return folder


def sides(artifacts, splits=TEST, kind="opening"):
    return poles(artifacts / "contrast.jsonl", artifacts / "cache.h5", LAYER, kind, splits)


def gap(artifacts, unit):
    return held_out_gap(Direction(unit, 1.0), artifacts / "contrast.jsonl", artifacts / "cache.h5", LAYER, "opening")


@pytest.mark.parametrize("kind", ["opening", "instruction"])
def test_row_n_of_both_poles_is_pair_n(artifacts, kind):
    with Cache.open(artifacts / "cache.h5") as cache:
        rows = dict(zip(cache.prompt_ids, cache.rows(LAYER), strict=True))
    for splits, pairs in ((DEVELOPMENT, ["pair-a", "pair-b"]), (TEST, ["pair-c", "pair-d", "pair-e"])):
        for pole, side in zip(("high", "low"), sides(artifacts, splits, kind), strict=True):
            assert torch.equal(side, torch.stack([rows[f"{kind}/{pair}/{pole}"] for pair in pairs]))


def test_no_pair_is_a_one_line_error(artifacts):
    with pytest.raises(TrimtabError, match=r"contrast.jsonl: no opening pairs in split calibrate$"):
        sides(artifacts, ("calibrate",))


def test_a_gap_by_hand(artifacts):
    high, low = sides(artifacts)
    along = (high - low)[:, 0].double()
    assert gap(artifacts, AXIS) == pytest.approx(float(along.mean() / along.std()))


def test_the_held_out_gap_is_positive_towards_the_high_pole_and_turns_with_the_direction(artifacts):
    high, low = sides(artifacts)
    towards = (high - low).mean(0)
    unit = towards / towards.norm()
    assert gap(artifacts, unit) > 0
    assert gap(artifacts, -unit) == -gap(artifacts, unit)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_the_gap_has_no_unit(artifacts, seed):
    direction = torch.randn(D_MODEL, generator=torch.Generator().manual_seed(seed))
    assert gap(artifacts, 4 * direction) == pytest.approx(gap(artifacts, direction), rel=1e-9)


def test_material_is_gathered_at_the_probes_layer(artifacts, tmp_path):
    fitted = {
        name: torch.full((size,), float(at))
        for at, (name, size) in enumerate(
            [
                ("weight", 5),
                ("mean", 5),
                ("scale", 5),
                ("raw.weight", D_MODEL),
                ("raw.mean", D_MODEL),
                ("raw.scale", D_MODEL),
            ]
        )
    }
    tensors.save(tmp_path / "probe.safetensors", fitted, {})
    tensors.save(tmp_path / str(LAYER) / "sae_weights.safetensors", {"W_dec": torch.eye(5, D_MODEL)}, {})
    contrast, cache = artifacts / "contrast.jsonl", artifacts / "cache.h5"
    weights = tmp_path / "probe.safetensors"
    material = gather("autonomy", {"layer": LAYER}, weights, contrast, cache, tmp_path, "opening", 3)
    high, low = sides(artifacts, DEVELOPMENT)
    assert torch.equal(material.high, high)
    assert torch.equal(material.low, low)
    assert material.latent_probe.scale.tolist() == [2.0] * 5
    assert material.residual_probe.weight.tolist() == [3.0] * D_MODEL
    torch.testing.assert_close(
        make("mean_difference", material).unit * (high - low).mean(0).norm(), (high - low).mean(0)
    )
