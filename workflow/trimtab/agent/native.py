"""Tool calls as the model was trained to write them, through its own chat template.

The template renders system line, tools, task and answers. An episode only ever grows: what the model wrote stays as it
wrote it, and an answer is what the template puts after an assistant's turn. Templates that retell earlier turns in
other words (Qwen3 leaves empty thoughts out of them) would otherwise change text that has been computed. Thinking is
turned on or off where the template has a switch, as the resource says; thoughts are kept apart from prose, and while
the model writes, their marks tell whether it is within them. `round_trip` proves at the start that the template's calls
can be read, and finds their form; how a reply is read is in `replies`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from transformers import PreTrainedTokenizerBase

from trimtab.agent import replies, round_trip
from trimtab.agent.calls import FORMATS
from trimtab.agent.chat_template import PLACE, ChatTemplate, Message
from trimtab.agent.names import CUT, EMPTY, FINISH, MALFORMED, UNKNOWN, UNPARSED, WRONG
from trimtab.agent.protocol import Field, Protocol, Step, apart
from trimtab.agent.round_trip import TASK
from trimtab.agent.scenario import World
from trimtab.agent.turn import Turn
from trimtab.artifacts import files
from trimtab.errors import TrimtabError
from trimtab.steering import places
from trimtab.steering.places import Segment


class NativeProtocol(Protocol):
    """A chat, whose assistant calls tools or answers."""

    answer_tokens = 256

    def __init__(self, resource: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> None:
        """
        Raises:
            TrimtabError: the model has no chat template, or one that shows no tools or fails its round trip.
        """
        self._resource = resource
        self.tokenizer, self.system = tokenizer, resource["system"].strip()
        self.tools = list(resource["tools"])
        self._named = {tool["name"]: key for key, tool in resource["tools"].items()}
        functions = [_function(tool) for tool in resource["tools"].values()]
        thinks = bool(resource.get("thinks", False))
        self._template = ChatTemplate(tokenizer, functions, thinks)
        self._header("")
        self._spoken = round_trip.proven(
            self._template, self._messages, lambda text: bool(self._control_of(text)), tokenizer.eos_token is not None
        )
        if thinks and not self._marks:
            raise TrimtabError(
                "config.yaml, rollouts.protocol: native_thinking, but this model has no tokens that mark thoughts; use "
                "native"
            )
        self.action_tokens = [self.encode(name, after=self._before_name) for name in self._named]
        self.check_names("native.yaml, tools", list(self._named))

    @cached_property
    def _marks(self) -> dict[str, tuple[int, int]]:
        """Marks around thoughts of which each is one token, by the one that opens."""
        pairs = {mark: [self.encode(each) for each in (mark, closes)] for mark, closes in replies.THOUGHTS.items()}
        return {mark: (one[0], two[0]) for mark, (one, two) in pairs.items() if len(one) == len(two) == 1}

    def _messages(self, task: str, instruction: str = "") -> list[Message]:
        return [{"role": "system", "content": self.system_line(instruction)}, {"role": "user", "content": task}]

    def _header(self, instruction: str) -> str:
        """What the template puts before the task."""
        header, found, _ = self._template.rendered(self._messages(TASK, instruction), goes_on=True).partition(TASK)
        if not found or not all(name in header for name in self._named):
            raise TrimtabError(f"{PLACE}'s chat template shows no tools; use few_shot")
        return header

    def header_tokens(self, instruction: str = "") -> list[int]:
        return self.encode(self._header(instruction), after="")

    def asked(self, task: str) -> list[Segment]:
        tokens = self.encode(self._asked(task), after=self._header(""))
        return [Segment(tokens, written=False, role=places.USER, ends_prompt=True)]

    def _asked(self, task: str) -> str:
        text = self._template.rendered(self._messages(self._plain(task)), goes_on=True)
        return text.removeprefix(self._header(""))

    def answered(self, text: str, tool: str = "") -> list[Segment]:
        return [Segment(self.encode(self._answered(text, tool)), written=False, role=places.TOOL, ends_prompt=True)]

    def _answered(self, text: str, tool: str = "") -> str:
        """What the template puts between a turn of the assistant's, which called this tool, and its next one."""
        names = [name for name, key in self._named.items() if key == tool] or list(self._named)
        return round_trip.answer(self._template, self._spoken, self._messages(TASK), names[0], self._plain(text))

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
        return [Field("reply", [], limits["reply_tokens"], self._spoken.opened)]

    def thinks(self, line: Sequence[int], before: bool) -> bool:
        last = line[-1]
        if any(last == closes for _, closes in self._marks.values()):
            return False
        if before or not any(last == opens for opens, _ in self._marks.values()):
            return before
        # amid a line the mark is a word, as in `replies`
        return not self.decode(line[:-1]).rpartition("\n")[2].strip()

    @cached_property
    def _mark(self) -> tuple[int, str]:
        """What comes right before a call's name: its last token, and its text but for the white space around."""
        return self.encode(self._before_name)[-1], self._before_name.strip()

    def calls(self, line: Sequence[int]) -> bool:
        last, mark = self._mark
        # most tokens end no mark, and decoding takes time
        return line[-1] == last and self.decode(line).rstrip().endswith(mark)

    def step(self, texts: Mapping[str, str]) -> Step:
        raw = texts["reply"]
        # where a model has tokens for thoughts, the marks of others are words
        opening = tuple(self._marks) or tuple(replies.THOUGHTS)
        reply = replies.read(raw, self._spoken.form, self._spoken.opened, opening)
        count = len(self.encode(reply.thoughts)) if reply.thoughts else 0
        return self._step(raw, reply)._replace(thinking=reply.thoughts, thinking_tokens=count)

    def _step(self, raw: str, reply: replies.Reply) -> Step:
        if reply.cut and not reply.calls:
            return Step(reply.prose, UNPARSED, "", CUT, "Error: this turn ended within its thoughts.", raw)
        if not reply.calls:
            return Step(reply.prose, FINISH, fault="" if reply.prose else EMPTY, raw=raw)
        call, ignored = reply.calls[0], len(reply.calls) - 1
        if call.name is None:
            answer = f"Error: this is no call. {self._spoken.form.shape}"
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
        instruction, turns = apart(messages)
        segments = [Segment(self.header_tokens(instruction), written=False, role=places.SYSTEM)]
        before = ""
        for message in turns:
            text = message["content"]
            if message["role"] == "user":
                segments, before = [*segments, *self.asked(text)], self._asked(text)
            elif message["role"] == "tool":
                segments += self.answered(text, message["tool"])
                before = self._answered(text, message["tool"])
            else:
                begun = self._spoken.before_prose + self._plain(text) + self._before_name
                begun += self._called(message["tool"], message["argument"]) if "tool" in message else ""
                segments += self._parted(self.encode(begun, after=before))
        return segments

    def _called(self, tool: str, argument: str) -> str:
        """What a call of the agent's adds behind `_before_name`: the tool's name and its arguments, to the call's end.

        Of a tool with two parameters, what stands before the first colon is the first.
        """
        names = list(self._resource["tools"][tool]["parameters"])
        values = [argument] if len(names) == 1 else argument.split(": ", len(names) - 1)
        arguments = {name: self._plain(value) for name, value in zip(names, values, strict=True)}
        name = self._resource["tools"][tool]["name"]
        return round_trip.named(self._template, self._spoken, self._messages(TASK), name, arguments)

    def _parted(self, tokens: Sequence[int]) -> list[Segment]:
        """An assistant's turn, or its beginning, cut at the ends of its thoughts and before the name of a tool."""
        inside = self._spoken.opened
        found: list[Segment] = []
        for at, token in enumerate(tokens):
            before, inside = inside, self.thinks(tokens[: at + 1], inside)
            thinking = before or inside
            if not found or found[-1].thinking != thinking or found[-1].calls:
                found.append(Segment([], written=True, thinking=thinking))
            found[-1].tokens.append(token)
            if self.calls(tokens[: at + 1]):
                found[-1] = replace(found[-1], calls=True)
        return found

    @property
    def _before_name(self) -> str:
        """What stands between an assistant's prose and the name of the tool that it calls."""
        return self._spoken.before_name

    def transcript(self, turns: Sequence[Turn]) -> str:
        parts = [self._asked(turns[0].prompt)]
        for turn in turns:
            parts.append(json.loads(turn.messages)[1]["content"])
            if turn.observation:
                parts.append(self._answered(turn.observation, turn.tool))
        return "".join(parts)

    @property
    def sandbox(self) -> World:
        return World.of(self._resource["sandbox"])

    @property
    def ends(self) -> list[bool]:
        """Control tokens end a turn, but for those that a call or thoughts hold; what ends a turn always does."""
        special = [token for token, about in self.tokenizer.added_tokens_decoder.items() if about.special]
        marks = [mark for form in FORMATS for mark in form.marks]
        thoughts = [mark for pair in replies.THOUGHTS.items() for mark in pair]
        spared = self._control_of(self._spoken.call, self._before_name, *marks, *thoughts)
        closing = [token for text in self._spoken.closings for token in self._control_of(text)[:1]]
        stops = {*self.tokenizer.all_special_ids, *special} - set(spared) | set(closing)
        return [token in stops for token in range(len(self.tokenizer))]

    def _control_of(self, *texts: str) -> list[int]:
        """Control tokens and marks of some texts, in order."""
        known = {*self.tokenizer.added_tokens_decoder, *self.tokenizer.all_special_ids}
        return [token for text in texts for token in self.encode(text) if token in known]


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
