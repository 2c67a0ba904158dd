"""How an agent's step looks as text: the few-shot protocol for models too small for native tool calls.

A step is Thought, Action, Input, Observation. The action is chosen by scoring the first token of each action's name,
so every step parses. Text is cut into segments at line starts and each segment is tokenised alone: a prefix that is
computed once must have the tokens that it has in the whole prompt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from trimtab.errors import TrimtabError
from trimtab.prompts import resources
from trimtab.rollouts.names import FINISH as FINISH

THOUGHT, ACTION, INPUT = "\nThought:", "\nAction:", "\nInput:"


@dataclass(frozen=True)
class Segment:
    """A piece of a prompt: its tokens, and whether it belongs to the assistant's own turn."""

    tokens: list[int]
    written: bool


class FewShotProtocol:
    """Renders tasks, steps and observations as tokens of one model."""

    def __init__(self, resource: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> None:
        """
        Raises:
            TrimtabError: two action names share their first token, or an example uses an unknown action.
        """
        self._resource = resource
        self.tokenizer = tokenizer
        self.tools: list[str] = list(resource["actions"])
        names = list(resource["actions"].values())
        self.action_tokens = [self.encode(f" {name}") for name in names]
        self._firsts = [tokens[0] for tokens in self.action_tokens]
        for i, first in enumerate(self._firsts):
            if first in self._firsts[:i]:
                raise TrimtabError(
                    f"few_shot.yaml, actions: {names[self._firsts.index(first)]!r} and {names[i]!r} begin with the "
                    "same token of this model; rename one"
                )

    @classmethod
    def read(cls, path: Path, tokenizer: PreTrainedTokenizerBase) -> "FewShotProtocol":
        return cls(resources.load(path), tokenizer)

    @property
    def sandbox(self) -> dict[str, Any]:
        """A scenario's environment without a task, for episodes on tasks that are no scenarios."""
        return dict(self._resource["sandbox"])

    def encode(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

    def header(self, instruction: str = "") -> str:
        """System line (followed by `instruction`, if any), actions and worked examples, without the task."""
        actions = self._resource["actions"]
        lines = [
            " ".join(part for part in (self._resource["system"].strip(), instruction.strip()) if part),
            f"Actions: {', '.join(actions.values())}",
        ]
        for example in self._resource["examples"]:
            lines += ["", f"Task: {example['task']}"]
            for step in example["steps"]:
                name = actions[step["action"]]
                lines += [f"Thought: {step['thought']}", f"Action: {name}", f"Input: {step['input']}"]
                if "observation" in step:
                    lines.append(f"Observation: {step['observation']}")
        return "\n".join(lines)

    def header_tokens(self, instruction: str = "") -> list[int]:
        return [*self.start, *self.encode(self.header(instruction))]

    @cached_property
    def start(self) -> list[int]:
        """The tokens that this model's sequences begin with; many have none, some one."""
        return list(self.tokenizer("")["input_ids"])

    def task(self, text: str) -> str:
        return f"\n\nTask: {_line(text)}"

    def observation(self, text: str) -> str:
        return f"\nObservation: {_line(text)}"

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> list[Segment]:
        """Tokens of a contrast prompt, ending where the agent would go on.

        A system message joins the header; an assistant message at the end is the thought, after which the prompt ends
        at the colon of "Action:"; without one it ends at the colon of "Thought:".
        """
        by_role = {message["role"]: message["content"] for message in messages}
        segments = [
            Segment(self.header_tokens(by_role.get("system", "")), written=False),
            Segment(self.encode(self.task(by_role["user"])), written=False),
            Segment(self.encode(THOUGHT), written=True),
        ]
        if "assistant" in by_role:
            segments += [
                Segment(self.encode(f" {_line(by_role['assistant'])}"), written=True),
                Segment(self.encode(ACTION), written=True),
            ]
        return segments

    def transcript(self, turns: Sequence[Mapping[str, Any]]) -> str:
        """One episode's text after the header, from its records in order."""
        lines = [f"Task: {_line(turns[0]['prompt'])}"]
        for turn in turns:
            name = self._resource["actions"][turn["tool"]]
            lines += [f"Thought: {turn['thought']}", f"Action: {name}", f"Input: {turn['argument']}"]
            if turn["observation"]:
                lines.append(f"Observation: {_line(turn['observation'])}")
        return "\n".join(lines)

    def action_scores(self, logits: Float[Tensor, "*any vocabulary"]) -> Float[Tensor, "*any action"]:
        """Log-probability of each action's first token, by which an action is chosen."""
        return torch.log_softmax(logits, dim=-1)[..., self._firsts]

    @cached_property
    def ends_line(self) -> torch.Tensor:
        """For each token of the vocabulary, whether it ends a line or the text."""
        vocabulary = len(self.tokenizer)
        texts = self.tokenizer.batch_decode([[i] for i in range(vocabulary)], skip_special_tokens=False)
        ends = torch.tensor(["\n" in text for text in texts])
        for special in self.tokenizer.all_special_ids:
            ends[special] = True
        return ends


def _line(text: str) -> str:
    """Text as one line: a line break would end the field that it stands in."""
    return " ".join(text.split())
