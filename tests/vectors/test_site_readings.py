"""Rows of contrast prompts at any site: every token's row is that of its prompt alone, and is named rightly."""

from dataclasses import replace

import pytest
import torch
from material_of import Kept, material
from spoken import nothing_due
from tiny import D_MODEL, llama

from trimtab.agent.calibration import conversations
from trimtab.agent.few_shot import FewShotProtocol, Texts
from trimtab.forward.hooks import hooked
from trimtab.forward.sites import INPUT, Site
from trimtab.organism.tokenizer import word_tokenizer
from trimtab.prompts import resources
from trimtab.steering.edits import added
from trimtab.steering.steering import Steering
from trimtab.vectors import contrast_readings
from trimtab.vectors.contract import make
from trimtab.vectors.cost import Cost, Metered
from trimtab.vectors.declared import Declared
from trimtab.vectors.methods import lin_act
from trimtab.vectors.readings import ModelReadings

FOLDER = resources.RESOURCES / "organism"
TASKS = conversations(resources.tasks(FOLDER / "tasks.yaml")["calibration"])[:2]
POLES = [
    [[*task, {"role": "assistant", "content": f"I am very {word}."}] for task, word in zip(TASKS, words, strict=True)]
    for words in (("bold", "keen and bold"), ("meek", "shy"))
]


def readings_of(protocol, model):
    return ModelReadings(
        model, protocol, 1, POLES, TASKS, "", {}, Declared("deference", {}, nothing_due, lambda: model, [], {})
    )


@pytest.fixture(scope="module")
def protocol():
    texts = Texts.of(resources.load(FOLDER / "few_shot.yaml"))
    said = [message["content"] for pole in POLES for messages in pole for message in messages]
    names = [f" {name}" for name in texts.actions.values()]
    header = FewShotProtocol(texts, word_tokenizer(names)).header()
    return FewShotProtocol(texts, word_tokenizer([*names, header, "\n\nTask:", *(f" {text}" for text in said)]))


@pytest.mark.parametrize("site", [Site(1), Site(2, "mlp.down_proj", INPUT), Site(0, "self_attn")], ids=str)
def test_every_token_of_every_prompt_has_its_row_pole_and_place(protocol, site, monkeypatch):
    # packs of three of the four prompts
    monkeypatch.setattr(contrast_readings, "PACK", 3)
    model = llama(vocab_size=len(protocol.tokenizer), max_position_embeddings=1024)
    told = readings_of(protocol, model)
    parts = [*told.tokens(site)]
    assert len(parts) == 2
    rows, pair, high, written, left = (torch.cat(field) for field in zip(*parts, strict=True))
    for pole, side in enumerate(told.at(site)):
        for number, messages in enumerate(POLES[pole]):
            header, *segments = protocol.prompt(messages)
            kept = []
            with torch.no_grad(), hooked(model, {site: kept.append}):
                model(torch.tensor([[*header.tokens, *(token for segment in segments for token in segment.tokens)]]))
            expected = kept[0][0, len(header.tokens) :]
            own = (pair == number) & (high == (pole == 0))
            torch.testing.assert_close(rows[own], expected, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(side[number], expected[-1], rtol=1e-4, atol=1e-5)
            assert written[own].tolist() == [segment.written for segment in segments for _ in segment.tokens]
            assert left[own].tolist() == [*reversed(range(len(expected)))]


def test_many_sites_are_told_as_each_is_alone(protocol):
    told = readings_of(protocol, llama(vocab_size=len(protocol.tokenizer), max_position_embeddings=1024))
    sites = [Site(2), Site(1, "self_attn.o_proj", INPUT)]
    found = told.ends(sites)
    for site in sites:
        for one, other in zip(found[site], told.at(site), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert told.heads == 4


def test_a_pass_over_all_prompts_is_paid_for_whatever_is_read_in_it(protocol):
    metered = Metered(readings_of(protocol, llama(vocab_size=len(protocol.tokenizer), max_position_embeddings=1024)))
    prompts = sum(map(len, POLES))
    metered.ends([Site(2), Site(1, "self_attn.o_proj", INPUT)])
    assert metered.cost == Cost(prompts)
    metered.in_order([0, 2], lambda layer, high, low: ())
    assert metered.cost == Cost(2 * prompts)
    # at another site on the same account
    metered.after(Site(3)).ends([Site(3)])
    assert metered.cost == Cost(3 * prompts)


def steered(protocol, model, messages, edits, layer):
    """Mean row of a prompt by itself after a layer, over all tokens after the header, under edits."""
    header, *segments = protocol.prompt(messages)
    tokens = torch.tensor([[*header.tokens, *(token for segment in segments for token in segment.tokens)]])
    steering = Steering([edits], model.device)
    kept = []
    steering.locate(torch.zeros_like(tokens), torch.zeros_like(tokens).bool(), tokens)
    with torch.no_grad(), steering.applied(model), hooked(model, {Site(layer): kept.append}):
        model(tokens)
    return kept[0][0, len(header.tokens) :].double().mean(0)


def test_layers_in_order_see_the_low_pole_under_what_came_before(protocol):
    model = llama(vocab_size=len(protocol.tokenizer), max_position_embeddings=1024)
    unit, seen = torch.ones(D_MODEL) / D_MODEL**0.5, {}

    def fit(layer, high, low):
        seen[layer] = lin_act.means(high, 2), lin_act.means(low, 2)
        return added(layer, unit, 2.0)

    assert [edit.site for edit in readings_of(protocol, model).in_order([0, 2, 3], fit)] == [Site(0), Site(2), Site(3)]
    before = {0: (), 2: added(0, unit, 2.0), 3: (*added(0, unit, 2.0), *added(2, unit, 2.0))}
    for layer, edits in before.items():
        for pole, under in ((0, ()), (1, edits)):
            for number, messages in enumerate(POLES[pole]):
                expected = steered(protocol, model, messages, under, layer)
                torch.testing.assert_close(seen[layer][pole][number], expected, rtol=1e-4, atol=1e-5)


def test_lin_act_takes_the_low_poles_means_to_the_high_poles_at_every_layer(protocol):
    """A map of tokens is the same map of their mean, so prompts' means under all maps have the other pole's mean."""
    model = llama(vocab_size=len(protocol.tokenizer), max_position_embeddings=1024)
    rows = Kept({layer: (torch.zeros(2, D_MODEL), torch.zeros(2, D_MODEL)) for layer in (0, 2, 3)})
    parts = material(high=torch.zeros(2, D_MODEL), low=torch.zeros(2, D_MODEL), rows=rows)
    edits = make("lin_act", replace(parts, readings=readings_of(protocol, model)))
    for layer in (0, 2, 3):
        high, low = (
            torch.stack([steered(protocol, model, messages, under, layer) for messages in pole]).mean(0)
            for pole, under in zip(POLES, ((), edits), strict=True)
        )
        torch.testing.assert_close(low, high, rtol=1e-2, atol=5e-3)
