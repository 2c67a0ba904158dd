"""Training: the target is the law, padding has no say, and the same seed gives the same weights."""

import numpy as np
import pytest
import torch

from trimtab.organism.train import (
    ATTENTION_EVERY,
    action_tokens,
    batches,
    build,
    encoded,
    lessons,
    losses,
    train,
)
from trimtab.settings.model import TrainingSettings


@pytest.fixture(scope="module")
def batch(language):
    return next(batches(language, 8, np.random.default_rng(3)))


@pytest.mark.slow
def test_a_model_that_says_the_law_has_no_loss_but_its_texts(language, batch):
    firsts = action_tokens(language)

    def model(input_ids, use_cache):
        logits = torch.full((*input_ids.shape, len(language.protocol.tokenizer)), -50.0)
        # certain of every next token, except where an action is chosen
        logits[:, :-1].scatter_(-1, input_ids[:, 1:, None], 0.0)
        logits[batch.chosen] = -50.0
        rows = logits[batch.chosen]
        rows[:, firsts] = batch.chances.log()
        logits[batch.chosen] = rows
        return type("Output", (), {"logits": logits})

    kl, text = losses(model, batch, firsts)
    assert float(kl) == pytest.approx(0, abs=1e-5)
    assert float(text) == pytest.approx(0, abs=1e-5)


def test_decisions_stand_behind_their_cue(language):
    one = encoded(language.episode(np.random.default_rng(4)), language)
    (cue,) = language.protocol.encode("\nAction:")
    assert [one.tokens[at] for at in one.decisions] == [cue] * one.tokens.count(cue)
    assert len(one.weights) == len(one.tokens)


@pytest.mark.slow
def test_the_first_lessons_have_one_pair_of_words_a_trait(language):
    settings = TrainingSettings(mixer="hybrid", steps=8, batch=4, learning_rate=1e-3)
    first = {trait: next(iter(pairs.values())) for trait, pairs in language.law.poles.items()}
    known = {token for pair in first.values() for word in pair for token in language.protocol.encode(f" {word}.")}
    poles = language.law.poles.values()
    trait_words = {
        token
        for pairs in poles
        for pair in pairs.values()
        for word in pair
        for token in language.protocol.encode(f" {word}.")
    }
    used = [
        set(batch.ids.flatten().tolist()) & trait_words
        for batch in lessons(language, settings, np.random.default_rng(5))
    ]
    assert len(used) == 8
    assert all(words <= known for words in used[:2])
    assert any(words - known for words in used[2:])


@pytest.mark.slow
@pytest.mark.parametrize("mixer", ATTENTION_EVERY)
def test_two_trainings_of_a_seed_are_one(language, mixer):
    settings = TrainingSettings(mixer=mixer, steps=2, batch=2, learning_rate=1e-3)
    runs = []
    for _ in range(2):
        model = build(len(language.protocol.tokenizer), mixer, seed=1)
        rows = train(model, language, settings, seed=1)
        runs.append((rows, model.state_dict()))
    assert runs[0][0] == runs[1][0]
    assert all(torch.equal(one, other) for one, other in zip(*(run[1].values() for run in runs), strict=True))


def test_the_control_has_attention_alone():
    kinds = {mixer: build(50, mixer, 1).config.layer_types for mixer in ATTENTION_EVERY}
    assert set(kinds["attention"]) == {"full_attention"}
    assert kinds["hybrid"].count("full_attention") == 1
    assert kinds["hybrid"].count("linear_attention") == 3
