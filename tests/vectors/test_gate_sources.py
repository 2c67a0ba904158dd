"""A gate of the config becomes one that opens where its kind says, or is refused in one line."""

from pathlib import Path

import pytest
import torch
from chat import byte_tokenizer
from recorded import manifest, norm, record

from trimtab.artifacts import tensors
from trimtab.errors import TrimtabError
from trimtab.forward.sites import Site
from trimtab.saes.files import Origin, save
from trimtab.saes.sae import SAE, TopKActivation
from trimtab.settings.gates import EditGate
from trimtab.steering.changes import Add
from trimtab.steering.edits import Edit
from trimtab.steering.gates import ANY, Trigger
from trimtab.vectors.applications import Application
from trimtab.vectors.apply import edits
from trimtab.vectors.artifact import OwnEdits, Vector
from trimtab.vectors.dose import Scale
from trimtab.vectors.gates import GateSources, ungated

UNIT = torch.tensor([0.6, 0.8, 0.0])
MADE = Vector(Path("v.safetensors"), record(), UNIT, torch.tensor([5.0, 0.0, 2.0]))
LAYER = MADE.layer
DESCRIBED = manifest(residual_norm={LAYER: norm(10.0)})
OWN = OwnEdits(Path("o.safetensors"), record(), (Edit(Site(0), Add(UNIT), 1.0),))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One dictionary and one probe."""
    root = tmp_path_factory.mktemp("gates")
    generator = torch.Generator().manual_seed(0)
    encoder, decoder = torch.randn(2, 4, 3, generator=generator)
    bias = torch.tensor([0.5, -0.5, 0.0, 1.0])
    sae = SAE(
        encoder.T.contiguous(), bias, decoder / decoder.norm(dim=1, keepdim=True), torch.ones(3), TopKActivation(2)
    )
    save(root / "saes" / str(LAYER), sae, Origin(MADE.record.model, LAYER, 16), {})
    weights = {"weight": [2.0, 0.0, 1.0], "mean": [1.0, 1.0, 1.0], "scale": [2.0, 1.0, 0.5], "intercept": 0.25}
    named = {f"raw_logistic.{name}": torch.tensor(value) for name, value in weights.items()}
    named["association"] = torch.tensor([0.5, -2.0, 3.0, -1.0])
    tensors.save(root / "probes" / f"{MADE.trait}.safetensors", named, {})
    return root, sae


def made(folder, name="g", thing=MADE, steered=LAYER, **settings):
    sources = GateSources(
        DESCRIBED, byte_tokenizer(), folder[0] / "saes", folder[0] / "probes", {name: EditGate(**settings)}
    )
    return sources(Application(steered, "add", "all", name), thing)


ROWS = torch.randn(50, 3, generator=torch.Generator().manual_seed(3)) * 4
IDS = torch.zeros(50, dtype=torch.long)


def test_a_trigger_is_every_token_whose_text_ends_so(folder):
    tokenizer = byte_tokenizer()
    gate = made(folder, kind="trigger", texts=["\n", "?"], remembers="any")
    assert isinstance(gate, Trigger)
    assert gate.remembers == ANY
    assert {tokenizer.decode([int(token)]) for token in gate.ids} == {"\n", "?"}


def test_a_latents_gate_opens_where_its_reading_is_above_the_value(folder):
    _, sae = folder
    gate = made(folder, kind="latent", layer=LAYER, latent=1, above=0.7)
    reading = ((ROWS.double() - sae.b_dec.double()) @ sae.W_enc.double() + sae.b_enc.double())[:, 1]
    assert gate(IDS, ROWS).bool().tolist() == (reading > 0.7).tolist()
    assert gate.sites == (Site(LAYER),)


def test_a_gate_by_contrast_is_that_of_the_low_poles_latent_at_the_traits_layer(folder):
    ours, named = (
        made(folder, kind="contrast", above=0.7),
        made(folder, kind="latent", layer=LAYER, latent=1, above=0.7),
    )
    assert 0 < float(ours(IDS, ROWS).mean()) < 1
    assert torch.equal(ours(IDS, ROWS), named(IDS, ROWS))


def test_a_probes_gate_opens_where_it_says_more_than_the_probability(folder):
    gate = made(folder, kind="probe", above=0.8, remembers="first")
    standard = (ROWS.double() - 1.0) / torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64)
    chance = torch.sigmoid(standard @ torch.tensor([2.0, 0.0, 1.0], dtype=torch.float64) + 0.25)
    assert gate(IDS, ROWS).bool().tolist() == (chance > 0.8).tolist()


def test_a_projections_gate_counts_from_the_mean_row_in_shares_of_the_residual_norm(folder):
    """The mean row lies at 3 along the vector, and a fifth of the norm is 2."""
    gate = made(folder, kind="projection", above=0.2)
    assert gate(IDS, ROWS).bool().tolist() == (ROWS.double() @ UNIT.double() > 5.0).tolist()


def test_the_gate_stands_before_what_is_applied(folder):
    gate = made(folder, kind="projection", above=0.2)
    how = Application(LAYER, "floor", "decode", "g")
    (edit,) = edits(MADE, how, 0.1, "residual_share", Scale("v", 10.0, {}), gate=gate)
    assert edit.gate is gate
    (own,) = edits(
        OWN, Application(LAYER, "as_made", "all", "g"), 0.5, "residual_share", Scale("v", 10.0, {}), gate=gate
    )
    assert (own.gate, own.strength, own.timing) == (gate, 0.5, "all")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"kind": "trigger", "texts": ["never so"]}, "rollouts.gates.g.texts: 'never so'; no token of the vocabulary"),
        (
            {"kind": "latent", "layer": LAYER, "latent": 4, "above": 0.0},
            r"g.latent: 4; the dictionary of layer \d+ has 4",
        ),
        ({"kind": "probe", "above": 0.5, "steered": 0}, r"reads after layer \d+, and a condition steers after"),
        ({"kind": "projection", "above": 0.5, "thing": OWN}, "makes edits and no vector, along which rows could lie"),
    ],
)
def test_what_can_not_be_made_is_told_in_one_line(folder, settings, told):
    with pytest.raises(TrimtabError, match=told) as error:
        made(folder, **settings)
    assert str(error.value).startswith("config.yaml, rollouts.gates.g")


def test_no_gate_is_none_and_an_unknown_one_an_error(folder):
    assert ungated(Application(LAYER, "add", "all"), MADE) is None
    with pytest.raises(TrimtabError, match="gate g is asked for, and no gates are known"):
        ungated(Application(LAYER, "add", "all", "g"), MADE)
