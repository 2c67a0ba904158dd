"""A tiny llama that speaks the packaged model's whole vocabulary."""

import packaged
import pytest
import torch
from short import SHORT
from tiny import llama

from trimtab.agent.few_shot import FewShotProtocol, Texts
from trimtab.agent.scenario import Scenario
from trimtab.forward.packed import pack_rows
from trimtab.prompts import resources
from trimtab.rollouts.engine import Engine


@pytest.fixture(scope="session")
def tokenizer():
    """With rare tokens, too, which a model draws where it knows nothing."""
    return packaged.tokenizer()


@pytest.fixture(scope="session")
def protocol(resource, tokenizer):
    return FewShotProtocol(Texts.of(resource), tokenizer)


@pytest.fixture(scope="session")
def scenarios():
    return [*map(Scenario.of, resources.scenarios()[:3])]


@pytest.fixture(scope="session")
def model(protocol):
    # large weights, so that what it writes depends on what it reads
    model = llama(vocab_size=len(protocol.tokenizer), max_position_embeddings=2048, initializer_range=0.25)
    # line ends a few times as likely as other tokens: some lines must end before their limit
    model.lm_head.weight[torch.nonzero(torch.tensor(protocol.ends)).squeeze(1)] *= 2
    # float64: a draw from 49,152 nearly equal tokens would show the rounding of a batch's shape
    model = model.double()
    pack_rows(model)
    return model


@pytest.fixture(scope="session")
def engine(model, protocol):
    return Engine(model, protocol, SHORT, dict.fromkeys(protocol.tools, 0.0))
