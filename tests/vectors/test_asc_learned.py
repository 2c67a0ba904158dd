"""The learned form of ASC: known answers by hand and on a planted model."""

import math
from dataclasses import replace

import pytest
import torch
from material_of import D_MODEL as WIDTH
from material_of import generator, material
from planted import Planted

from trimtab.forward.sites import Site
from trimtab.steering.changes import Affine
from trimtab.steering.edits import Edit
from trimtab.vectors.action_scores import kl
from trimtab.vectors.contract import make
from trimtab.vectors.methods import asc_learned
from trimtab.vectors.objective import Plan

WORDS = Planted(torch.randn(2, 10, WIDTH, generator=generator(1)), torch.randn(5, WIDTH, generator=generator(2)))


def steered(words=WORDS, **own):
    made = material(high=words.poles[0], low=words.poles[1], training=Plan(passes=1200, patience=9))
    made.readings.words = words
    return replace(made, settings={"asc_learned": own})


def moved_by(vector):
    """Mean KL of the next word, and how much likelier the high pole's words are made than the low one's."""
    edits = (Edit(Site(2), Affine(torch.ones(WIDTH), vector), 1.0),)
    told = torch.stack([WORDS.unsteered_logits, WORDS.logits([edits])[0]]).flatten(1, 2)
    high, low = WORDS.log_probabilities([edits])[0] - WORDS.unsteered
    return float(kl(told)[1].mean()), float((high - low).mean())


def test_where_nothing_is_learned_the_loss_is_that_of_the_energies_alone():
    objective = asc_learned.Asc(steered(), asc_learned.Settings(nats=0.0, price=1000.0))
    high, low = WORDS.unsteered
    expected = torch.log1p(torch.exp(low - high))
    torch.testing.assert_close(
        objective.losses(objective.start, WORDS, 1.0), expected.to(torch.float64), check_dtype=False
    )
    # there the KL is flat, so that the gradient is the first term's, whatever a nat costs
    slopes = []
    for price in (1.0, 100.0):
        objective = asc_learned.Asc(steered(), asc_learned.Settings(nats=0.0, price=price))
        slopes.append(
            objective.slopes({"vector": objective.start["vector"].requires_grad_()}, [WORDS], 1.0)[1]["vector"]
        )
    torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-5)


def test_words_of_many_tokens_count_as_those_of_few():
    """Of a pole's words at -8 nats in 4 tokens and the other's at -2 in 1 the energies are one, and the loss ln 2."""

    class Long(Planted):
        lengths = torch.tensor([[4], [1]])

        def log_probabilities(self, edits):
            return torch.tensor([[[-8.0], [-2.0]]]).expand(len(edits), -1, -1)

    objective = asc_learned.Asc(steered(), asc_learned.Settings())
    losses = objective.losses(objective.start, Long(WORDS.poles[:, :1], WORDS.head), 1.0)
    assert float(losses) == pytest.approx(math.log(2))


def test_the_vector_prefers_the_high_poles_words_and_stays_in_its_region():
    """Without a price it goes farther."""
    told = {}
    for price in (10.0, 1e-9):
        made = make("asc_learned", steered(nats=0.02, price=price))
        told[price] = moved_by(made.raw_norm * made.unit)
        assert made.towards == "the high pole's words"
    (near, gained), (far, _) = told.values()
    assert gained > 0.05
    # a mean over pairs each of which is held to the region
    assert near < 1.3 * 0.02
    assert far > 2 * near
