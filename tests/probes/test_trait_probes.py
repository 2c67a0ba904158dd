"""One trait's probes from synthetic caches to artifacts, and data that can't be probed."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from trimtab.activations.layout import FORMAT, IDENTITY, Layout
from trimtab.activations.store import shard
from trimtab.errors import TrimtabError
from trimtab.probes.contrast import Contrast, read
from trimtab.probes.report import probe_trait, weights_of
from trimtab.probes.scored import NO_LAYER
from trimtab.saes.baselines import random_directions
from trimtab.saes.sae import SAE, TopKActivation
from trimtab.settings.probes import ProbeSettings

SETTINGS = ProbeSettings(penalties=[0.1, 10.0, 1000.0], folds=3, shuffles=4, protocol="nested")
D = 8


def dictionary():
    both = torch.cat([torch.eye(D), -torch.eye(D)])
    return SAE(both.T.contiguous(), torch.zeros(2 * D), both, torch.zeros(D), TopKActivation(D))


def contrast(seed=0, strength=3.0, templates=8, pairs=4):
    """Two layers, of which layer 7 holds the trait in its first dimension; a last template is lexical, without it."""
    generator = torch.Generator().manual_seed(seed)
    n = (templates + 1) * pairs * 2
    labels = torch.arange(n, dtype=torch.float64) % 2
    raw = {layer: torch.randn(n, D, generator=generator, dtype=torch.float64) for layer in (3, 7)}
    raw[7][: templates * pairs * 2, 0] += (strength * (labels - 0.5))[: templates * pairs * 2]
    names = [f"t{i // (2 * pairs)}" for i in range(n)]
    splits = {f"t{t}": ["fit", "fit", "select", "test"][t % 4] for t in range(templates)} | {f"t{templates}": "lexical"}
    sae = dictionary()
    return Contrast(
        labels=labels,
        pairs=[f"p{i // 2}" for i in range(n)],
        templates=names,
        splits=[splits[name] for name in names],
        domains=[f"d{(i // 2) % 2}" for i in range(n)],
        sub_behaviours=[f"s{int(name[1:]) % 2}" for name in names],
        texts=[f"I {'will' if label else 'will not'} do {name}" for label, name in zip(labels, names, strict=True)],
        raw=raw,
        latents={layer: sae.latents(rows.float()).double() for layer, rows in raw.items()},
        untrained={
            layer: random_directions(sae.b_dec, len(sae.b_enc), D, seed=layer).latents(rows.float()).double()
            for layer, rows in raw.items()
        },
    )


@pytest.mark.slow
def test_the_trait_is_found_at_its_layer_and_not_in_the_controls():
    probes = probe_trait("autonomy", contrast(), contrast(seed=1, strength=0.0), SETTINGS, seed=0)
    assert probes.chosen.layer == 7
    table = pd.DataFrame(probes.rows)
    headline = table[(table.features == "sae") & (table.split == "nested_with_layer")].iloc[0]
    assert headline.r2 > 0.3
    assert headline.auc > 0.85
    shuffled = table[(table.features == "sae") & (table.split == "shuffled")]
    assert (shuffled.r2 < 0.1).all()
    controls = probes.controls["sae"]
    for pairs in ("null", "lexical"):
        assert abs(controls[pairs]["mean"]) < controls["test"]["mean"] / 2
        assert controls[pairs]["standardised"] < controls["test"]["standardised"]
    # six templates of fit and select can be swapped in 32 ways, complements apart, one of them the labels
    assert len(controls["shuffled"]) == 31
    assert (headline.r2_p, headline.n_labelings) == (1 / 32, 32)
    assert headline.r2_chance_sd > 0.02
    assert headline.layer_support == probes.layer_support["sae"][7] > 0.9
    assert probes.association.argmax() == 0


@pytest.mark.slow
def test_the_table_holds_every_layer_feature_kind_and_split():
    probes = probe_trait("autonomy", contrast(), contrast(seed=1, strength=0.0), SETTINGS, seed=0)
    table = pd.DataFrame(probes.rows)
    for split in ("nested", "test", "shuffled"):
        grid = table[table.split == split]
        kinds = ["raw", "sae"] if split == "shuffled" else ["raw", "raw_logistic", "sae", "sae_logistic"]
        assert sorted(zip(grid.features, grid.layer, strict=True)) == [(kind, at) for kind in kinds for at in (3, 7)]
        assert grid.groupby("features").chosen.sum().eq(1).all()
    assert set(table[table.split == "test"].n_templates) == {2}
    assert set(table[table.split == "nested"].n_templates) == {6}
    for split in ("domains", "sub_behaviours"):
        assert sorted(table[table.split == split].features) == ["raw", "raw_logistic", "sae", "sae_logistic"]
    # two templates give no interval, six do, and it holds the score
    assert table[table.split == "test"].r2_lower.isna().all()
    nested = table[table.split == "nested"]
    assert ((nested.r2_lower <= nested.r2) & (nested.r2 <= nested.r2_upper)).all()


@pytest.mark.slow
def test_wording_and_untrained_latents_are_scored_beside():
    """The texts give their label away, so words reach all there is; where no layer holds the trait, latents don't."""
    probes = probe_trait("autonomy", contrast(strength=0.0), contrast(seed=1, strength=0.0), SETTINGS, seed=0)
    scores = pd.DataFrame(probes.rows).query("split == 'nested_with_layer'").set_index("features")
    assert scores.loc["words", "r2"] > 0.95
    assert scores.loc["words", "layer"] == NO_LAYER
    assert scores.loc["untrained", "r2"] < 0.2
    assert scores.loc["sae", "r2"] < 0.2


@pytest.mark.slow
def test_the_studys_protocol_puts_the_probe_where_its_rule_says():
    settings = SETTINGS.model_copy(update={"protocol": "study"})
    probes = probe_trait("autonomy", contrast(), contrast(seed=1, strength=0.0), settings, seed=0)
    chosen = probes.controls["sae"]["study"]
    assert probes.chosen == (chosen["layer"], chosen["penalty"])
    assert probes.penalties["sae"] == chosen["penalty"]
    # scores don't depend on who chooses
    usual = probe_trait("autonomy", contrast(), contrast(seed=1, strength=0.0), SETTINGS, seed=0)
    assert probes.rows == usual.rows


@pytest.mark.slow
def test_the_weights_kept_are_those_that_predict():
    clean = contrast()
    probes = probe_trait("autonomy", clean, contrast(seed=1, strength=0.0), SETTINGS, seed=0)
    kept = weights_of(probes)
    for prefix, features in (("", "latents"), ("raw.", "raw"), ("raw_logistic.", "raw")):
        rows = getattr(clean, features)[probes.chosen.layer].float()
        outputs = ((rows - kept[f"{prefix}mean"]) / kept[f"{prefix}scale"]) @ kept[f"{prefix}weight"]
        told = outputs + kept[f"{prefix}intercept"]
        name = prefix.removesuffix(".") or "sae"
        torch.testing.assert_close(told.double(), probes.fits[name].predict(rows), rtol=1e-3, atol=1e-4)
    assert len(probes.latents) == 2 * 2 * D
    assert probes.latents.query("layer == 7")["association"].argmax() == 0


@pytest.mark.slow
def test_no_test_row_has_a_say_in_choices_and_weights():
    clean = contrast()
    test = torch.tensor([split == "test" for split in clean.splits])
    for rows in (clean.raw, clean.latents):
        for layer in rows:
            rows[layer] = torch.where(test[:, None], -50 * rows[layer], rows[layer])
    null = contrast(seed=1, strength=0.0)
    usual, spoilt = (probe_trait("autonomy", each, null, SETTINGS, seed=0) for each in (contrast(), clean))
    assert usual.chosen == spoilt.chosen
    for name, tensor in weights_of(usual).items():
        assert tensor.equal(weights_of(spoilt)[name])


@pytest.mark.slow
def test_same_seed_same_numbers():
    null = contrast(seed=1, strength=0.0)
    first, again = (probe_trait("autonomy", contrast(), null, SETTINGS, seed=3) for _ in range(2))
    assert first.rows == again.rows
    assert first.controls == again.controls


def test_a_trait_with_one_template_is_refused():
    few = contrast(templates=2)
    splits = [{"t0": "fit", "t1": "test"}.get(template, "lexical") for template in few.templates]
    with pytest.raises(TrimtabError, match="nested splits need 3 or more"):
        probe_trait("autonomy", replace(few, splits=splits), contrast(seed=1), SETTINGS, seed=0)


def test_a_trait_without_test_rows_is_refused():
    with pytest.raises(TrimtabError, match="probe autonomy: split test has 0 rows; expected both poles"):
        probe_trait("autonomy", contrast(templates=3), contrast(seed=1), SETTINGS, seed=0)


def cached(path, layers):
    """A real shard of one row a prompt (id0, id1, ...): layer -> its rows."""
    first = next(iter(layers.values()))
    layout = Layout(
        layers=sorted(layers),
        d_model=first.shape[1],
        dtype=torch.float32,
        chunk_rows=8,
        prompt_ids=[f"id{row}" for row in range(len(first))],
        offsets=np.arange(len(first) + 1),
        tokens=np.zeros(len(first), np.int32),
        positions=np.zeros(len(first), np.int32),
        attributes={"format": FORMAT, IDENTITY: path.name},
    )
    with shard(path, layout) as writer:
        writer.append(0, layers)
    return path


def prompts(n, **changed):
    return [
        {
            "id": f"id{i}",
            "kind": "opening",
            "pole": ["low", "high"][i % 2],
            "pair": f"p{i // 2}",
            "template": f"t{i // 4}",
            "split": "fit",
            "domain": "coding",
            "sub_behaviour": "initiative",
            "messages": [{"role": "user", "content": f"task {i}"}, {"role": "assistant", "content": "I will."}],
        }
        | changed
        for i in range(n)
    ]


@pytest.mark.parametrize(
    ("rows", "changed", "message"),
    [
        (torch.full((4, D), math.nan), {}, "layer 3: 4 of 4 rows hold NaN or infinity"),
        (torch.ones(4, D + 1), {}, f"layer 3: width {D + 1}; its SAE takes {D}"),
        (torch.ones(4, D), {"pole": "high"}, "poles ['high'] in 4 prompts of kind opening"),
        (torch.ones(4, D), {"kind": "instruction"}, "poles [] in 0 prompts of kind opening"),
    ],
)
def test_rows_that_cannot_be_probed(tmp_path, rows, changed, message):
    path = cached(tmp_path / "autonomy.h5", {3: rows})
    with pytest.raises(TrimtabError) as caught:
        read(path, prompts(4, **changed), "opening", {3: dictionary()}, seed=0)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_rows_are_read_in_the_order_of_the_cache(tmp_path):
    rows = torch.arange(4.0)[:, None].expand(4, D)
    path = cached(tmp_path / "a.h5", {3: rows})
    read_back = read(path, prompts(4)[::-1], "opening", {3: dictionary()}, seed=0)
    assert read_back.texts[1] == "task 1 I will."
    assert read_back.labels.tolist() == [0, 1, 0, 1]
    assert read_back.pairs == ["p0", "p0", "p1", "p1"]
    torch.testing.assert_close(read_back.raw[3], rows.double())
    torch.testing.assert_close(read_back.latents[3][:, :D], rows.double())


def test_every_layer_is_read_from_its_own_rows(tmp_path):
    layers = {layer: torch.arange(4.0 * D).reshape(4, D) + 100 * layer for layer in (3, 5, 7)}
    path = cached(tmp_path / "a.h5", layers)
    read_back = read(path, prompts(4), "opening", {7: dictionary(), 3: dictionary()}, seed=0)
    assert set(read_back.raw) == set(read_back.latents) == {3, 7}
    for layer in (3, 7):
        # the dictionary passes positive rows on as they are
        torch.testing.assert_close(read_back.raw[layer], layers[layer].double())
        torch.testing.assert_close(read_back.latents[layer][:, :D], layers[layer].double())
