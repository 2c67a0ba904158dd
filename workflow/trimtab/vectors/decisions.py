"""What each vector does to the agent's decisions, at one strength for all: the same KL from the unsteered model.

A decision is read where an action is chosen, after a conversation that ends with a thought without a lean, so nothing
is sampled and one pass of the model gives the chances of all actions. That is far cheaper than episodes, so every
method can be read; numbered draws of nulls, which stand beside a trait's vectors and are many, only where the trait is
measured. Which conversations there are is said in `trimtab.agent.points`; how methods compare is in
`trimtab.vectors.comparison`; what episodes make of them, in `trimtab.rollouts`.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.agent.names import PROMPT, RULED, UNSTEERED
from trimtab.agent.points import Messages, Point
from trimtab.agent.protocol import Protocol
from trimtab.agent.scenario import Scenario
from trimtab.artifacts.kept import NOTHING, Kept
from trimtab.forward.sites import Sites
from trimtab.steering.edits import Edits, after
from trimtab.steering.laid import Prompt
from trimtab.steering.packs import even, packs
from trimtab.steering.replay import Replay, passes
from trimtab.vectors import apply, artifact, decoding
from trimtab.vectors.action_scores import finite_scores
from trimtab.vectors.cost import COSTS, Cost
from trimtab.vectors.dose import UNSCALED
from trimtab.vectors.written_rules import RuleOf

LOG = logging.getLogger(__name__)


class Situation(NamedTuple):
    """A scenario at a point."""

    point: str
    scenario: str
    messages: Messages


def situations(points: Mapping[str, Point], scenarios: Sequence[Scenario]) -> list[Situation]:
    """Every scenario at every point that it has."""
    found = [(name, one.id, point.in_scenario(one)) for name, point in points.items() for one in scenarios]
    return [Situation(name, scenario, messages) for name, scenario, messages in found if messages is not None]


class DecisionReader:
    """Reads one model's decisions in some situations under edits."""

    def __init__(
        self,
        model: PreTrainedModel,
        protocol: Protocol,
        offsets: Mapping[str, Mapping[str, float]],
        read: Sequence[Situation],
        layer: int,
        kept: Kept = NOTHING,
    ) -> None:
        """
        Args:
            offsets: point -> action -> what is subtracted from its log-probability there.
            layer: no edit changes what comes before its output.
        """
        self._model, self._protocol, self._layer, self._kept = model, protocol, layer, kept
        self._offsets = torch.tensor(
            [[offsets[each.point][tool] for tool in protocol.tools] for each in read], dtype=torch.float64
        )
        # points of one thought share their conversations, which are read once
        texts = [str(each.messages) for each in read]
        self._firsts = [texts.index(text) for text in dict.fromkeys(texts)]
        self._of = [self._firsts.index(texts.index(text)) for text in texts]
        self._conversations = [read[at].messages for at in self._firsts]
        self._packs = self._packed(self._prompts([""] * len(self._firsts)), layer)

    def _prompts(self, instructions: Sequence[str]) -> list[Prompt]:
        asked = [[{"role": "system", "content": each}] if each else [] for each in instructions]
        both = zip(asked, self._conversations, strict=True)
        return [self._protocol.prompt([*system, *messages]) for system, messages in both]

    def _packed(self, prompts: Sequence[Prompt], layer: int) -> list["_Pack"]:
        parts = packs(prompts, even(self._model, len(prompts)))
        return [_Pack(self._model, some, [prompts[i] for i in some], layer) for some in parts]

    def chances(self, edits: Sequence[Edits]) -> Float[Tensor, "edits situation action"]:
        """Chances of the actions alone in each situation, after contextual calibration, at temperature 1.

        Raises:
            TrimtabError: logits are not finite.
        """
        return self._read(self._packs, edits)

    def asked(self, instruction: str) -> Float[Tensor, "situation action"]:
        """The same, unsteered, with a sentence in the system line."""
        return self._told([instruction] * len(self._firsts))

    def ruled(self, rule_of: RuleOf) -> Float[Tensor, "situation action"]:
        """The same, with the rule of each conversation; conversations without one are left as they are."""
        return self._told([rule_of(prompt) for prompt in self._prompts([""] * len(self._firsts))])

    def _told(self, instructions: Sequence[str]) -> Float[Tensor, "situation action"]:
        return self._read(self._packed(self._prompts(instructions), max(self._layer, 0)), [()])[0]

    def decoded(self, name: str, weight: float, instruction: str) -> Float[Tensor, "situation action"]:
        """The same, unsteered, under a baseline of decoding (`trimtab.vectors.decoding`)."""
        told = decoding.scores(name, self._model, self._protocol, self._conversations, instruction, weight)
        return self._calibrated(told)

    def _read(self, parts: Iterable["_Pack"], edits: Sequence[Edits]) -> Tensor:
        scores = torch.empty(len(edits), len(self._firsts), len(self._protocol.tools), dtype=torch.float64)
        for pack in parts:
            for numbers in passes(edits):
                some = [edits[number] for number in numbers]
                about = ("decisions", pack.prompts, pack.layer, some)
                kept = self._kept.found(about, partial(self._scores, pack, some))
                scores[torch.tensor(numbers)[:, None], torch.tensor(pack.numbers)] = kept["scores"]
        return self._calibrated(scores)

    def _scores(self, pack: "_Pack", edits: Sequence[Edits]) -> dict[str, Tensor]:
        return {"scores": finite_scores(pack.replay.logits(edits, pack.replay.ends), self._protocol)}

    def _calibrated(self, scores: Float[Tensor, "*any conversation action"]) -> Float[Tensor, "*any situation action"]:
        return torch.softmax(scores[..., self._of, :] - self._offsets, dim=-1)


@dataclass
class _Pack:
    """Conversations that are read together, and only once a decision in them isn't known."""

    model: PreTrainedModel
    numbers: list[int]
    prompts: Sequence[Prompt]
    layer: int

    @cached_property
    def replay(self) -> Replay:
        return Replay(self.model, self.prompts, self.layer)


def at_kl(vectors: Iterable[Path], kl: float, sites: Sites) -> tuple[dict[str, Edits], dict[str, Cost | None]]:
    """What each vector does at the strength that comes to this KL, and what making it cost, by method.

    One that could not be made has neither and one that never has this KL no edits; both are named in the log.
    """
    made, left_out = artifact.read_all(vectors)
    for each in left_out:
        LOG.warning("%s: %s; left out", each.method, each.why)
    found = {}
    for vector in made:
        plain = vector.plain
        reach = vector.record.lengths(plain).get(kl)
        if reach is None:
            LOG.warning("%s: no length with a KL of %g nats was found; left out", vector.path, kl)
        else:
            found[vector.method] = apply.edits(vector, plain, reach, "absolute", UNSCALED, sites=sites)
    return found, {vector.method: vector.record.cost for vector in made}


def decisions(
    model: PreTrainedModel,
    protocol: Protocol,
    offsets: Mapping[str, Mapping[str, float]],
    read: Sequence[Situation],
    edits: Mapping[str, Edits],
    instruction: str,
    weights: Mapping[str, float],
    rule_of: RuleOf | None = None,
    kept: Kept = NOTHING,
) -> dict[str, Float[Tensor, "situation action"]]:
    """Chances of each action in each situation: unsteered, under every vector, asked for in the prompt, and under
    baselines of decoding.

    Args:
        instruction: the sentence that asks for the trait.
        weights: of baselines of decoding, by their names.
        rule_of: the rule that goes with a prompt, where rules are read in the prompt too.
    """
    steered = _chances(model, protocol, offsets, read, {UNSTEERED: (), **edits}, kept)
    reader = DecisionReader(model, protocol, offsets, read, 0, kept)
    found = steered | {PROMPT: reader.asked(instruction)}
    found |= {name: reader.decoded(name, weight, instruction) for name, weight in weights.items()}
    return found if rule_of is None else {**found, RULED: reader.ruled(rule_of)}


def under_draws(
    model: PreTrainedModel,
    protocol: Protocol,
    offsets: Mapping[str, Mapping[str, float]],
    read: Sequence[Situation],
    edits: Mapping[str, Edits],
    kept: Kept = NOTHING,
) -> dict[str, Float[Tensor, "situation action"]]:
    """Chances of each action in each situation under numbered draws; none where there is no such situation."""
    return _chances(model, protocol, offsets, read, edits, kept) if read else {}


def _chances(
    model: PreTrainedModel,
    protocol: Protocol,
    offsets: Mapping[str, Mapping[str, float]],
    read: Sequence[Situation],
    edits: Mapping[str, Edits],
    kept: Kept,
) -> dict[str, Float[Tensor, "situation action"]]:
    """Conditions of one layer together: of what no edit changes, they have one pass."""
    layers = {name: after(own) for name, own in edits.items() if own}
    deepest = max(layers.values(), default=0)
    found: dict[str, Tensor] = {}
    for layer in sorted({layers.get(name, deepest) for name in edits}):
        some = {name: own for name, own in edits.items() if layers.get(name, deepest) == layer}
        reader = DecisionReader(model, protocol, offsets, read, layer, kept)
        found |= zip(some, reader.chances([*some.values()]), strict=True)
    return {name: found[name] for name in edits}


def as_table(
    found: Mapping[str, Float[Tensor, "situation action"]], trait: str, read: Sequence[Situation], tools: Sequence[str]
) -> pd.DataFrame:
    """One row a method and situation, one column `p_<tool>` an action."""
    parts = [pd.DataFrame()]
    for name, table in found.items():
        columns = {f"p_{tool}": table[:, at].numpy() for at, tool in enumerate(tools)}
        places = {"scenario_id": [each.scenario for each in read], "point": [each.point for each in read]}
        parts.append(pd.DataFrame({"method": name, "trait": trait, **places, **columns}))
    return pd.concat(parts, ignore_index=True)


def charged(parts: Iterable[pd.DataFrame], costs: Mapping[str, Cost | None]) -> pd.DataFrame:
    """One table, with what making each method's vector cost (`trimtab.vectors.cost`)."""
    table = pd.concat(parts, ignore_index=True)
    of = {name: asdict(spent) for name, spent in costs.items() if spent is not None}
    columns: dict[str, Any] = {each: [of.get(name, {}).get(each) for name in table["method"]] for each in COSTS}
    return table.assign(**columns).astype(dict.fromkeys(COSTS, "Int64"))
