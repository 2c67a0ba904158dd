"""A server of requests that is `transformers`, one request after another: what vLLM is held to."""

import torch

from trimtab.rollouts.chooser import Ask
from trimtab.rollouts.served.requests import Reply
from trimtab.steering.batch import GrowingBatch
from trimtab.steering.steering import Steering


class StandIn:
    """Answers as `trimtab.rollouts.served.fields.Server` says."""

    def __init__(self, model):
        self.model, self.answered = model, 0

    def begin(self, chooser, arms):
        self.chooser, self.arms = chooser, arms

    def answer(self, requests, stops):
        self.answered += 1
        return [self.one(request, set(stops))[0] for request in requests]

    def one(self, request, stops):
        """A reply, and the logits after the prompt."""
        order, tokens = request.order, request.tokens
        steering = Steering([self.arms[order.arm] if order.arm else ()], self.model.device)
        batch, choices = GrowingBatch(self.model, steering, 1), []
        places = order.places or [0] * (len(tokens) + len(order.draws))
        first = logits = batch.advance([tokens], [places[: len(tokens)]])
        for at, draw in enumerate(order.draws):
            [choice] = self.chooser.choices(logits, [Ask(order.acts, draw)])
            choices.append(choice)
            if choice is None or order.acts or choice.number in stops or at + 1 == len(order.draws):
                break
            place = places[len(tokens) + at]
            logits = batch.advance([[choice.number]], [[place]])
        return Reply(choices, steering.openings([0])[0]), first[0]


def same(one, other):
    """Whether two replies are the same, chances to rounding."""
    assert [c and c.number for c in one.choices] == [c and c.number for c in other.choices]
    assert one.openings == other.openings
    for mine, theirs in zip(one.choices, other.choices, strict=True):
        if mine is not None:
            assert torch.allclose(torch.tensor(mine.chances), torch.tensor(theirs.chances), atol=1e-5)
