"""The few-shot protocol, for models too small for native tool calls.

A step is Thought, Action, Input, Observation. The action is chosen by scoring the first token of each action's name,
so every step parses. Text is cut into segments at line starts. Without thoughts a step is Action, Input, Observation,
in the worked examples too; "Action:" is then given text, so that an action is decided at the prompt's last token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from transformers import PreTrainedTokenizerBase

from trimtab.agent.names import EMPTY
from trimtab.agent.protocol import Field, Protocol, Step, apart
from trimtab.agent.scenario import World
from trimtab.agent.turn import Turn
from trimtab.steering import places
from trimtab.steering.places import Segment

THOUGHT, ACTION, INPUT = "\nThought:", "\nAction:", "\nInput:"


@dataclass(frozen=True)
class WorkedStep:
    """A step of a worked example."""

    thought: str
    action: str
    """A tool, or `names.FINISH`."""
    input: str
    observation: str = ""
    """What the call returned; empty where the example ends."""


@dataclass(frozen=True)
class WorkedExample:
    task: str
    steps: tuple[WorkedStep, ...]


@dataclass(frozen=True)
class Texts:
    """What a resource says: the texts that a header is made of, and the world of tasks that are no scenarios."""

    system: str
    actions: Mapping[str, str]
    """Tool, or `names.FINISH` -> its name in the text."""
    examples: tuple[WorkedExample, ...]
    sandbox: World
    thoughts: bool = True
    """Whether a step begins with one."""

    @classmethod
    def of(cls, resource: Mapping[str, Any]) -> "Texts":
        """From few_shot.yaml or few_shot_at_once.yaml."""
        examples = [
            WorkedExample(each["task"], tuple(WorkedStep(**step) for step in each["steps"]))
            for each in resource["examples"]
        ]
        return cls(
            system=resource["system"].strip(),
            actions=resource["actions"],
            examples=tuple(examples),
            sandbox=World.of(resource["sandbox"]),
            thoughts=resource.get("thoughts", True),
        )


class FewShotProtocol(Protocol):
    """Lines of text, one a field."""

    answer_tokens = 32

    def __init__(self, texts: Texts, tokenizer: PreTrainedTokenizerBase) -> None:
        """
        Raises:
            TrimtabError: two action names share their first token.
        """
        self._texts, self._thoughts = texts, texts.thoughts
        self.tokenizer, self.system = tokenizer, texts.system
        self.tools = list(texts.actions)
        names = list(texts.actions.values())
        self.action_tokens = [self.encode(f" {name}") for name in names]
        self.check_names("few_shot.yaml, actions", names)

    @property
    def sandbox(self) -> World:
        return self._texts.sandbox

    def header(self, instruction: str = "") -> str:
        """System line (followed by `instruction`, if any), actions and worked examples, without the task."""
        actions = self._texts.actions
        lines = [
            self.system_line(instruction),
            f"Actions: {', '.join(actions.values())}",
        ]
        for example in self._texts.examples:
            lines += ["", f"Task: {example.task}"]
            for step in example.steps:
                lines += self._lines(step.thought, actions[step.action], step.input)
                if step.observation:
                    lines.append(f"Observation: {step.observation}")
        return "\n".join(lines)

    def _lines(self, thought: str, action: str, argument: str) -> list[str]:
        """A step as lines."""
        before = [f"Thought: {thought}"] if self._thoughts else []
        return [*before, f"Action: {action}", f"Input: {argument}"]

    def header_tokens(self, instruction: str = "") -> list[int]:
        return [*self.start, *self.encode(self.header(instruction), after="")]

    def _tokens(self, text: str) -> list[int]:
        # lines are plain text: a file that an agent reads may hold control tokens
        return self.as_text(text)

    def task(self, text: str) -> str:
        return f"\n\nTask: {_line(text)}"

    def observation(self, text: str) -> str:
        return f"\nObservation: {_line(text)}"

    def asked(self, task: str) -> list[Segment]:
        return self._shown(self.task(task), places.USER)

    def answered(self, text: str, tool: str = "") -> list[Segment]:
        return self._shown(self.observation(text), places.TOOL)

    def _shown(self, text: str, role: int) -> list[Segment]:
        if self._thoughts:
            return [Segment(self.encode(text), written=False, role=role, ends_prompt=True)]
        return [
            Segment(self.encode(text), written=False, role=role),
            Segment(self.encode(ACTION), written=False, role=places.ASSISTANT, ends_prompt=True, calls=True),
        ]

    def fields(self, limits: Mapping[str, int]) -> list[Field]:
        argument = Field("input", self.encode(INPUT), limits["input_tokens"])
        if not self._thoughts:
            return [Field("action", [], 0), argument]
        thought = Field("thought", self.encode(THOUGHT), limits["thought_tokens"], thinks=True)
        return [thought, Field("action", self.encode(ACTION), 0), argument]

    def step(self, texts: Mapping[str, str]) -> Step:
        empty = not texts["input"] or (self._thoughts and not texts["thought"])
        return Step(texts.get("thought", ""), texts["action"], texts["input"], EMPTY if empty else "")

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> list[Segment]:
        """A system message joins the header. Behind an assistant message without a call, which is a thought, the prompt
        ends at the colon of "Action:"; without one it ends where the assistant's turn begins, cue included. Where steps
        have no thoughts, the assistant's messages join what is before them.
        """
        instruction, turns = apart(messages)
        segments = [Segment(self.header_tokens(instruction), written=False, role=places.SYSTEM)]
        role, shown = "user", ""
        for message in turns:
            if message["role"] != "assistant":
                role, shown = message["role"], message["content"]
            elif self._thoughts:
                segments += [*self._told(role, shown), *self._thought(message["content"])]
            else:
                segments += self._told(role, f"{shown} {message['content']}")
            if message["role"] == "assistant" and "tool" in message:
                segments += self._called(message["tool"], message["argument"])
        if turns[-1]["role"] != "assistant":
            segments += self._told(role, shown)
            segments += [Segment(self.encode(THOUGHT), written=True, thinking=True)] if self._thoughts else []
        return segments

    def _told(self, role: str, text: str) -> list[Segment]:
        return self.asked(text) if role == "user" else self.answered(text)

    def _thought(self, text: str) -> list[Segment]:
        return [
            Segment(self.encode(THOUGHT), written=True, thinking=True),
            Segment(self.encode(f" {_line(text)}"), written=True, thinking=True),
            Segment(self.encode(ACTION), written=True, calls=True),
        ]

    def _called(self, tool: str, argument: str) -> list[Segment]:
        """What a call of the agent's adds behind the colon of "Action:"."""
        named, said = self._texts.actions[tool], _line(argument)
        return [Segment(self.encode(text), written=True) for text in (f" {named}", INPUT, f" {said}")]

    def transcript(self, turns: Sequence[Turn]) -> str:
        lines = [f"Task: {_line(turns[0].prompt)}"]
        for turn in turns:
            lines += self._lines(turn.thought, self._texts.actions[turn.tool], turn.argument)
            if turn.observation:
                lines.append(f"Observation: {_line(turn.observation)}")
        return "\n".join(lines)

    @cached_property
    def ends(self) -> list[bool]:
        """For each token of the vocabulary, whether it ends a line or the text."""
        vocabulary = len(self.tokenizer)
        texts = self.tokenizer.batch_decode([[i] for i in range(vocabulary)], skip_special_tokens=False)
        special = set(self.tokenizer.all_special_ids)
        return ["\n" in text or token in special for token, text in enumerate(texts)]


def _line(text: str) -> str:
    """Text as one line: a line break would end the field that it stands in."""
    return " ".join(text.split())
