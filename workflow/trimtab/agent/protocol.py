"""What every protocol shares: how an agent's task, its turns and its answers look as text of one model.

A protocol cuts an episode into segments, each tokenised alone: a prefix that is computed once must have the tokens that
it has in the whole prompt. The assistant's turn is a row of fields; a field is written freely, or chosen among the
protocol's tools by the first token of each name. When all are there, the protocol says which call they are. It knows
nothing of batches or steering (`engine`) nor of what a call returns (`environment`). Protocols are `few_shot` and
`native`; `protocols` picks one by its resource.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from trimtab.agent.scenario import World
from trimtab.agent.turn import Turn
from trimtab.errors import TrimtabError
from trimtab.steering.places import Segment


class Field(NamedTuple):
    """A part of the assistant's turn."""

    name: str
    cue: list[int]
    """Tokens that stand before it."""
    limit: int
    """Tokens that may be written; 0 for a choice among the tools."""


class Step(NamedTuple):
    """What a finished turn comes to."""

    thought: str
    """The turn's prose."""
    tool: str
    """One of the tools, `FINISH`, or `UNPARSED`."""
    argument: str = ""
    fault: str = ""
    """What is wrong with it, in a word of `names`."""
    answer: str = ""
    """What the agent is told instead of an environment's answer, where no call could be read."""
    raw: str = ""
    """The turn as it was written, where that is more than its prose."""
    ignored: int = 0
    """Calls besides the first, which alone is run."""


class Protocol(ABC):
    """Renders tasks, turns and answers as tokens of one model."""

    tokenizer: PreTrainedTokenizerBase
    tools: list[str]
    """What is chosen among, where an action is chosen or its chances are read."""
    action_tokens: list[list[int]]
    """Tokens of each tool's name at that place."""
    answer_tokens: int
    """Longer answers are cut to this many tokens."""

    @abstractmethod
    def header_tokens(self, instruction: str = "") -> list[int]:
        """What stands before the task; `instruction` joins the system line."""

    @abstractmethod
    def asked(self, task: str) -> list[Segment]:
        """The task, up to where the assistant's turn begins."""

    @abstractmethod
    def answered(self, text: str) -> list[Segment]:
        """A call's answer, after the assistant's turn and up to where its next one begins."""

    @abstractmethod
    def fields(self, limits: Mapping[str, int]) -> list[Field]:
        """The assistant's turn; `limits` are the config's `<field>_tokens`."""

    @abstractmethod
    def step(self, texts: Mapping[str, str]) -> Step:
        """What a turn's fields (name -> text, a tool's name for a choice) come to. Never raises."""

    @abstractmethod
    def prompt(self, messages: Sequence[Mapping[str, str]]) -> list[Segment]:
        """A contrast prompt: header, task and what follows, ending where the agent would go on.

        An assistant message at the end is the beginning of its turn, after which the prompt ends where a tool is
        chosen.
        """

    @abstractmethod
    def transcript(self, turns: Sequence[Turn]) -> str:
        """One episode's text after the header, from its records in order."""

    @property
    @abstractmethod
    def sandbox(self) -> World:
        """The world of episodes on tasks that are no scenarios."""

    @property
    @abstractmethod
    def ends(self) -> list[bool]:
        """For each token of the vocabulary, whether it ends a written field."""

    @cached_property
    def start(self) -> list[int]:
        """The tokens that this model's sequences begin with; many have none, some one."""
        return list(self.tokenizer("")["input_ids"])

    def encode(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

    @cached_property
    def _firsts(self) -> list[int]:
        return [tokens[0] for tokens in self.action_tokens]

    def action_scores(self, logits: Float[Tensor, "*any vocabulary"]) -> Float[Tensor, "*any action"]:
        """Log-probability of each action's first token, by which an action is chosen."""
        return torch.log_softmax(logits, dim=-1)[..., self._firsts]

    def check_names(self, source: str, names: Sequence[str]) -> None:
        """
        Raises:
            TrimtabError: two of the tools' names begin with the same token.
        """
        for i, first in enumerate(self._firsts):
            if first in self._firsts[:i]:
                raise TrimtabError(
                    f"{source}: {names[self._firsts.index(first)]!r} and {names[i]!r} begin with the same token of "
                    "this model; rename one"
                )
