"""How one episode goes on between passes of the model: fields are written or chosen, calls answered, turns kept.

A player knows how episodes of a protocol go, and nothing of batches: what is computed for many episodes at once, and
what they choose from it, is `engine`'s business. What a turn looks like is `protocol`'s, what a call returns
`environment`'s.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trimtab.agent.names import FINISH, NUMERICAL, UNPARSED
from trimtab.agent.protocol import Field, Protocol, Step
from trimtab.agent.scenario import Assignment
from trimtab.agent.turn import Turn
from trimtab.artifacts import files
from trimtab.errors import TrimtabError
from trimtab.rollouts.chooser import Ask
from trimtab.rollouts.episode import Choice, Episode
from trimtab.settings.rollouts import EpisodeSettings
from trimtab.steering import places
from trimtab.steering.places import Segment


class Coming(NamedTuple):
    """What an episode may write before it is given anything else."""

    acts: bool
    """Whether that is an action, rather than tokens."""
    draws: list[int | float]
    """The noise of each choice."""
    places: list[int]
    """Of the tokens, as far as they will be fed."""


class Player:
    """Plays episodes of one protocol."""

    def __init__(self, protocol: Protocol, settings: EpisodeSettings, context: float) -> None:
        """`context`: the most tokens that a sequence of the model can have."""
        self._protocol, self._max_turns, self._context = protocol, settings.max_turns, context
        self._ends = protocol.ends
        self._fields = protocol.fields(settings.limits)
        self._sizes = [max(field.limit, 1) for field in self._fields]
        # where a field's noise begins in its turn's row
        self._draws = [sum(self._sizes[:at]) for at in range(len(self._sizes))]
        name = max(len(tokens) for tokens in protocol.action_tokens)
        self._turn = sum(len(field.cue) + (field.limit or name) for field in self._fields)
        """The most tokens that a turn can have."""

    @property
    def draws(self) -> tuple[int, list[int]]:
        """How much noise an episode may use: turns, and of each field of a turn, as many draws as tokens that may be
        written, or the one of its action."""
        return self._max_turns, self._sizes

    def lengths(self, scenarios: Sequence[Assignment]) -> tuple[int, int]:
        """Tokens of the longest task, and of the longest episode that may be, the header apart."""
        first = max(_length(self._protocol.asked(scenario.task)) for scenario in scenarios)
        turn = self._turn + _length(self._protocol.answered("")) + self._protocol.answer_tokens
        return first, int(min(first + self._max_turns * turn, self._context))

    def begin(self, episode: Episode, header: int) -> None:
        """Show the agent its task, after a header of so many tokens.

        Raises:
            TrimtabError: the model's context has no room for it.
        """
        episode.length = header
        segments = self._protocol.asked(episode.given)
        if not self._fits(episode, segments):
            raise TrimtabError(
                f"scenario {episode.scenario_id}: header, task and one turn don't fit the model's context of "
                f"{self._context} tokens"
            )
        self._give(episode, segments)

    def _chooses(self, episode: Episode) -> bool:
        """Whether an episode chooses an action next, rather than writing a token."""
        return not self._field(episode).limit

    def ask(self, episode: Episode) -> Ask:
        """What an episode's next choice is, and its noise."""
        draw: np.generic = episode.noise[len(episode.turns), self._draws[episode.at] + len(episode.line)]
        return Ask(self._chooses(episode), draw)

    def coming(self, episode: Episode) -> Coming:
        """What an episode that begins a field may write in it, under a protocol that knows places beforehand."""
        limit, start = self._field(episode).limit, self._draws[episode.at]
        draws = episode.noise[len(episode.turns), start : start + max(limit, 1)].tolist()
        return Coming(not limit, draws, places.written(limit, episode.tokens, episode.thinking))

    def take(self, episode: Episode, choice: Choice) -> None:
        """An episode goes on with what it chose."""
        if self._chooses(episode):
            self._act(episode, choice)
        else:
            self._write(episode, choice.number)

    def break_off(self, episode: Episode) -> None:
        """End an episode whose logits are not finite: no token has a chance, and none would have one later."""
        written = [*episode.texts.values(), self._protocol.decode(episode.line).strip()]
        self._keep(episode, Step("\n".join(filter(None, written)), UNPARSED), "", False, NUMERICAL, NUMERICAL)
        episode.done, episode.pending = True, []

    def _fits(self, episode: Episode, segments: Sequence[Segment]) -> bool:
        """Whether the context has room for `segments` and a turn."""
        return episode.length + _length(segments) + self._turn <= self._context

    def _give(self, episode: Episode, segments: Sequence[Segment]) -> None:
        """Show the agent a task or an answer; its turn begins."""
        for segment in segments:
            episode.feed(segment.tokens, segment.places)
        episode.texts, episode.ended, episode.probabilities, episode.tokens = {}, None, [], 0
        self._begin(episode, 0)

    def _begin(self, episode: Episode, at: int) -> None:
        episode.at, episode.line = at, []
        cue, episode.thinking = self._fields[at].cue, self._fields[at].thinks
        chooses = self._chooses(episode)
        at_cue = places.cue(len(cue), episode.tokens, ends_prompt=True, thinking=episode.thinking, calls=chooses)
        episode.feed(cue, at_cue)

    def _field(self, episode: Episode) -> Field:
        return self._fields[episode.at]

    def _write(self, episode: Episode, token: int) -> None:
        """Add a token to a written field; a token that ends the field is not fed."""
        ended = token < len(self._ends) and self._ends[token]
        if not ended:
            episode.line.append(token)
            before, episode.thinking = episode.thinking, self._protocol.thinks(episode.line, episode.thinking)
            # a mark is part of the thoughts that it begins or ends
            thinking, calls = before or episode.thinking, self._protocol.calls(episode.line)
            episode.feed([token], places.written(1, episode.tokens, thinking, calls))
            episode.tokens += 1
            if len(episode.line) < self._field(episode).limit:
                return
        if episode.ended is None:
            episode.ended = ended
        self._finish(episode, self._protocol.decode(episode.line).strip())

    def _act(self, episode: Episode, choice: Choice) -> None:
        episode.probabilities = list(choice.chances)
        name = self._protocol.action_tokens[choice.number]
        episode.feed(name, places.written(len(name), episode.tokens))
        episode.tokens += len(name)
        self._finish(episode, self._protocol.tools[choice.number])

    def _finish(self, episode: Episode, text: str) -> None:
        """End a field; the next one begins, or the turn ends with the last."""
        episode.texts[self._field(episode).name] = text
        if episode.at + 1 < len(self._fields):
            self._begin(episode, episode.at + 1)
        else:
            self._call(episode)

    def _call(self, episode: Episode) -> None:
        """End a turn: the environment answers, and the turn is kept."""
        step, turn = self._protocol.step(episode.texts), len(episode.turns)
        if step.tool == FINISH:
            text, ok, fault, reason = "", True, step.fault, "finish"
        elif step.tool == UNPARSED:
            text, ok, fault, reason = step.answer, False, step.fault, "call"
        else:
            answer = episode.environment.call(step.tool, step.argument)
            text, ok, fault, reason = answer.text, answer.ok, answer.fault or step.fault, "call"
        # what the model is shown is what the next turn says it was given
        shown = self._protocol.shortened(text)
        segments = self._protocol.answered(shown, step.tool)
        if reason == "call" and turn + 1 == self._max_turns:
            reason = "turns"
        elif reason == "call" and not self._fits(episode, segments):
            reason = "context"
        self._keep(episode, step, text, ok, fault, reason)
        if reason != "call":
            episode.done, episode.pending = True, []
            return
        episode.given = shown
        self._give(episode, segments)

    def _keep(self, episode: Episode, step: Step, text: str, ok: bool, fault: str, reason: str) -> None:
        """Note the turn that ends, `text` being what it was answered."""
        turn = len(episode.turns)
        chances = zip(self._protocol.tools, episode.probabilities, strict=True) if episode.probabilities else ()
        said = [
            {"role": "tool" if turn else "user", "content": episode.given},
            {"role": "assistant", "content": step.raw or step.thought},
        ]
        episode.turns.append(
            Turn(
                condition_id=episode.arm.condition_id,
                scenario_id=episode.scenario_id,
                seed=episode.run,
                turn=turn,
                messages=files.canonical(said),
                call=files.canonical({"name": step.tool, "arguments": step.argument}),
                prompt=episode.given,
                thought=step.thought,
                tool=step.tool,
                argument=step.argument,
                observation=text,
                ok=ok,
                fault=fault,
                ignored_calls=step.ignored,
                tokens=episode.tokens,
                finish_reason=reason,
                thought_ended=bool(episode.ended),
                system=self._protocol.system_line(episode.arm.instruction),
                thinking=step.thinking,
                thinking_tokens=step.thinking_tokens,
                chances=dict(chances),
            )
        )


def _length(segments: Sequence[Segment]) -> int:
    return sum(len(segment.tokens) for segment in segments)
