"""Tool calls as the model was trained to write them, through its own chat template.

The template renders system line, tools, task and answers. An episode only ever grows: what the model wrote stays as it
wrote it, and an answer is what the template puts after an assistant's turn. Templates that retell earlier turns in
other words (Qwen3 leaves empty thoughts out of them) would otherwise change text that has been computed. Thinking is
turned off where the template has a switch. How a reply is read is in `replies`.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import jinja2
from transformers import PreTrainedTokenizerBase

from trimtab.agent import dates, replies
from trimtab.agent.names import EMPTY, FINISH, MALFORMED, UNKNOWN, UNPARSED, WRONG
from trimtab.agent.protocol import Field, Protocol, Step
from trimtab.agent.scenario import World
from trimtab.agent.turn import Turn
from trimtab.artifacts import files
from trimtab.errors import TrimtabError
from trimtab.steering import places
from trimtab.steering.places import Segment

SAID, CALLED = "trimtabsaid", "trimtabcalled"
"""Words that stand for what isn't rendered yet; a template passes them on as they are."""

Message = dict[str, Any]


class NativeProtocol(Protocol):
    """A chat, whose assistant calls tools or answers."""

    answer_tokens = 256

    def __init__(self, resource: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> None:
        """
        Raises:
            TrimtabError: the model has no chat template, or one that shows no tools.
        """
        self._resource = resource
        self.tokenizer = tokenizer
        self.tools = list(resource["tools"])
        self._named = {tool["name"]: key for key, tool in resource["tools"].items()}
        self._functions: list[Any] = [_function(tool) for tool in resource["tools"].values()]
        self._header("")
        self.action_tokens = [self.encode(name, after=self._before_name) for name in self._named]
        self.check_names("native.yaml, tools", list(self._named))

    def _rendered(self, messages: Sequence[Message], goes_on: bool) -> str:
        """A chat as text; `goes_on` adds what stands before the assistant's next turn."""
        if self.tokenizer.chat_template is None:
            raise TrimtabError(
                "config.yaml, rollouts.protocol: native, but this model has no chat template; use few_shot"
            )
        try:
            text = self.tokenizer.apply_chat_template(
                list(messages),
                tools=self._functions,
                tokenize=False,
                add_generation_prompt=goes_on,
                enable_thinking=False,
                date_string=dates.TEXT,
                chat_template=dates.dated(self.tokenizer.get_chat_template(tools=self._functions)),
            )
        except jinja2.TemplateError as error:
            raise TrimtabError(
                f"config.yaml, rollouts.protocol: native, but this model's chat template fails on a chat with tools "
                f"({' '.join(str(error).split())})"
            ) from error
        return str(text)

    def _messages(self, task: str, instruction: str) -> list[Message]:
        return [{"role": "system", "content": self.system_line(instruction)}, {"role": "user", "content": task}]

    def _header(self, instruction: str) -> str:
        """What the template puts before the task."""
        text = self._rendered(self._messages(SAID, instruction), goes_on=True)
        header, found, _ = text.partition(SAID)
        if not found or not all(name in header for name in self._named):
            raise TrimtabError(
                "config.yaml, rollouts.protocol: native, but this model's chat template shows no tools; use few_shot"
            )
        return header

    def header_tokens(self, instruction: str = "") -> list[int]:
        return self.encode(self._header(instruction), after="")

    def asked(self, task: str) -> list[Segment]:
        tokens = self.encode(self._asked(task), after=self._header(""))
        return [Segment(tokens, written=False, role=places.USER, ends_prompt=True)]

    def _asked(self, task: str) -> str:
        text = self._rendered(self._messages(self._plain(task), ""), goes_on=True)
        return text.removeprefix(self._header(""))

    def answered(self, text: str) -> list[Segment]:
        return [Segment(self.encode(self._answered(text)), written=False, role=places.TOOL, ends_prompt=True)]

    def _answered(self, text: str) -> str:
        """What the template puts between a turn of the assistant's and its next one."""
        chat = [
            *self._messages("task", ""),
            {"role": "assistant", "content": SAID},
            {
                "role": "tool",
                "content": self._plain(text),
                "tool_call_id": "000000000",
                "name": next(iter(self._named)),
            },
        ]
        return self._rendered(chat, goes_on=True).rpartition(SAID)[2]

    def _plain(self, text: str) -> str:
        """Text in which no word is a control token: a file that says `<|im_end|>` ends nobody's turn."""
        for token in self._control:
            text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    @cached_property
    def _control(self) -> list[str]:
        added = [token for token in self.tokenizer.added_tokens_decoder.values() if len(token.content) > 1]
        # marks of calls are no special tokens in some vocabularies, and plain words may be added tokens
        marks = [token.content for token in added if token.special or token.content[0] in "<["]
        return sorted(marks, key=len, reverse=True)

    def decode(self, tokens: Sequence[int]) -> str:
        # marks of a call are control tokens in some vocabularies; those that end a turn are never among `tokens`
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=False))

    def fields(self, limits: Mapping[str, int]) -> list[Field]:
        return [Field("reply", [], limits["reply_tokens"])]

    def step(self, texts: Mapping[str, str]) -> Step:
        raw = texts["reply"]
        reply = replies.read(raw)
        if not reply.calls:
            return Step(reply.prose, FINISH, fault="" if reply.prose else EMPTY, raw=raw)
        call, ignored = reply.calls[0], len(reply.calls) - 1
        if call.name is None:
            answer = 'Error: this is no call. Write {"name": ..., "arguments": {...}} in valid JSON.'
            return Step(reply.prose, UNPARSED, "", MALFORMED, answer, raw, ignored)
        written = files.canonical(call.arguments) if _is_plain(call.arguments) else ""
        if call.name not in self._named:
            answer = f"Error: there is no such tool; the tools are {', '.join(self._named)}."
            return Step(reply.prose, UNPARSED, written, UNKNOWN, answer, raw, ignored)
        tool = self._named[call.name]
        wanted = list(self._resource["tools"][tool]["parameters"])
        values = [call.arguments.get(name) for name in wanted]
        if not all(isinstance(value, str) for value in values):
            answer = f"Error: {call.name} takes {' and '.join(wanted)}, as text."
            return Step(reply.prose, UNPARSED, written, WRONG, answer, raw, ignored)
        argument = values[0] if len(wanted) == 1 else files.canonical(dict(zip(wanted, values, strict=True)))
        return Step(reply.prose, tool, str(argument), "", "", raw, ignored)

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> list[Segment]:
        """A system message joins the system line. Behind an assistant message the prompt ends in the call's markup,
        where the tool's name is next; without one where the assistant's turn begins.
        """
        by_role = {message["role"]: message["content"] for message in messages}
        header = Segment(self.header_tokens(by_role.get("system", "")), written=False, role=places.SYSTEM)
        segments = [header, *self.asked(by_role["user"])]
        if "assistant" in by_role:
            begun = self._plain(by_role["assistant"]) + self._before_name
            segments.append(Segment(self.encode(begun, after=self._asked(by_role["user"])), written=True))
        return segments

    @cached_property
    def _before_name(self) -> str:
        """What the template puts between an assistant's prose and the name of the tool that it calls."""
        function = {"name": CALLED, "arguments": {}}
        call = {"type": "function", "id": "000000000", "function": function}
        chat = [*self._messages("task", ""), {"role": "assistant", "content": SAID, "tool_calls": [call]}]
        between, found, _ = self._rendered(chat, goes_on=False).rpartition(SAID)[2].partition(CALLED)
        if not found:
            raise TrimtabError("config.yaml, rollouts.protocol: native, but this model's chat template shows no calls")
        return between

    def transcript(self, turns: Sequence[Turn]) -> str:
        parts = [self._asked(turns[0].prompt)]
        for turn in turns:
            parts.append(json.loads(turn.messages)[1]["content"])
            if turn.observation:
                parts.append(self._answered(turn.observation))
        return "".join(parts)

    @property
    def sandbox(self) -> World:
        return World.of(self._resource["sandbox"])

    @property
    def ends(self) -> list[bool]:
        """Control tokens end a turn, but for those that mark a call."""
        closing = self.encode(self._answered("answer"))[0]
        special = [token for token, about in self.tokenizer.added_tokens_decoder.items() if about.special]
        stops = {*self.tokenizer.all_special_ids, *special, closing} - set(self.encode(self._before_name))
        return [token in stops for token in range(len(self.tokenizer))]


def _function(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool as the JSON schema that templates expect."""
    parameters = {name: {"type": "string", "description": about} for name, about in tool["parameters"].items()}
    return {
        "type": "function",
        "function": {
            "name": tool["name"],
            "description": tool["description"],
            "parameters": {"type": "object", "properties": parameters, "required": list(parameters)},
        },
    }


def _is_plain(arguments: Mapping[str, Any]) -> bool:
    """Whether arguments can be written down again: JSON as models write it may hold NaN."""
    try:
        files.canonical(dict(arguments))
    except ValueError:
        return False
    return True
