"""What the unsteered agent does on tasks that are no scenarios: the zero point of action choice and of doses.

Contextual calibration (Zhao et al. 2021) subtracts each action's mean log-probability, so that a model's liking for a
word doesn't decide; weights (`rollouts.action_weights`) then make an action likelier than others, so that outcomes have
room both ways. It is measured once, unsteered, at each point where decisions are read (`trimtab.agent.points`), and
used unchanged under every condition.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.agent.points import OPENING, START
from trimtab.agent.protocol import Protocol
from trimtab.artifacts import files
from trimtab.errors import TrimtabError
from trimtab.forward.capture import Prompt
from trimtab.steering.batch import GrowingBatch
from trimtab.steering.places import Segment
from trimtab.steering.steering import Steering


def conversations(tasks: Mapping[str, Sequence[str]]) -> list[list[dict[str, str]]]:
    """Calibration tasks (domain -> tasks) as conversations that stop where an action is chosen."""
    return [before_action(task) for domain in sorted(tasks) for task in tasks[domain]]


def before_action(task: str) -> list[dict[str, str]]:
    """A task and a thought without a lean."""
    return [{"role": "user", "content": task}, {"role": "assistant", "content": OPENING}]


def segments_of(protocol: Protocol, tasks: Mapping[str, Sequence[str]]) -> list[list[Segment]]:
    """Calibration tasks as prompts that end at the colon of "Action:"."""
    return [protocol.prompt(messages) for messages in conversations(tasks)]


def dose_conversations(tasks: Mapping[str, Sequence[str]]) -> list[list[dict[str, str]]]:
    """Every third of them: a few hundred tokens place a KL well enough, and it is measured hundreds of times."""
    return conversations(tasks)[::3]


def dose_prompts(protocol: Protocol, tasks: Mapping[str, Sequence[str]]) -> list[list[Segment]]:
    """These as prompts that end at the colon of "Action:"."""
    return [protocol.prompt(messages) for messages in dose_conversations(tasks)]


def prompts_of(protocol: Protocol, tasks: Mapping[str, Sequence[str]]) -> list[Prompt]:
    """The same prompts for capturing: the header is context."""
    return [as_prompt(f"calibration/{i}", segments) for i, segments in enumerate(segments_of(protocol, tasks))]


def as_prompt(name: str, segments: Sequence[Segment]) -> Prompt:
    """A rendered prompt with its header as context."""
    header, *rest = segments
    return Prompt(name, [token for segment in rest for token in segment.tokens], tuple(header.tokens))


def action_scores(
    model: PreTrainedModel, protocol: Protocol, tasks: Mapping[str, Sequence[str]]
) -> Float[Tensor, "task action"]:
    """Unsteered log-probability of each action's first token on each calibration task.

    Raises:
        TrimtabError: logits are not finite.
    """
    return scores_after(model, protocol, segments_of(protocol, tasks))


def scores_after(
    model: PreTrainedModel, protocol: Protocol, prompts: Sequence[Sequence[Segment]]
) -> Float[Tensor, "prompt action"]:
    """Unsteered log-probability of each action's first token after each of some prompts of one header.

    Raises:
        TrimtabError: logits are not finite.
    """
    batch = GrowingBatch(model, Steering([()], model.device), 1)
    header = prompts[0][0]
    batch.advance([header.tokens], [header.places])
    batch.repeat(len(prompts), Steering([()] * len(prompts), model.device))
    chunks = [[token for s in p[1:] for token in s.tokens] for p in prompts]
    logits = batch.advance(chunks, [[place for s in p[1:] for place in s.places] for p in prompts])
    scores = protocol.action_scores(logits).cpu()
    if not scores.isfinite().all():
        raise TrimtabError(
            "the unsteered model's logits on calibration prompts are NaN or infinite; expected a model.dtype that "
            f"holds its numbers (now {model.dtype})"
        )
    return scores


@dataclass(frozen=True)
class Calibration:
    """What rollouts/calibration.json holds, but for its provenance."""

    mean_log_probability: Mapping[str, float]
    """Of each action at the start, in nats."""
    standard_deviation: Mapping[str, float]
    """Of each action over tasks, in nats."""
    tasks: int
    """How many were scored."""
    opening: str
    """The thought before the action."""
    offsets: Mapping[str, Mapping[str, float]]
    """Point -> action -> what is subtracted from its log-probability there before a choice: its mean over tasks, less
    the logarithm of its weight."""
    chances: Mapping[str, Sequence[Mapping[str, float]]]
    """Point -> of each task, the unsteered chance of each action after that."""

    @classmethod
    def of(
        cls,
        scores: Float[Tensor, "task action"],
        tools: Sequence[str],
        weights: Mapping[Any, float] | None = None,
        later: Mapping[str, Float[Tensor, "task action"]] | None = None,
    ) -> "Calibration":
        """From what `action_scores` found.

        Args:
            weights: action -> how likely it shall be against actions of weight 1, where it isn't alike.
            later: the same scores at points after the start.
        """

        def means(of: Float[Tensor, "task action"]) -> dict[str, float]:
            return dict(zip(tools, of.double().mean(0).tolist(), strict=True))

        scored = {START: scores, **(later or {})}
        likely = {tool: math.log((weights or {}).get(tool, 1.0)) for tool in tools}
        offsets = {
            point: {tool: mean - likely[tool] for tool, mean in means(each).items()} for point, each in scored.items()
        }
        return cls(
            mean_log_probability=means(scores),
            standard_deviation=dict(zip(tools, scores.double().std(0).tolist(), strict=True)),
            tasks=len(scores),
            opening=OPENING,
            offsets=offsets,
            chances={
                point: [
                    dict(zip(tools, task, strict=True))
                    for task in torch.softmax(
                        each.double() - torch.tensor([*offsets[point].values()], dtype=torch.float64), dim=-1
                    ).tolist()
                ]
                for point, each in scored.items()
            },
        )

    @property
    def bias(self) -> Mapping[str, float]:
        """What is subtracted at the start, and in every turn of an episode."""
        return self.offsets[START]

    @classmethod
    def read(cls, path: Path) -> "Calibration":
        """From rollouts/calibration.json."""
        found = files.read_json(path)
        return cls(**{field.name: found[field.name] for field in fields(cls)})
