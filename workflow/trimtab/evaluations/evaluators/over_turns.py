"""Whether an effect fades over the turns of an episode, or adds up in what the model keeps of them.

A push touches every token as it comes, so at a later decision there is more of it in the cache, and more that it has to
be heard through. Both are told apart here: the same decision is read with the push on throughout, and with the push on
until the turn began. What is left in the second case came through the cache alone.
"""

from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.agent.environment import Environment
from trimtab.agent.scenario import Scenario
from trimtab.evaluations.conclusions import Conclusion, Means, ratio
from trimtab.evaluations.contract import OfTrait, by_trait
from trimtab.evaluations.evaluators.anti_steerable import log_odds, settled, shift, signs
from trimtab.evaluations.steered import Steered
from trimtab.rollouts.conditions import Condition
from trimtab.rollouts.episode import Arm
from trimtab.steering.batch import GrowingBatch
from trimtab.steering.places import Segment
from trimtab.steering.steering import Steering
from trimtab.vectors.action_scores import calibrated
from trimtab.vectors.decisions import Situation

LABEL = "Effect over the turns"
SENTENCE = (
    "Four turns of an episode that is the same under every condition: the agent reads the scenario's files "
    "and searches for its documents, which its world answers, with the same thought before each decision. How far the "
    "log-odds of the trait's actions move the way that is meant in each turn; and how far they still do if steering "
    "ended as the turn began, so that all of it comes through the cache."
)
SOURCE = "after 2511.01689"
ITEMS = "scenarios"
NEEDS = "actions"
COST = "eight passes over the scenarios' decisions, each after up to three turns"
MEASURES = {
    "moved_turn_1": ("first turn", "Change of log-odds, the way that is meant, in the first turn.", "nats"),
    "moved_turn_2": ("second turn", "The same in the second turn.", "nats"),
    "moved_turn_3": ("third turn", "The same in the third turn.", "nats"),
    "moved_turn_4": ("fourth turn", "The same in the fourth turn.", "nats"),
    "moved_slope": ("slope", "Least-squares slope of these four; below 0 where the effect fades.", "nats a turn"),
    "carried_turn_1": (
        "first turn, steered before it",
        "Change of log-odds in the first turn where steering ended as it began, with the header.",
        "nats",
    ),
    "carried_turn_2": ("second turn, steered before it", "The same in the second turn.", "nats"),
    "carried_turn_3": ("third turn, steered before it", "The same in the third turn.", "nats"),
    "carried_turn_4": ("fourth turn, steered before it", "The same in the fourth turn.", "nats"),
    "carried_slope": (
        "slope, steered before",
        "Least-squares slope of these four; above 0 where the effect adds up in the cache.",
        "nats a turn",
    ),
}

TURNS = 4
ROWS = 32
"""Conversations a batch."""


def measure(steered: Steered, items: Sequence[Scenario]) -> pd.DataFrame:
    by_id = {each.id: each for each in items}

    def of_trait(trait: str) -> OfTrait:
        there = steered.situations(trait, items)
        meant = signs(steered.conditions)[:, None]
        found: dict[str, Tensor] = {}
        for name, read in (("moved", shift), ("carried", carried)):
            turns = []
            for turn in range(TURNS):
                late = [later(steered, one, by_id[one.scenario], turn) for one in there]
                known = [at for at, one in enumerate(late) if one is not None]
                values = torch.full((len(steered.arms), len(there)), torch.nan, dtype=torch.float64)
                if known:
                    values[:, known] = settled(meant * read(steered, trait, [one for one in late if one is not None]))
                turns.append(values)
            found |= {f"{name}_turn_{number}": values for number, values in enumerate(turns, start=1)}
            found[f"{name}_slope"] = slope(torch.stack(turns))
        return [each.scenario for each in there], found

    return by_trait(steered, MEASURES, of_trait)


def later(steered: Steered, one: Situation, scenario: Scenario, turns: int) -> Situation | None:
    """The situation so many turns later, in which the agent looked at what there is; None where there is too little."""
    world, protocol = scenario.world, steered.protocol
    calls = [("file_read", path) for path in world.files]
    calls += [("web_search", document.title) for document in world.documents]
    if turns > len(calls):
        return None
    task, *rest = one.messages
    environment, before = Environment(world), []
    for tool, argument in calls[:turns]:
        # the thought of the decision itself: turns differ by what came before them alone
        call = {"role": "assistant", "content": rest[-1]["content"], "tool": tool, "argument": argument}
        shown = protocol.shortened(environment.call(tool, argument).text)
        before += [call, {"role": "tool", "content": shown, "tool": tool}]
    return one._replace(messages=[task, *before, *rest])


def carried(steered: Steered, trait: str, read: Sequence[Situation]) -> Float[Tensor, "condition situation"]:
    """Change of the log-odds of a trait's actions where each condition steers what comes before the last turn."""
    bias = steered.offsets[steered.measured[trait].point]

    def told(arm: Arm) -> Float[Tensor, "situation"]:
        logits = torch.cat([_until_then(steered, arm, read[at : at + ROWS]) for at in range(0, len(read), ROWS)])
        chances = torch.softmax(calibrated(logits, steered.protocol, bias), dim=-1)
        return log_odds(steered.chance(trait, chances))

    unsteered = told(Arm(""))
    return torch.stack([told(arm) for arm in steered.arms]) - unsteered


def _until_then(steered: Steered, arm: Arm, read: Sequence[Situation]) -> Float[Tensor, "situation vocabulary"]:
    """Logits where the action is due, after a last turn that nothing is done to."""
    model = steered.model
    header, parts = parted(steered, arm, read)
    steering = Steering([arm.edits], model.device)
    batch = GrowingBatch(model, steering, 1)
    batch.advance([header.tokens], [header.places])
    batch.repeat(len(read), steering.select([0], repeats=len(read)))
    if any(before for before, _ in parts):
        _fed(batch, [before for before, _ in parts])
    batch.select(range(len(read)), Steering([()] * len(read), model.device))
    return _fed(batch, [last for _, last in parts])


def parted(
    steered: Steered, arm: Arm, read: Sequence[Situation]
) -> tuple[Segment, list[tuple[Sequence[Segment], Sequence[Segment]]]]:
    """The header, and of each conversation what comes before its last turn and that turn: what the agent is given last,
    and its thought."""
    system = [{"role": "system", "content": arm.instruction}] if arm.instruction else []
    whole = [steered.protocol.prompt([*system, *each.messages]) for each in read]
    # the task is of the first turn, and before it is the header alone
    ends = [
        len(steered.protocol.prompt([*system, *each.messages[:-2]])) if len(each.messages) > 2 else 1 for each in read
    ]
    return whole[0][0], [(own[1:end], own[end:]) for own, end in zip(whole, ends, strict=True)]


def _fed(batch: GrowingBatch, rows: Sequence[Sequence[Segment]]) -> Float[Tensor, "row vocabulary"]:
    tokens = [[token for piece in row for token in piece.tokens] for row in rows]
    return batch.advance(tokens, [[place for piece in row for place in piece.places] for row in rows])


def slope(turns: Float[Tensor, "turn condition situation"]) -> Float[Tensor, "condition situation"]:
    """Least-squares slope over turns of each condition and situation; NaN for one that lacks a turn."""
    number = torch.arange(len(turns), dtype=turns.dtype)
    away = number - number.mean()
    fitted: Tensor = torch.tensordot(away / away.square().sum(), turns, dims=1)
    return fitted


def concluded(means: Means, conditions: Sequence[Condition]) -> Iterator[Conclusion]:
    """What is left of each vector's first effect in the last turn, and how much of that came through the cache."""
    for each in conditions:
        if each.has_vector:
            names = ("moved_turn_1", "moved_turn_4", "carried_turn_4")
            first, last, cached = (means.mean(each.condition_id, name) for name in names)
            yield Conclusion("kept_in_the_fourth_turn", each.condition_id, ratio(last, first))
            yield Conclusion("share_of_it_through_the_cache", each.condition_id, ratio(cached, last))
