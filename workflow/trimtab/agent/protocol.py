"""What every protocol shares: how an agent's task, its turns and its answers look as text of one model.

A protocol cuts an episode into segments, each tokenised by itself: a prefix that is computed once must have the tokens
that it has in the whole prompt. The assistant's turn is a row of fields; a field is written freely, or chosen among the
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
    thinks: bool = False
    """Whether it begins within thoughts."""


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
    thinking: str = ""
    """Thoughts that the turn's marks set apart."""
    thinking_tokens: int = 0
    """Tokens that these thoughts make."""


def start(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that sequences begin with.

    Raises:
        TrimtabError: the tokenizer changes a text that it puts control tokens around.
    """
    # some put tokens behind the text as well, which no empty text tells apart from those before it
    alone, whole = (list(tokenizer("a", add_special_tokens=add)["input_ids"]) for add in (False, True))
    for at in range(len(whole) - len(alone) + 1):
        if whole[at : at + len(alone)] == alone:
            return whole[:at]
    raise TrimtabError(
        f"config.yaml, model.source: its tokenizer makes {whole} of 'a' with control tokens and {alone} without; "
        "expected the second within the first"
    )


def apart(messages: Sequence[Mapping[str, str]]) -> tuple[str, Sequence[Mapping[str, str]]]:
    """What a system message says, if there is one, and the messages after it."""
    first, *others = messages
    return (first["content"], others) if first["role"] == "system" else ("", messages)


def first_scores(logits: Float[Tensor, "*any vocabulary"], firsts: Sequence[int]) -> Float[Tensor, "*any action"]:
    """Log-probability of each of some tokens."""
    return torch.log_softmax(logits, dim=-1)[..., list(firsts)]


class Protocol(ABC):
    """Renders tasks, turns and answers as tokens of one model."""

    tokenizer: PreTrainedTokenizerBase
    system: str
    """What the agent is told first."""
    tools: list[str]
    """What is chosen among, where an action is chosen or its chances are read."""
    action_tokens: list[list[int]]
    """Tokens of each tool's name at that place."""
    answer_tokens: int
    """Longer answers are cut to this many tokens."""

    def system_line(self, instruction: str = "") -> str:
        """What the agent is told first, followed by `instruction`, if any."""
        return " ".join(part for part in (self.system, instruction.strip()) if part)

    @abstractmethod
    def header_tokens(self, instruction: str = "") -> list[int]:
        """What stands before the task; `instruction` joins the system line."""

    @abstractmethod
    def asked(self, task: str) -> list[Segment]:
        """The task, up to where the assistant's turn begins."""

    @abstractmethod
    def answered(self, text: str, tool: str = "") -> list[Segment]:
        """A call's answer, after the assistant's turn and up to where its next one begins; `tool` gave it."""

    @abstractmethod
    def fields(self, limits: Mapping[str, int]) -> list[Field]:
        """The assistant's turn; `limits` are the config's `<field>_tokens`."""

    def thinks(self, line: Sequence[int], before: bool) -> bool:
        """Whether a written field goes on within thoughts after its tokens so far.

        Args:
            line: at least one token.
            before: the same before its last token.
        """
        return before

    def calls(self, line: Sequence[int]) -> bool:
        """Whether the name of a tool comes next after these tokens of a written field, at least one."""
        return False

    @abstractmethod
    def step(self, texts: Mapping[str, str]) -> Step:
        """What a turn's fields (name -> text, a tool's name for a choice) come to. Never raises."""

    @abstractmethod
    def prompt(self, messages: Sequence[Mapping[str, str]]) -> list[Segment]:
        """A conversation up to where the agent would go on: header, task and what follows.

        An assistant message at the end is the beginning of its turn, after which the prompt ends where a tool is
        chosen. One before it that has a `tool` and its `argument` is a turn that called this tool, and a message of
        role `tool` after it is the answer.
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
        return start(self.tokenizer)

    def encode(self, text: str, after: str = ":") -> list[int]:
        """Tokens of a piece of a prompt, as they are in the whole text.

        A tokenizer that puts a space before a text's first word (Llama 2) would put one before each piece, so there a
        piece is tokenised together with what it comes after, which is cut off again. All others tokenise it alone.

        Args:
            after: the end of what comes before the piece; empty for the beginning of the whole text. One colon does for
                a piece that begins with white space, or comes after any words.

        Raises:
            TrimtabError: a token would belong to both.
        """
        if not after or not self._begins_with_space:
            return self._tokens(text)
        before, both = self._tokens(after), self._tokens(after + text)
        if both[: len(before)] != before:
            raise TrimtabError(
                f"config.yaml, model.source: its tokenizer has one token for the end of {after[-20:]!r} and the "
                f"beginning of {text[:20]!r}, so a prompt can't be computed piece by piece; expected another model or "
                "protocol"
            )
        return both[len(before) :]

    def as_text(self, text: str) -> list[int]:
        """Tokens of a whole text in which no word is a control token."""
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    def shortened(self, text: str) -> str:
        """An answer at the length at which the model is shown it."""
        return self.decode(self.encode(text, after="")[: self.answer_tokens])

    def _tokens(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    @cached_property
    def _begins_with_space(self) -> bool:
        """Whether the tokenizer puts a space before a text's first word, as sentencepiece or GPT-2's bytes write it."""
        first: str = self.tokenizer.convert_ids_to_tokens(self._tokens("a"))[0]
        return first.startswith(("\u2581", "\u0120"))

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

    @cached_property
    def firsts(self) -> list[int]:
        """The first token of each tool's name."""
        return [tokens[0] for tokens in self.action_tokens]

    def action_scores(self, logits: Float[Tensor, "*any vocabulary"]) -> Float[Tensor, "*any action"]:
        """Log-probability of each action's first token, by which an action is chosen."""
        return first_scores(logits, self.firsts)

    def check_names(self, source: str, names: Sequence[str]) -> None:
        """
        Raises:
            TrimtabError: two of the tools' names begin with the same token.
        """
        for i, first in enumerate(self.firsts):
            if first in self.firsts[:i]:
                raise TrimtabError(
                    f"{source}: {names[self.firsts.index(first)]!r} and {names[i]!r} begin with the same token of "
                    "this model; rename one"
                )
