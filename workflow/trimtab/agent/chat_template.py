"""A model's own chat template, as text: what its chats look like, in one line of complaint where it can't show one.

How a call is told to a template differs between them: arguments as a mapping or as a text of JSON, ids of nine letters
or ids that hold the tool's name, prose beside a call or none. A `Manner` is one such way; `round_trip` finds which one
a template takes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
from transformers import PreTrainedTokenizerBase

from trimtab.agent import dates
from trimtab.errors import TrimtabError

PLACE = "config.yaml, rollouts.protocol: native, but this model"
"""How complaints about a template begin."""

FAILURES = (
    jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError
)  # fmt: skip
"""A template is a program of others: what its operations raise on a chat that it doesn't expect is its refusal."""

Message = dict[str, Any]


@dataclass(frozen=True)
class Manner:
    """How a call is told to a template."""

    prose: bool
    """Whether prose may stand beside it."""
    as_text: bool
    """Whether its arguments are a text of JSON."""
    id: str
    """With `{name}` for the tool's name."""


MANNERS = tuple(
    Manner(prose, as_text, id)
    for prose in (True, False)
    for as_text in (False, True)
    # Mistral's templates want nine letters; Kimi's write nothing but the id
    for id in ("000000000", "functions.{name}:0")
)


class ChatTemplate:
    """The template of one tokenizer, which shows these functions."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, functions: Sequence[Any], thinks: bool) -> None:
        """
        Args:
            thinks: whether thinking is turned on, where the template has a switch.

        Raises:
            TrimtabError: the model has no chat template.
        """
        if tokenizer.chat_template is None:
            raise TrimtabError(f"{PLACE} has no chat template; use few_shot")
        self._tokenizer = tokenizer
        self._text = dates.dated(tokenizer.get_chat_template(tools=list(functions)))
        self._functions = list(functions)
        self._thinks = thinks

    def rendered(self, messages: Sequence[Message], goes_on: bool) -> str:
        """A chat as text; `goes_on` adds what stands before the assistant's next turn.

        Raises:
            TrimtabError: the template fails on this chat.
        """
        try:
            text = self._tokenizer.apply_chat_template(
                list(messages),
                chat_template=self._text,
                tools=self._functions,
                tokenize=False,
                add_generation_prompt=goes_on,
                enable_thinking=self._thinks,
                date_string=dates.TEXT,
            )
        except FAILURES as error:
            raise TrimtabError(
                f"{PLACE}'s chat template fails on a chat with tools ({' '.join(str(error).split())})"
            ) from error
        return str(text)


def calling(manner: Manner, name: str, arguments: Mapping[str, str], prose: str) -> Message:
    """An assistant's turn that calls a tool."""
    told = json.dumps(arguments, ensure_ascii=False) if manner.as_text else dict(arguments)
    call = {
        "type": "function",
        "id": manner.id.format(name=name),
        "function": {"name": name, "arguments": told},
    }
    return {"role": "assistant", "content": prose if manner.prose else "", "tool_calls": [call]}


def answering(manner: Manner, name: str, text: str) -> Message:
    """What the tool gave back."""
    return {"role": "tool", "content": text, "tool_call_id": manner.id.format(name=name), "name": name}
