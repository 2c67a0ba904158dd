"""Rows reach the makers in pairs, from the splits that they may use."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from material_of import Said
from recorded import manifest
from tiny import D_MODEL, llama

from trimtab.activations.reader import Cache
from trimtab.activations.reading import ModelRows
from trimtab.activations.shards import write_shard
from trimtab.artifacts import files, tensors
from trimtab.errors import TrimtabError
from trimtab.forward.capture import Prompt
from trimtab.prompts.contrast import DEVELOPMENT, TEST
from trimtab.saes.files import Origin, save
from trimtab.saes.sae import SAE, TopKActivation
from trimtab.settings.activations import CaptureSettings
from trimtab.vectors.contract import Direction, make
from trimtab.vectors.material import TraitFiles, gather, held_out_gap, read_pairs

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
    capture = CaptureSettings(token_budget=64, chunk_rows=8)
    write_shard(folder / "cache.h5", ModelRows(llama()), prompts, [LAYER], "last", manifest(), capture, {})
    return folder


def sides(artifacts, splits=TEST, kind="opening"):
    pairs = read_pairs(artifacts / "contrast.jsonl", artifacts / "cache.h5", LAYER, kind, splits)
    return pairs.high, pairs.low


def gap(artifacts, unit):
    held_out = read_pairs(artifacts / "contrast.jsonl", artifacts / "cache.h5", LAYER, "opening", TEST)
    return held_out_gap(Direction(unit, 1.0), held_out)


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


@pytest.mark.slow
@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_the_gap_has_no_unit(artifacts, seed):
    direction = torch.randn(D_MODEL, generator=torch.Generator().manual_seed(seed))
    assert gap(artifacts, 4 * direction) == pytest.approx(gap(artifacts, direction), rel=1e-9)


def written(tmp_path, layer=LAYER, model="tiny"):
    """Probe weights, and an SAE of a layer and model."""
    sizes = {"": 5, "raw.": D_MODEL, "raw_logistic.": D_MODEL}
    fitted = {
        f"{prefix}{part}": torch.full((size,), float(at))
        for prefix, size in sizes.items()
        for at, part in enumerate(["weight", "mean", "scale"])
    }
    fitted |= {f"{prefix}intercept": torch.tensor(0.5) for prefix in sizes} | {"association": torch.arange(5.0)}
    tensors.save(tmp_path / "probe.safetensors", fitted, {})
    sae = SAE(torch.eye(D_MODEL, 5), torch.zeros(5), torch.eye(5, D_MODEL), torch.zeros(D_MODEL), TopKActivation(2))
    save(tmp_path / str(LAYER), sae, Origin(model, layer, 8), {})
    return tmp_path / "probe.safetensors", tmp_path


def gathered(artifacts, weights, saes, imported=()):
    probe = weights.with_suffix(".json")
    penalties = {"sae": 10.0, "raw": 5.0, "raw_logistic": 2.0}
    files.write_json(probe, {"layer": LAYER, "penalty": 10.0, "penalties": penalties})
    made = TraitFiles(artifacts / "contrast.jsonl", artifacts / "cache.h5", probe, weights, saes, "opening", imported)
    return gather("autonomy", made, manifest(), Said(), None, 3)


def test_material_is_gathered_at_the_probes_layer(artifacts, tmp_path):
    material = gathered(artifacts, *written(tmp_path))
    high, low = sides(artifacts, DEVELOPMENT)
    assert torch.equal(material.high, high)
    assert torch.equal(material.low, low)
    # pair-a is of split select, pair-b of split fit
    assert material.selecting == [True, False]
    assert material.latent_probe.scale.tolist() == [2.0] * 5
    assert material.logistic_probe.intercept == 0.5
    assert material.raw_penalties == (5.0, 2.0)
    assert (material.penalty, material.association.tolist()) == (10.0, [0, 1, 2, 3, 4])
    torch.testing.assert_close(
        make("mean_difference", material).unit * (high - low).mean(0).norm(), (high - low).mean(0)
    )
    assert material.imported is None
    assert torch.equal(material.rows(LAYER)[1], low)


def test_an_imported_vector_is_read_at_the_probes_layer(artifacts, tmp_path):
    table = torch.arange(5.0 * D_MODEL).reshape(5, D_MODEL)
    tensors.save(tmp_path / "made.safetensors", {"table": table}, {})
    material = gathered(artifacts, *written(tmp_path), imported=[tmp_path / "made.safetensors"])
    assert torch.equal(material.imported, table[LAYER + 1])


@pytest.mark.parametrize(
    ("layer", "model", "message"),
    [
        (
            4,
            "tiny",
            "metadata.hook_name: 'blocks.4.hook_resid_post'; the activations are of 'blocks.2.hook_resid_post'",
        ),
        (LAYER, "huge", "metadata.model_name: 'huge'; the activations are of 'tiny'"),
    ],
)
def test_an_sae_of_another_layer_or_model_is_refused_in_one_line(artifacts, tmp_path, layer, model, message):
    with pytest.raises(TrimtabError) as caught:
        gathered(artifacts, *written(tmp_path, layer, model))
    assert str(caught.value).endswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_rows_that_are_not_finite_are_refused_where_they_are_used(artifacts, monkeypatch, value):
    true = Cache.rows

    def spoilt(self, layer):
        rows = true(self, layer)
        for at, name in enumerate(self.prompt_ids):
            rows[at, 1] = value if name in ("opening/pair-d/low", "opening/pair-e/high") else 0.0
        return rows

    monkeypatch.setattr(Cache, "rows", spoilt)
    with pytest.raises(TrimtabError, match=r"cache.h5: layer 2: 2 of 6 rows hold NaN or infinity$"):
        sides(artifacts)
    sides(artifacts, DEVELOPMENT)


def test_a_prompt_that_was_not_captured_is_refused(artifacts, tmp_path):
    rows = files.read_jsonl(artifacts / "contrast.jsonl")
    files.write_jsonl(
        tmp_path / "contrast.jsonl", [row | {"id": row["id"].replace("pair-c", "pair-z")} for row in rows]
    )
    with pytest.raises(TrimtabError, match=r"cache.h5: no prompt opening/pair-z/high; delete the file and run again$"):
        read_pairs(tmp_path / "contrast.jsonl", artifacts / "cache.h5", LAYER, "opening", TEST)


def test_a_pair_without_a_pole_is_refused(artifacts, tmp_path):
    rows = [row for row in files.read_jsonl(artifacts / "contrast.jsonl") if row["id"] != "opening/pair-c/low"]
    files.write_jsonl(tmp_path / "contrast.jsonl", rows)
    with pytest.raises(TrimtabError, match="pair pair-c has no low pole; expected both"):
        read_pairs(tmp_path / "contrast.jsonl", artifacts / "cache.h5", LAYER, "opening", TEST)
