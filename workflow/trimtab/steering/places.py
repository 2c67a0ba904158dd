"""Where a token stands in an episode, and which places a timing touches.

A push is applied to some of an episode's tokens and not to others, so every token that is fed says who it belongs to:
whether the model wrote it or was given it, whose turn it is part of, whether it is the last one before the model goes
on, whether it is part of the thoughts before an answer, whether the name of a tool comes next, and how many tokens the
model had written in that turn before it. A place is one whole number, so that a pass of thousands of tokens is marked
by one tensor. What a push does is the business of `trimtab.steering.steering`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from trimtab.steering.catalogue import FIRST

USER, ASSISTANT, SYSTEM, TOOL = range(4)
"""Whose turn a token is part of; the markup around a turn belongs to it."""

_WRITTEN, _LAST, _ROLE, _THINKING, _CALLS, _BEFORE = 1, 2, 4, 16, 32, 64
"""A place is the sum of these, of which one is taken as often as the role says, and the last as often as the count
does; True and False are places as well."""


def given(role: int, count: int, ends_prompt: bool = False, calls: bool = False) -> list[int]:
    """Places of `count` given tokens; `ends_prompt` says that the model goes on after them, `calls` that the name of a
    tool comes next."""
    return _ended([role * _ROLE] * count, ends_prompt, calls)


def _ended(places: list[int], ends_prompt: bool, calls: bool) -> list[int]:
    if places:
        places[-1] += ends_prompt * _LAST + calls * _CALLS
    return places


def written(count: int, before: int = 0, thinking: bool = False, calls: bool = False) -> list[int]:
    """Places of tokens of the assistant's own turn, of which `before` were written before them; `calls` says that the
    name of a tool comes after the last.

    A cue such as "Action:" is part of that turn, though nobody drew it; it counts for nothing.
    """
    own = _WRITTEN + ASSISTANT * _ROLE + thinking * _THINKING
    return _ended([own + number * _BEFORE for number in range(before, before + count)], False, calls)


def cue(count: int, before: int, ends_prompt: bool = False, thinking: bool = False, calls: bool = False) -> list[int]:
    """Places of a cue in the assistant's turn, after `before` written tokens; `ends_prompt` and `calls` as for given
    tokens."""
    return _ended(written(1, before, thinking) * count, ends_prompt, calls)


class Places(NamedTuple):
    """Places, taken apart."""

    written: Bool[Tensor, "*token"]
    last: Bool[Tensor, "*token"]
    role: Int[Tensor, "*token"]
    before: Int[Tensor, "*token"]
    thinking: Bool[Tensor, "*token"]
    calls: Bool[Tensor, "*token"]

    @classmethod
    def of(cls, places: Int[Tensor, "*token"] | Bool[Tensor, "*token"]) -> "Places":
        """Take places apart."""
        at = places.long()
        last, thinking, calls = (at // each % 2 == 1 for each in (_LAST, _THINKING, _CALLS))
        return cls(at % _LAST == 1, last, at // _ROLE % 4, at // _BEFORE, thinking, calls)


_TOUCHED: dict[str, Callable[[Places], Bool[Tensor, "*token"]]] = {
    "all": lambda at: torch.ones_like(at.written),
    "prefill": lambda at: ~at.written,
    "decode": lambda at: at.written,
    "last_prompt": lambda at: at.last & ~at.written,
    "prefill_but_last": lambda at: ~at.written & ~at.last,
    "last_cue": lambda at: at.last & at.written,
    "all_but_last_cue": lambda at: ~(at.last & at.written),
    "system": lambda at: at.role == SYSTEM,
    "user": lambda at: at.role == USER,
    "tool": lambda at: at.role == TOOL,
    "assistant": lambda at: at.role == ASSISTANT,
    "thinking": lambda at: at.written & at.thinking,
    "answer": lambda at: at.written & ~at.thinking,
    "before_call": lambda at: at.calls,
    "none": lambda at: torch.zeros_like(at.written),
}
TIMINGS = (*_TOUCHED, "decode_<number>")


def check_timing(timing: str) -> None:
    """
    Raises:
        ValueError: there is no such timing.
    """
    if timing not in _TOUCHED and FIRST.fullmatch(timing) is None:
        raise ValueError(f"timing {timing!r}: expected one of {', '.join(TIMINGS)}")


def touched(timing: str, at: Places) -> Bool[Tensor, "*token"]:
    """Which tokens a push of this timing touches."""
    if (first := FIRST.fullmatch(timing)) is not None:
        return at.written & (at.before < int(first[1]))
    return _TOUCHED[timing](at)


class Piece(NamedTuple):
    """Text that is fed to the model, with where each token stands in its episode."""

    tokens: list[int]
    places: list[int]


@dataclass(frozen=True)
class Segment:
    """A piece of a prompt: its tokens, and where they stand in the episode."""

    tokens: list[int]
    written: bool
    """Whether it belongs to what the assistant writes, cues included."""
    role: int = USER
    """Whose turn given text is part of; what is written is the assistant's."""
    ends_prompt: bool = False
    """Whether the model goes on after it."""
    thinking: bool = False
    """Whether what is written is part of the thoughts before an answer."""
    calls: bool = False
    """Whether the name of a tool comes next."""

    @property
    def places(self) -> list[int]:
        """The place of each token."""
        if self.written:
            return cue(len(self.tokens), 0, self.ends_prompt, self.thinking, self.calls)
        return given(self.role, len(self.tokens), self.ends_prompt, self.calls)
