"""What an evaluator measures: a batch's conditions, ready to be read on any prompts.

Texts that are no conversation are given to the model as they are, without a chat template, so that a base model and a
tuned one read the same. What is given counts as the user's turn and what the model is scored on, or writes, as its own,
so that timings mean here what they mean in episodes. A condition that asks for the trait in the prompt has its sentence
before the text. Decisions are read where the comparison at equal KL reads them (`trimtab.vectors.decisions`).

The unsteered model is read beside every batch, so that an evaluator can take what it does off within the run.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.agent.points import Measure, Point
from trimtab.agent.protocol import Protocol
from trimtab.agent.scenario import Scenario
from trimtab.forward.sites import Site
from trimtab.rollouts.conditions import Condition
from trimtab.rollouts.episode import Arm
from trimtab.saes.sae import SAE
from trimtab.steering import places
from trimtab.steering.edits import Edits, after
from trimtab.steering.laid import Prompt
from trimtab.steering.packs import replays
from trimtab.steering.places import Segment
from trimtab.steering.replay import Replay
from trimtab.vectors.decisions import DecisionReader, Situation, situations
from trimtab.vectors.own_settings import Value

TOGETHER = 6
"""Texts a sequence: what is scored needs the logits of all its tokens, over the whole vocabulary."""
CONDITIONS = 2
"""Conditions a pass, for the same reason."""

PromptsOf = Callable[[str], Sequence[Prompt]]
"""The prompts, given the sentence that asks for the trait (empty for conditions that don't)."""
Told = Callable[[Float[Tensor, "condition token vocabulary"], Int[Tensor, "token"]], Float[Tensor, "condition token"]]
"""From the log-probabilities that tell tokens, and these tokens, to a quantity of each."""


@dataclass(frozen=True)
class Episodes:
    """A batch's conditions as their episodes tell of them, without the model."""

    conditions: Sequence[Condition]
    turns: pd.DataFrame
    """As rollouts/turns/ has them."""
    primary: Mapping[str, str]
    """Trait -> its declared outcome."""
    settings: Mapping[str, Value] = field(default_factory=dict)
    """The evaluator's, as the config gives them."""


@dataclass(frozen=True)
class Decided:
    """Chances of the actions in some situations."""

    unsteered: Float[Tensor, "situation action"]
    steered: Float[Tensor, "condition situation action"]


class Dictionary(NamedTuple):
    """A dictionary, and where its rows are."""

    site: Site
    sae: SAE


@dataclass(frozen=True)
class Steered:
    """A batch's conditions on the running model."""

    model: PreTrainedModel
    protocol: Protocol
    offsets: Mapping[str, Mapping[str, float]]
    """Point -> action -> what is taken off its log-probability (`Calibration.offsets`)."""
    points: Mapping[str, Point]
    measured: Mapping[str, Measure]
    """Trait -> the actions that show more of it, and where."""
    conditions: Sequence[Condition]
    arms: Sequence[Arm]
    """What is done under each condition."""
    beside: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Items that the evaluator names besides those that it goes through, by their kind."""
    latents: pd.DataFrame | None = None
    """Of the batch's trait, as probes/<trait>.latents.parquet has them, where the evaluator asks for them."""
    dictionaries: Mapping[int, Dictionary] = field(default_factory=dict)
    """Of the conditions' layers, where the evaluator asks for them."""
    seed: int = 0
    coupling: str = "gumbel"
    """By which what is written is drawn (`trimtab.rollouts.draws`)."""
    settings: Mapping[str, Value] = field(default_factory=dict)
    """The evaluator's, as the config gives them."""

    @property
    def edits(self) -> list[Edits]:
        return [arm.edits for arm in self.arms]

    def of(self, condition: Condition) -> list[str]:
        """The traits that a condition is about: its own, or all for one without."""
        return [condition.trait] if condition.trait else [*self.measured]

    # --- prompts ---

    def texts(self, given: Sequence[str], follows: Sequence[str] = ()) -> PromptsOf:
        """Plain texts as prompts; `follows` is what the model is scored on after each."""

        def prompts(instruction: str) -> list[Prompt]:
            # one line break: tokenisers cut two, before a word, where they don't cut them alone
            asked = f"{instruction}\n" if instruction else ""
            header = [*self.protocol.start, *(self.protocol.encode(asked, after="") if asked else [])]
            system = Segment(header, written=False, role=places.SYSTEM)
            before = ":" if asked else ""
            found: list[Prompt] = []
            for at, text in enumerate(given):
                own = Segment(self.protocol.encode(text, after=before), written=False, ends_prompt=True)
                scored = [Segment(self.protocol.encode(follows[at]), written=True)] if follows else []
                found.append([system, own, *scored])
            return found

        return prompts

    # --- readings ---

    def scored(
        self, prompts: PromptsOf, quantities: Mapping[str, Told]
    ) -> dict[str, Float[Tensor, "condition prompt"]]:
        """Quantities of the distributions that tell the written tokens of each prompt, means over its tokens."""
        wanted = len(prompts(""))
        found = {name: torch.empty(len(self.arms), wanted, dtype=torch.float64) for name in quantities}
        for own, pack, replay in self._passes(prompts):
            before = replay.told
            token, owner = replay.tokens[before + 1], replay.owner[before]
            count = torch.bincount(owner, minlength=len(pack))
            told = torch.log_softmax(replay.logits([self.arms[at].edits for at in own], before), dim=-1)
            for name, quantity in quantities.items():
                values = quantity(told, token).double()
                sums = values.new_zeros(len(own), len(pack)).index_add(1, owner, values)
                found[name][torch.tensor(own)[:, None], torch.tensor(pack)] = (sums / count).cpu()
        return found

    def at_ends(
        self,
        prompts: PromptsOf,
        quantity: Callable[
            [Float[Tensor, "condition prompt vocabulary"], Float[Tensor, "prompt vocabulary"]],
            Float[Tensor, "condition prompt"],
        ],
    ) -> Float[Tensor, "condition prompt"]:
        """A quantity of the log-probabilities after each prompt, and of the unsteered model's after the same."""
        plain: dict[int, Tensor] = {}
        for pack, replay in replays(self.model, prompts(""), self._layer, TOGETHER):
            plain |= zip(pack, torch.log_softmax(replay.logits([()], replay.ends)[0], dim=-1), strict=True)
        unsteered = torch.stack([plain[at] for at in range(len(plain))])
        found = torch.empty(len(self.arms), len(plain), dtype=torch.float64)
        for own, pack, replay in self._passes(prompts):
            logits = replay.logits([self.arms[at].edits for at in own], replay.ends)
            values = quantity(torch.log_softmax(logits, dim=-1), unsteered[pack])
            found[torch.tensor(own)[:, None], torch.tensor(pack)] = values.double().cpu()
        return found

    def decisions(self, read: Sequence[Situation], edits: Sequence[Edits] | None = None) -> Decided:
        """Chances of the actions where they are due, under every condition.

        Args:
            edits: of each condition, in place of its own.
        """
        asked = self.edits if edits is None else edits
        layer = min((after(each) for each in asked if each), default=0)
        reader = DecisionReader(self.model, self.protocol, self.offsets, read, layer)
        unsteered, *steered = reader.chances([(), *asked])
        told = [
            reader.asked(arm.instruction) if arm.instruction else own
            for arm, own in zip(self.arms, steered, strict=True)
        ]
        return Decided(unsteered, torch.stack(told))

    def situations(self, trait: str, scenarios: Sequence[Scenario]) -> list[Situation]:
        """The scenarios where more of a trait shows."""
        point = self.measured[trait].point
        return situations({point: self.points[point]}, scenarios)

    def chance(self, trait: str, chances: Float[Tensor, "*any action"]) -> Float[Tensor, "*any"]:
        """Of the actions that show more of a trait."""
        actions = self.measured[trait].actions
        return chances[..., [self.protocol.tools.index(action) for action in actions]].sum(-1)

    @cached_property
    def _layer(self) -> int:
        """No condition changes anything before its output."""
        return min((after(each) for each in self.edits if each), default=0)

    def _passes(self, prompts: PromptsOf) -> Iterator[tuple[list[int], list[int], Replay]]:
        """Conditions and prompts by number that are read together, and the prompts."""
        by_instruction: dict[str, list[int]] = {}
        for at, arm in enumerate(self.arms):
            by_instruction.setdefault(arm.instruction, []).append(at)
        for instruction, own in by_instruction.items():
            for pack, replay in replays(self.model, prompts(instruction), self._layer, TOGETHER):
                for at in range(0, len(own), CONDITIONS):
                    yield own[at : at + CONDITIONS], pack, replay
