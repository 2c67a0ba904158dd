"""Every method that is trained through the model, on the prompts of a run: budget, cuts, kills, and PEFT's own sums."""

import pytest
import torch
from material_of import Kept, dictionary, material
from spoken import LAYER, POLES, built, protocol_of, readings
from tiny import D_MODEL

from trimtab.forward.sites import Site
from trimtab.saes.checkpoint import TrainingCheckpoint
from trimtab.steering.packing import pack
from trimtab.vectors import training
from trimtab.vectors.contract import Direction, make
from trimtab.vectors.cost import Cost, Metered
from trimtab.vectors.methods import TRAINED, members
from trimtab.vectors.objective import Plan

PASSES = 16
READ = {"lora": 1, "lin_eas": 1, "reft_r1": 1, "reps": 4}
"""Prompts of a pair that a step reads; 2 for the others."""
SITES = {
    "lora": {"2.self_attn.o_proj", "2.mlp.down_proj", "3.self_attn.o_proj", "3.mlp.down_proj"},
    "lin_eas": {"0", "2"},
}
pytestmark = [pytest.mark.slow, pytest.mark.parametrize("name", members(TRAINED))]


@pytest.fixture(scope="module")
def spoken():
    protocol = protocol_of(POLES)
    return protocol, built(protocol, initializer_range=0.1)


def of_prompts(spoken, **plan):
    """Of four pairs two are trained on, and the other two are the same again."""
    protocol, model = spoken
    metered = Metered(readings(protocol, model, [pole * 2 for pole in POLES]))
    rows = {layer: metered.at(Site(layer)) for layer in (0, LAYER, 2)}
    high, low = rows[LAYER]
    return material(
        layer=LAYER,
        high=high,
        low=low,
        rows=Kept({layer: rows[layer] for layer in (0, 2)}),
        selecting=[False, False, True, True],
        sae=dictionary(torch.eye(9, D_MODEL)),
        settings={"yapo": {"top": 4, "rate": 0.5}, "lin_eas": {"rate": 0.2}, "reft_r1": {"rate": 0.005}},
        readings=metered,
        training=Plan(**{"passes": PASSES, "looks": 2, **plan}),
    )


def tensors(made):
    """All numbers that a method made, by name."""
    if isinstance(made, Direction):
        return {"vector": made.raw_norm * made.unit}
    return pack(made)[0]


def test_each_is_made_within_its_budget(spoken, name):
    """Edits do to the high pole's words what they were trained for."""
    parts = of_prompts(spoken)
    before = parts.readings.cost
    made = make(name, parts)
    if name in SITES:
        assert {str(edit.site) for edit in made} == SITES[name]
    read, first = READ.get(name, 2), 4 if name == "yapo" else 0
    last = parts.training.trained[-1].curve[-1]
    assert (last.step, last.passes) == ((PASSES - first) // (2 * read), PASSES - first)
    spent = parts.readings.cost - before
    assert spent.backwards == PASSES
    if name == "lora":
        told = parts.readings.margins(made, [0, 1], POLES)
        assert float(told[1].mean()) > float(told[0].mean())
        # the writers' own pass, and three looks at two prompts
        assert spent == Cost(1 + PASSES + 6, PASSES)


def test_the_result_is_the_same_whatever_batches_are_cut_into(spoken, name):
    whole, cut = (tensors(make(name, of_prompts(spoken, together=together))) for together in (8, 1))
    assert whole.keys() == cut.keys()
    for key, value in whole.items():
        assert float((cut[key] - value).norm()) <= 1e-3 * float(value.norm())


def test_a_killed_training_goes_on_with_the_same_bytes(spoken, name, tmp_path, monkeypatch):
    def made():
        def kept(number):
            return TrainingCheckpoint(tmp_path / f"{number}", [name], seconds=0)

        return tensors(make(name, of_prompts(spoken, checkpoint=kept)))

    take = training._Run.take

    def killed(run):
        if run.step == 1:
            raise KeyboardInterrupt
        take(run)

    monkeypatch.setattr(training._Run, "take", killed)
    with pytest.raises(KeyboardInterrupt):
        made()
    monkeypatch.setattr(training._Run, "take", take)
    assert (tmp_path / "0").exists()
    whole, again = tensors(make(name, of_prompts(spoken))), made()
    assert {key: value.numpy().tobytes() for key, value in again.items()} == {
        key: value.numpy().tobytes() for key, value in whole.items()
    }
