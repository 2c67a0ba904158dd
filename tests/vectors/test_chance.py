"""Random directions of the tables: their names, their covariance, their lengths, and what is read under them."""

import pandas as pd
import pytest
import torch
from recorded import scenario
from tiny import D_MODEL, LAYERS, llama

from trimtab.agent.calibration import dose_prompts
from trimtab.agent.names import RANDOM
from trimtab.agent.points import OPENING, START, Point
from trimtab.forward.sites import ATTENTION_OUT, Sites
from trimtab.steering.edits import added
from trimtab.vectors.calibrate import CalibrationPrompts
from trimtab.vectors.chance import chance_decisions, draw, lengths, table
from trimtab.vectors.comparison import of_traits
from trimtab.vectors.decisions import DecisionReader, situations
from trimtab.vectors.drawn import CORPUS_RANDOM, KINDS, beyond

LAYER, KL = 1, 0.05
TASKS = {"data": ["Add up the rows.", "Find the mean.", "Plot it.", "Sort it."]}


@pytest.fixture(scope="module")
def model(protocol):
    return llama(vocab_size=len(protocol.tokenizer), max_position_embeddings=2048, initializer_range=0.3)


@pytest.fixture(scope="module")
def prompts(model, protocol):
    return CalibrationPrompts(model, dose_prompts(protocol, TASKS), LAYER)


@pytest.fixture(scope="module")
def corpus():
    generator = torch.Generator().manual_seed(3)
    stretched = torch.linspace(0.1, 3, D_MODEL, dtype=torch.float64)
    return torch.randn(200, D_MODEL, generator=generator, dtype=torch.float64) * stretched + 5


def test_names_go_on_after_the_vectors_own():
    assert beyond(RANDOM, 4, ["random_0", "lda", "random_1", "corpus_random_0"]) == ["random_2", "random_3"]
    assert beyond(CORPUS_RANDOM, 3, ["random_0", "corpus_random_0"]) == ["corpus_random_1", "corpus_random_2"]
    assert beyond(RANDOM, 2, ["random_0", "random_1", "random_2"]) == []


def test_a_direction_of_the_corpus_varies_as_its_rows_do(corpus):
    """Along coordinates of very different spread; one of the sphere lies in all alike."""
    drawn = {
        kind: torch.stack([draw(kind, f"{kind}_{n}", LAYER, corpus, 1).unit for n in range(400)]).double()
        for kind in KINDS
    }
    for units in drawn.values():
        torch.testing.assert_close(units.norm(dim=1), torch.ones(400).double(), rtol=1e-5, atol=1e-6)
        assert float(units.mean(0).abs().max()) < 0.1
    spread = corpus.std(0) / corpus.std(0).norm()
    torch.testing.assert_close(drawn[CORPUS_RANDOM].std(0), spread, rtol=0.25, atol=0.02)
    torch.testing.assert_close(drawn[RANDOM].std(0), torch.full((D_MODEL,), D_MODEL**-0.5).double(), rtol=0.2, atol=0)


def test_a_direction_is_the_same_again_and_another_at_another_layer(corpus):
    for kind in KINDS:
        first, again, other = (draw(kind, f"{kind}_7", layer, corpus, 1).unit for layer in (1, 1, 2))
        assert torch.equal(first, again)
        assert not torch.allclose(first, other)


@pytest.mark.slow
def test_every_length_has_the_kl_wherever_its_search_sets_out(prompts, corpus):
    drawn = [draw(RANDOM, f"random_{n}", LAYER, corpus, 1) for n in range(3)]
    by_guess = [lengths(prompts, LAYER, drawn, KL, guess) for guess in (2.0, 8.0)]
    for each in drawn:
        for found in by_guess:
            (kl,) = prompts.kl([added(LAYER, each.unit, found[each.name])])
            assert kl == pytest.approx(KL, rel=0.021)


def test_at_attentions_output_a_length_has_the_kl_there(model, protocol, corpus):
    sites = Sites(ATTENTION_OUT, ("self_attn",) * LAYERS)
    there = CalibrationPrompts(model, dose_prompts(protocol, TASKS), sites.at(LAYER).after)
    each = draw(RANDOM, "random_0", LAYER, corpus, 1)
    found = lengths(there, LAYER, [each], KL, 2.0, sites)
    at_site, after = there.kl([added(place, each.unit, found["random_0"]) for place in (sites.at(LAYER), LAYER)])
    assert at_site == pytest.approx(KL, rel=0.021)
    assert after != pytest.approx(KL, rel=0.021)


@pytest.mark.slow
def test_what_is_read_under_a_direction_is_what_its_push_does(model, protocol, prompts, corpus):
    read = situations({START: Point(OPENING)}, [scenario("web_search", name="a")])
    offsets = {START: dict.fromkeys(protocol.tools, 0.0)}
    reader = DecisionReader(model, protocol, offsets, read, LAYER)
    wanted = ["random_4", "corpus_random_1", "corpus_random_2"]
    found = table(chance_decisions(prompts, reader, LAYER, corpus, wanted, KL, 4.0, 1), LAYER, read, protocol.tools)
    assert found["method"].tolist() == ["random_4", "corpus_random_1", "corpus_random_2"]
    for row in found.to_dict("records"):
        kind = CORPUS_RANDOM if row["method"].startswith("corpus") else RANDOM
        push = added(LAYER, draw(kind, row["method"], LAYER, corpus, 1).unit, row["length"])
        expected = reader.chances([push])[0, 0].tolist()
        assert [row[f"p_{tool}"] for tool in protocol.tools] == pytest.approx(expected, abs=1e-5)
    elsewhere = pd.concat([found, found.assign(layer=2, method="random_9")])
    sits = {"layers": [{"layer": LAYER, "traits": ["deference", "autonomy"]}, {"layer": 0, "traits": ["persistence"]}]}
    own = list(of_traits(elsewhere, sits))
    assert [set(each["trait"]) for each in own] == [{"deference"}, {"autonomy"}]
    for each in own:
        assert each["method"].tolist() == found["method"].tolist()
        assert "length" not in each
