"""Off-topic detectors: planted ones are found, and what ablating latents does is what the model's own pass says."""

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import D_MODEL, llama

from trimtab.evaluations import items
from trimtab.evaluations.conclusions import Means
from trimtab.evaluations.contract import measure
from trimtab.evaluations.evaluators import off_topic
from trimtab.evaluations.evaluators.off_topic import detectors, firing, random_latents, without
from trimtab.evaluations.items import Passage
from trimtab.evaluations.steered import Dictionary, Steered
from trimtab.forward.sites import Site
from trimtab.prompts import resources
from trimtab.rollouts.conditions import Condition
from trimtab.rollouts.episode import Arm
from trimtab.saes.sae import SAE, JumpReLUActivation
from trimtab.steering.edits import added

LATENTS = 24
OWN, OTHER = torch.eye(D_MODEL)[0], torch.eye(D_MODEL)[1]
"""What a token is about, and what the tokens up to it are about on average."""


def condition(name, layer=1):
    return Condition(name, "study", "sae_probe", "autonomy", None, 0.4, "residual_share", "all", layer, "add")


def held(protocol, model, sae, arms, layer=1):
    return Steered(
        model=model,
        protocol=protocol,
        offsets={},
        points={},
        measured={},
        conditions=[condition(arm.condition_id) for arm in arms],
        arms=arms,
        beside={"take_backs": items.read(resources.RESOURCES, "take_backs")},
        dictionaries={layer: Dictionary(Site(layer), sae)},
    )


def jumprelu(encoder, bias):
    decoder = torch.nn.functional.normalize(encoder, dim=1)
    return SAE(encoder.T.clone(), bias, decoder, torch.zeros(D_MODEL), JumpReLUActivation(torch.zeros(len(bias))))


def test_detectors_by_hand():
    """Silent in both, in one of two as they are, in one of two off topic, and never."""
    matched = torch.tensor([[0, 0, 1, 0, 0], [0, 0, 0, 0, 1]], dtype=torch.bool)
    deranged = torch.tensor([[1, 0, 1, 1, 1], [1, 0, 1, 0, 1]], dtype=torch.bool)
    assert detectors(matched, deranged, 0.8) == [0]
    assert detectors(matched, deranged, 0.5) == [0, 3]
    assert detectors(matched[:1], deranged[:0], 0.5) == []


def test_random_latents_are_others_that_fire_off_topic():
    deranged = torch.zeros(4, 10, dtype=torch.bool)
    deranged[0, [1, 2, 5, 7]] = True
    drawn = [random_latents(deranged, [2], seed) for seed in range(20)]
    assert {each for one in drawn for each in one} == {1, 5, 7}
    assert {len(one) for one in drawn} == {1}
    assert random_latents(deranged, [2], 3) == random_latents(deranged, [2], 3)
    # there are no three others beside three
    assert random_latents(deranged, [1, 2, 5], 0) == []


def topics(protocol, words):
    """A model whose tokens are about one of two things by their word, and about what those before them are about on
    average; with nothing but that in its rows."""
    model = llama(
        vocab_size=len(protocol.tokenizer), max_position_embeddings=2048, num_hidden_layers=2, num_key_value_heads=4
    )
    model.model.embed_tokens.weight.zero_()
    for sign, word in zip((1.0, -1.0), words, strict=True):
        model.model.embed_tokens.weight[protocol.as_text(word)] = sign * OWN
    first, second = model.model.layers
    for layer in (first, second):
        layer.mlp.down_proj.weight.zero_()
    second.self_attn.o_proj.weight.zero_()
    first.self_attn.q_proj.weight.zero_()
    first.self_attn.v_proj.weight.copy_(torch.outer(OTHER, OWN) / D_MODEL**0.5)
    first.self_attn.o_proj.weight.copy_(torch.eye(D_MODEL))
    return model


def test_planted_detectors_are_all_that_is_found(protocol):
    """One for each way to leave a topic of two, beside latents of the topics themselves and random ones."""
    words = " lake", " tax"
    one, two = (Passage(word.strip(), word * 6, word * 3) for word in words)
    one_way, other_way = OTHER - OWN, OWN - OTHER
    random = torch.randn(LATENTS, D_MODEL, generator=torch.Generator().manual_seed(0)).abs()
    encoder = torch.stack([one_way, other_way, OWN, -OWN, OTHER, -OTHER, *random])
    # on topic both say the same; off topic the mean lags behind
    bias = torch.tensor([-1.0, -1.0, *[0.0] * 4, *[0.5] * LATENTS])
    sae = jumprelu(encoder, bias)
    steered = held(protocol, topics(protocol, words), sae, [Arm("unsteered")])
    matched, deranged = firing(steered, steered.dictionaries[1], [one, two])
    assert detectors(matched, deranged, 0.5) == [0, 1]
    # each way is half of the ways
    assert detectors(matched, deranged, 0.6) == []
    # by the rows that the model must have: what a token is about, and the mean of all up to it
    for found, continuation in ((matched, (one, two)), (deranged, (two, one))):
        for row, given, after in zip(found, (one, two), continuation, strict=True):
            before = [*protocol.start, *protocol.as_text(given.given)]
            first, second = map(protocol.as_text, words)
            tokens = [*before, *protocol.as_text(after.follows)]
            about = np.array([float(token in first) - float(token in second) for token in tokens])
            mean = np.cumsum(about) / np.arange(1, len(about) + 1)
            rows = np.stack([about, mean], axis=1)[len(before) :]
            says = rows @ encoder[:, :2].double().numpy().T + bias.double().numpy()
            assert row.tolist() == (says > 0).any(0).tolist()


@pytest.fixture(scope="module")
def steered(protocol):
    """Unsteered, and pushed, with a dictionary of random latents."""
    random = torch.Generator().manual_seed(3)
    encoder = torch.nn.functional.normalize(torch.randn(LATENTS, D_MODEL, generator=random))
    model = llama(
        vocab_size=len(protocol.tokenizer), max_position_embeddings=2048, num_hidden_layers=3, initializer_range=0.3
    )
    arms = [Arm("unsteered"), Arm("push", added(1, encoder[0], 3.0))]
    return held(protocol, model, jumprelu(encoder, torch.zeros(LATENTS)), arms)


@pytest.fixture(scope="module")
def passages():
    return items.read(resources.RESOURCES, "passages")[:6]


def missed(steered, text, back, push, latents):
    """Nats a token by which the model misses a sentence after a text, with PyTorch's own hooks."""
    sae = steered.dictionaries[1].sae

    def changed(module, inputs, output):
        rows = output + push * sae.W_dec[0]
        read = (rows @ sae.W_enc[:, latents]).clamp_min(0)
        return rows - read @ sae.W_dec[latents]

    given, tokens = steered.protocol.as_text(text), steered.protocol.as_text(back)
    handle = steered.model.model.layers[1].register_forward_hook(changed)
    try:
        with torch.inference_mode():
            logits = steered.model(torch.tensor([[*given, *tokens]])).logits[0].double()
    finally:
        handle.remove()
    told = torch.log_softmax(logits, dim=-1)[len(given) - 1 : -1]
    return -float(told.gather(1, torch.tensor(tokens)[:, None]).mean())


@pytest.mark.parametrize("latents", [[], [2, 5]])
def test_noticing_is_the_models_own_with_and_without_latents(steered, passages, latents):
    held_out = [0, 2, 4]
    if latents:
        found = without(steered, passages, held_out, {1: latents})
    else:
        found = off_topic.noticed(steered, passages, held_out)
    for row, push in zip(found, (0.0, 3.0), strict=True):
        for value, at in zip(row.tolist(), held_out, strict=True):
            back = steered.beside["take_backs"][at % 4].given
            own, other = passages[at], passages[(at + 2) % 6]
            on = missed(steered, own.given + own.follows, back, push, latents)
            off = missed(steered, own.given + other.follows, back, push, latents)
            assert value == pytest.approx(on - off, abs=1e-4)


def test_where_there_is_nothing_to_ablate_there_is_no_number(steered, passages):
    assert without(steered, passages, [0, 2], {1: []}).isnan().all()
    assert without(steered, passages, [0, 2], {}).isnan().all()


def test_each_half_is_measured_by_what_the_other_tells(steered, passages, monkeypatch):
    """Detectors are found on texts that nothing is measured on, and are counted where they are ablated."""
    learned = []

    def planted(steered, dictionary, items):
        learned.append([each.id for each in items])
        deranged = torch.zeros(4, LATENTS, dtype=torch.bool)
        deranged[:, 3:8] = True
        # the second half has one detector more
        matched = torch.zeros(2, LATENTS, dtype=torch.bool)
        matched[0, (4 if len(learned) == 1 else 5) : 8] = True
        return matched, deranged

    monkeypatch.setattr(off_topic, "firing", planted)
    table = measure("off_topic", steered, passages)
    ids = [each.id for each in passages]
    assert learned == [ids[1::2], ids[0::2]]
    rows = table[table["condition_id"] == "push"]
    assert rows["scenario_id"].tolist() == ids
    assert rows["detectors"].tolist() == [1, 2, 1, 2, 1, 2]
    plain = off_topic.noticed(steered, passages, [0, 2, 4])[1]
    expected = without(steered, passages, [0, 2, 4], {1: [3]})[1] - plain
    assert rows["without_detectors"].tolist()[::2] == pytest.approx(expected.tolist())
    assert rows["without_random"].notna().all()
    assert rows["without_random"].tolist() != rows["without_detectors"].tolist()


def test_detectors_are_held_against_random_latents():
    columns = ["condition_id", "scenario_id", "seed", *off_topic.MEASURES]
    rows = [("push", f"s{at}", 0, 0.5, 3.0, -0.4 - 0.1 * at, -0.1) for at in range(3)]
    (told,) = off_topic.concluded(Means.of(pd.DataFrame(rows, columns=columns), 50, 0), [condition("push")])
    assert told.values[0] == pytest.approx(-0.4)
    assert told.subject == "push"
