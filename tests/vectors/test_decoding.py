"""Baselines of decoding: by hand, and held to the model that is asked and to its own hidden states."""

import math
from dataclasses import replace
from itertools import product

import pytest
import torch
from recorded import scenario
from tiny import LAYERS, gpt2, llama, loud
from transformers import LlamaConfig

from trimtab.agent.names import PROMPT, UNSTEERED
from trimtab.agent.points import OPENING, START, Point
from trimtab.vectors.baselines import GUIDANCE, MIXING
from trimtab.vectors.calibrate import TOLERANCE
from trimtab.vectors.decisions import decisions, situations
from trimtab.vectors.decoding import SCAN, between, late_layers, read, weight_of, weights

REQUEST = "Ask a lot."
SAID = [
    [{"role": "user", "content": task}, {"role": "assistant", "content": OPENING}]
    for task in ("Find the report, then write down what it says.", "Sum it.")
]


def test_two_tokens_by_hand():
    """Odds of 1 and of 4: at 2 they are 1 (4 / 1)^2 = 16, half way between the logits 2, and at 0 and 1 as given."""
    own, other = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.8, 0.2]).log()
    odds = [torch.exp(logits[0] - logits[1]) for logits in (between(own, other, weight) for weight in (0, 0.5, 1, 2))]
    assert [float(each) for each in odds] == pytest.approx([1, 2, 4, 16])


def test_the_weight_of_two_tokens_by_hand():
    """Even chances that become p have a KL of -ln(4 p (1 - p)) / 2; twice a gap of ln 2 makes p = 4/5."""
    own, other = torch.zeros(1, 2), torch.tensor([[math.log(2), 0.0]])
    nats = -math.log(4 * 0.8 * 0.2) / 2
    assert weight_of(own, other, SCAN[GUIDANCE], nats) == pytest.approx(2, rel=TOLERANCE)
    # a mixture ends where all of it is the others'
    assert weight_of(own, other, SCAN[MIXING], nats) is None
    assert weight_of(own, own, SCAN[GUIDANCE], nats) is None


def test_at_no_weight_and_at_the_whole_logits_are_as_they_were_bit_for_bit():
    own, other = 10 * torch.randn(2, 5, 97, generator=torch.Generator().manual_seed(0))
    assert torch.equal(between(own, other, 0.0), own)
    assert torch.equal(between(own, other, 1.0), other)


@pytest.mark.parametrize("name", [GUIDANCE, MIXING])
def test_the_kl_rises_with_the_weight_and_the_weight_found_has_it(name):
    own, other = 3 * torch.randn(2, 50, 20, generator=torch.Generator().manual_seed(0))
    for nats in (0.02, 0.2):
        moved = torch.log_softmax(between(own, other, weight_of(own, other, SCAN[name], nats)), dim=-1)
        still = torch.log_softmax(own, dim=-1)
        assert float((still.exp() * (still - moved)).sum(-1).mean()) == pytest.approx(nats, rel=1.05 * TOLERANCE)


def test_the_papers_layers_are_those_that_are_mixed():
    class Deep(torch.nn.Module):
        def __init__(self, depth):
            super().__init__()
            self.layers = torch.nn.ModuleList(torch.nn.Identity() for _ in range(depth))
            self.config = LlamaConfig(num_hidden_layers=depth)

    assert late_layers(Deep(32)) == [25, 26, 27, 28, 29, 30]
    assert late_layers(Deep(LAYERS)) == [LAYERS - 2]


@pytest.fixture(scope="module", params=[llama, gpt2], ids=["llama", "gpt2"])
def small(request, protocol):
    deeper = {"num_hidden_layers": 11} if request.param is llama else {}
    sizes = {"vocab_size": len(protocol.tokenizer), "max_position_embeddings": 2048}
    return loud(request.param(**sizes, **deeper))


def alone(model, protocol, messages):
    """Logits behind the header of one prompt by itself, and the mean of late layers', from its own hidden states."""
    segments = protocol.prompt(messages)
    ids = torch.tensor([[token for segment in segments for token in segment.tokens]])
    with torch.no_grad():
        told = model(ids, output_hidden_states=True)
        norm = model.base_model.norm if hasattr(model.base_model, "norm") else model.base_model.ln_f
        late = [model.lm_head(norm(told.hidden_states[layer + 1][0])) for layer in late_layers(model)]
    behind = len(segments[0].tokens)
    return told.logits[0, behind:], torch.stack(late).mean(0)[behind:]


def test_logits_are_the_models_own_one_prompt_at_a_time(small, protocol):
    system = {"role": "system", "content": REQUEST}
    plain, lens = zip(*(alone(small, protocol, messages) for messages in SAID), strict=True)
    asked, _ = zip(*(alone(small, protocol, [system, *messages]) for messages in SAID), strict=True)
    for (name, others), ends in product({GUIDANCE: asked, MIXING: lens}.items(), (True, False)):
        ((pack, own, other),) = read(name, small, protocol, SAID, REQUEST, ends=ends)
        assert pack == [0, 1]
        for found, parts in ((own, plain), (other, others)):
            rows = torch.cat([part[-1:] if ends else part for part in parts])
            torch.testing.assert_close(found, rows, rtol=1e-3, atol=2e-3)
        assert not torch.allclose(own, other, atol=0.05)


def test_decisions_at_no_weight_are_the_agents_and_at_the_whole_those_of_the_prompt(small, protocol):
    """Bit for bit, and in between neither."""
    scenarios = [replace(scenario("web_search", name=name), task=f"Find {name}.", row={"needs": []}) for name in "ab"]
    found = situations({START: Point(OPENING), "late": Point("Hm, that is odd.")}, scenarios)
    offsets = {name: {tool: 0.2 * at for at, tool in enumerate(protocol.tools)} for name in (START, "late")}

    def decided(guidance, mixing):
        given = {GUIDANCE: guidance, MIXING: mixing}
        return decisions(small, protocol, offsets, found, {}, REQUEST, given)

    nothing, whole = decided(0.0, 0.0), decided(1.0, 0.5)
    assert torch.equal(nothing[GUIDANCE], nothing[UNSTEERED])
    assert torch.equal(nothing[MIXING], nothing[UNSTEERED])
    assert torch.equal(whole[GUIDANCE], whole[PROMPT])
    for name in (UNSTEERED, PROMPT):
        assert float((whole[MIXING] - whole[name]).abs().max()) > 1e-4


def test_a_weight_that_has_the_kl_is_found_for_each_baseline(small, protocol):
    found = weights([GUIDANCE, MIXING], small, protocol, SAID, REQUEST, 0.01)
    assert found
    for name, weight in found.items():
        parts = [*read(name, small, protocol, SAID, REQUEST, ends=False)]
        own, other = (torch.cat(each) for each in zip(*(part[1:] for part in parts), strict=True))
        still, moved = torch.log_softmax(own, -1), torch.log_softmax(between(own, other, weight), -1)
        assert float((still.exp() * (still - moved)).sum(-1).mean()) == pytest.approx(0.01, rel=1.05 * TOLERANCE)
    assert weights([], small, protocol, SAID, REQUEST, 0.01) == {}
    assert weights([MIXING], small, protocol, SAID, REQUEST, 1e6) == {}
