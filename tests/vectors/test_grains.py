"""Integrated gradients by hand and on real models, and the vector that GrAInS makes of the tokens that they choose."""

from dataclasses import replace

import pytest
import torch
from material_of import D_MODEL as WIDTH
from material_of import Said, generator, material
from spoken import LAYER, POLES, built, protocol_of, readings
from tiny import D_MODEL, gpt2, llama, qwen3_5_moe

from trimtab.forward.hooks import hooked
from trimtab.vectors import token_readings
from trimtab.vectors.contract import make
from trimtab.vectors.cost import Cost
from trimtab.vectors.methods import grains
from trimtab.vectors.token_readings import EMBEDDED, integrated
from trimtab.vectors.transformations.shuffled import ShuffledReadings
from trimtab.vectors.unmade import CannotBeMade


@pytest.fixture(scope="module")
def protocol():
    return protocol_of(POLES)


def flat(found):
    return [each for pole in found for each in pole]


def told_by_hand(model, protocol, messages, share):
    """Log-probability of a reply where embeddings after the header are a share of what they are, by the model alone."""
    header, *rest = protocol.prompt(messages)
    ids = torch.tensor([[*header.tokens, *(token for piece in rest for token in piece.tokens)]])
    given = model.get_input_embeddings()(ids).clone()
    if model.config.model_type == "gpt2":
        given += model.transformer.wpe(torch.arange(ids.shape[1]))
    given[:, len(header.tokens) :] *= share
    with torch.no_grad(), hooked(model, {EMBEDDED: lambda stream: given}):
        told = torch.log_softmax(model(ids).logits[0].double(), dim=-1)
    words = torch.tensor([False] * len(header.tokens) + [piece.written for piece in rest for _ in piece.tokens])
    places = words.nonzero()[:, 0]
    return float(told[places - 1, ids[0, places]].sum())


# --- the rule ---


def test_the_midpoint_rule_is_exact_on_squares_and_a_left_sum_is_not():
    """Of x² from 0 to 3: 9 in any number of steps. Left ends of 20 steps would say 8.55."""
    for steps in (1, 3, 20):
        found = integrated(lambda rows: 2 * rows, torch.tensor([[3.0]]), steps)
        assert float(found) == pytest.approx(9)


def test_all_is_owed_to_the_one_token_that_counts():
    weight = torch.tensor([1.0, -2.0])

    def slope(rows):
        return torch.stack([torch.zeros(2), weight * rows[1].square(), torch.zeros(2)])

    found = integrated(slope, torch.tensor([[5.0, 1.0], [1.0, 3.0], [2.0, 2.0]]), 200)
    # of x³ / 3 - 2 y³ / 3 at (1, 3)
    assert found.tolist() == pytest.approx([0, (1 - 54) / 3, 0], rel=1e-4)


# --- on models ---


@pytest.mark.slow
@pytest.mark.parametrize("family", [llama, gpt2, qwen3_5_moe], ids=lambda family: family.__name__)
def test_what_is_owed_to_all_tokens_is_what_the_reply_gains_from_zeros(protocol, family):
    # norms that aren't sharp near zero, so that few steps are enough
    model = built(protocol, family, **({} if family is gpt2 else {"rms_norm_eps": 0.3}))
    for (messages, _), (owed,) in zip(POLES, readings(protocol, model).attributions([0], 30), strict=True):
        gained = told_by_hand(model, protocol, messages, 1.0) - told_by_hand(model, protocol, messages, 0.0)
        assert abs(gained) > 0.02
        assert float(owed.sum()) == pytest.approx(gained, rel=0.02, abs=0.002)


def test_whatever_prompts_are_read_together_the_same_is_owed(protocol, monkeypatch):
    told = readings(protocol, built(protocol))
    whole = told.attributions([0, 1], 4)
    monkeypatch.setattr(token_readings, "PACK", 1)
    for one, other in zip(flat(whole), flat(told.attributions([0, 1], 4)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)
    assert told.spent["attributions"] == Cost(48, 32)


def test_in_bfloat16_the_same_is_owed_but_for_rounding(protocol):
    plain = built(protocol)
    one = torch.cat(flat(readings(protocol, plain).attributions([0], 8)))
    other = torch.cat(flat(readings(protocol, plain.to(torch.bfloat16)).attributions([0], 8)))
    assert float(torch.cosine_similarity(one, other, dim=0)) > 0.98


def test_rows_without_some_tokens_are_those_of_the_padded_text(protocol):
    model = built(protocol)
    told = readings(protocol, model)
    found = told.without([1], [[[0, 2]], [[1]]])
    for pole, tokens in enumerate(([0, 2], [1])):
        segments = protocol.prompt(POLES[pole][1])
        ids = [token for segment in segments for token in segment.tokens]
        for at in tokens:
            ids[len(segments[0].tokens) + at] = protocol.tokenizer.pad_token_id
        with torch.no_grad():
            expected = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[LAYER + 1][0, -1]
        torch.testing.assert_close(found[pole, 0], expected, rtol=1e-3, atol=1e-5)
    whole = told.without([1], [[[]], [[]]])
    assert not torch.allclose(found, whole, atol=1e-3)


def test_prompts_whose_poles_say_the_same_prefer_neither(protocol):
    told = readings(protocol, built(protocol), [POLES[0], POLES[0]])
    with pytest.raises(CannotBeMade, match="hold the same words of the agent's own"):
        told.attributions([0, 1], 2)


@pytest.mark.slow
def test_the_vector_is_made_of_a_models_own_tokens(protocol):
    model = built(protocol)
    rows = [torch.zeros(2, D_MODEL), torch.zeros(2, D_MODEL)]
    told = readings(protocol, model)
    parts = material(layer=LAYER, high=rows[0], low=rows[1], selecting=[False, True], readings=told)
    made = make("grains", replace(parts, settings={"grains": {"steps": 2, "tokens": 3}}))
    assert made.unit.shape == (D_MODEL,)
    # the one pair that is there to fit on, of both poles
    assert told.spent == {"attributions": Cost(8, 4), "without": Cost(2)}


# --- the vector ---


def test_words_of_the_other_pole_are_set_against_those_of_the_preferred_one():
    """Tokens add 3 along the first axis to high rows and -3 to low ones, and 5 along the second to both: what both get
    has no part in the vector's sign, and with one sign for both it would be the axis."""
    axis = torch.eye(WIDTH)
    preferred = (3 * axis[0] + 0.1 * torch.randn(6, WIDTH, generator=generator(1))).double()
    other = (-3 * axis[0] + 0.1 * torch.randn(6, WIDTH, generator=generator(2))).double()
    for kind in ("component", "mean"):
        made = grains.contrast(preferred, other, kind, "GrAInS")
        back = grains.contrast(other, preferred, kind, "GrAInS")
        assert float(made.unit[0]) > 0.99
        torch.testing.assert_close(made.unit, -back.unit)
    both = 1 * axis[1].double()
    made = grains.contrast(preferred + both, other + both, "mean", "GrAInS")
    assert abs(float(made.unit[1])) < 0.1


def test_most_is_owed_to_the_first_of_a_ranking_and_the_last_token_stays():
    assert grains.most(torch.tensor([0.1, 3.0, -4.0, 2.0, 9.0]), 2) == [1, 3]
    assert grains.most(torch.tensor([0.1, 3.0]), 10) == [0]


def test_pairs_of_the_split_fit_alone_are_read():
    parts = material()
    make("grains", replace(parts, settings={"grains": {"pairs": 50}}))
    assert parts.readings.asked == {"attributions": [pair for pair, kept in enumerate(parts.selecting) if not kept]}
    with pytest.raises(CannotBeMade, match="GrAInS of autonomy: no pair is there to fit on"):
        make("grains", replace(parts, selecting=[True] * 8))


def test_of_shuffled_poles_tokens_and_rows_change_places_together():
    """Pair 0 keeps its poles and pair 1 changes them; rows are told by pole and pair, and so are tokens."""

    class Each:
        def attributions(self, pairs, steps):
            return [[torch.tensor([10.0 * pole + pair]) for pair in pairs] for pole in (0, 1)]

        def without(self, pairs, left_out):
            assert left_out == [[[0], [1]], [[10], [11]]]
            return torch.tensor([[[0.0], [1.0]], [[10.0], [11.0]]])

    told = ShuffledReadings(Each(), torch.tensor([False, True]), 0)
    assert [[float(each) for each in pole] for pole in told.attributions([0, 1], 5)] == [[0, 11], [10, 1]]
    assert told.without([0, 1], [[[0], [11]], [[10], [1]]]).flatten().tolist() == [0, 11, 10, 1]


def test_level_differences_have_no_direction():
    parts = material(
        high=torch.ones(8, WIDTH), low=torch.ones(8, WIDTH), readings=Said(ablated=torch.zeros(2, 8, WIDTH))
    )
    with pytest.raises(CannotBeMade, match="GrAInS of autonomy"):
        make("grains", parts)
