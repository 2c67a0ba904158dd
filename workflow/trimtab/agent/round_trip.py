"""The proof that a template's calls can be read: render a call, read it back, render its answer.

A template may leave out what it is given (calls, prose beside them, answers), may write calls in a form that no grammar
here reads, or may end turns in what is no token of the model. Each would make every reply look like a final answer, so
a template shows at the start that it does none of this, or is refused. What the proof finds on its way is what the
protocol needs: the form of calls, the text around them, and how turns end.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from trimtab.agent import replies
from trimtab.agent.calls import FORMATS
from trimtab.agent.calls.grammar import Call, Format
from trimtab.agent.chat_template import MANNERS, PLACE, ChatTemplate, Manner, Message, answering, calling
from trimtab.errors import TrimtabError

TASK, SAID, CALLED, ANSWERED, NEXT = (f"trimtab{word}" for word in ("task", "said", "called", "answered", "next"))
"""Words that stand for what isn't rendered yet; a template passes them on as they are."""
ARGUMENTS = {"text": 'two lines:\n"a" {c}, [d] é', "name": "n.md"}
"""What a call of the proof says: text that each form must escape, or tell from its own marks."""
SNIPPET = 60
"""Characters of an unread call that a complaint quotes."""


@dataclass(frozen=True)
class Spoken:
    """How a template tells calls."""

    form: Format
    manner: Manner
    opened: bool
    """Whether the prompt ends within thoughts."""
    before_prose: str
    """Between where the assistant's turn begins and its prose."""
    before_name: str
    """Between the prose, or where the turn begins if prose is left out, and the name of the tool that is called."""
    call: str
    """A whole turn with a call, from its beginning to where the call ends."""
    closings: tuple[str, str]
    """What stands behind a call, and behind an answer without one."""


class _Unfit(Exception):
    """Why a manner won't do."""


def proven(
    template: ChatTemplate, chat: Callable[[str], list[Message]], holds_end: Callable[[str], bool], has_end: bool
) -> Spoken:
    """How a template tells calls.

    Args:
        chat: system message and task.
        holds_end: whether a text holds a control token, which can end a turn.
        has_end: whether the vocabulary has an end token, by which turns end where the template writes none.

    Raises:
        TrimtabError: no manner passes; the first one's fault.
    """
    once, again = (template.rendered(chat(TASK), goes_on=True) for _ in range(2))
    if once != again:
        raise TrimtabError(f"{PLACE}'s chat template says another thing each time; use few_shot")
    faults: list[str] = []
    for manner in MANNERS:
        try:
            spoken = _proven(template, chat(TASK), manner, holds_end)
            for closing in spoken.closings:
                if not has_end and not holds_end(closing):
                    raise _Unfit(f"ends a turn in {_snippet(closing)}, which is no token of the model")
            return spoken
        except _Unfit as fault:
            faults.append(f"{PLACE}'s chat template {fault}; use few_shot")
        except TrimtabError as fault:
            faults.append(str(fault))
    raise TrimtabError(faults[0])


def _proven(template: ChatTemplate, chat: list[Message], manner: Manner, holds_end: Callable[[str], bool]) -> Spoken:
    turn = _behind_task(template.rendered(chat, goes_on=True))
    whole = _with_call(template, chat, manner, ARGUMENTS)
    if CALLED not in whole:
        raise _Unfit("leaves out an assistant's calls")
    if ANSWERED not in whole:
        raise _Unfit("leaves out what a tool answers")
    begin = _turn_begins(turn, whole)
    form, end = _form(whole[begin : whole.index(ANSWERED)])
    call = whole[begin : begin + end]
    opening = max(turn.rfind(mark) for mark in replies.THOUGHTS)
    opened = opening > max(turn.rfind(mark) for mark in replies.THOUGHTS.values())
    if replies.read(call, form).calls != [Call(CALLED, ARGUMENTS)]:
        raise _Unfit(f"writes a call that can't be told from the prose beside it ({_snippet(call)})")
    if SAID in whole[begin + end : whole.index(ANSWERED)]:
        raise _Unfit("writes prose behind a call, where nobody wrote it")
    last = template.rendered([*chat, {"role": "assistant", "content": SAID}], goes_on=False)
    if SAID not in last:
        raise _Unfit("leaves out an assistant's answers")
    closing = last.rpartition(SAID)[2]
    if not holds_end(closing):
        more = [{"role": "assistant", "content": SAID}, {"role": "user", "content": NEXT}]
        closing = template.rendered([*chat, *more], goes_on=True).rpartition(SAID)[2].partition(NEXT)[0]
    closings = whole[begin + end : whole.index(ANSWERED)], closing
    before_prose, before_name = _around(template, chat, manner, form, turn)
    if opened:
        close = next(closes for opens, closes in replies.THOUGHTS.items() if turn.startswith(opens, opening))
        before_prose, before_name = "", f"\n{close}\n\n{before_name.lstrip()}"
    return Spoken(form, manner, opened, before_prose, before_name, call, closings)


def answer(template: ChatTemplate, spoken: Spoken, chat: Sequence[Message], name: str, text: str) -> str:
    """What the template puts between a call of the assistant's and its next turn."""
    turns = [calling(spoken.manner, name, ARGUMENTS, SAID), answering(spoken.manner, name, text)]
    whole = _behind_task(template.rendered([*chat, *turns], goes_on=True))
    for _, found in replies.located(whole, spoken.form):
        if found.calls:
            return whole[found.end :]
    raise ValueError(f"the call of {name} was rendered and can't be found")


def named(
    template: ChatTemplate, spoken: Spoken, chat: Sequence[Message], name: str, arguments: Mapping[str, str]
) -> str:
    """A call as the template writes it, from the tool's name to where the call ends."""
    turns = [calling(spoken.manner, name, arguments, ""), answering(spoken.manner, name, ANSWERED)]
    whole = _behind_task(template.rendered([*chat, *turns], goes_on=True))
    for start, found in replies.located(whole, spoken.form):
        if found.calls:
            return whole[whole.index(name, start) : found.end]
    raise ValueError(f"the call of {name} was rendered and can't be found")


def _with_call(template: ChatTemplate, chat: list[Message], manner: Manner, arguments: dict[str, str]) -> str:
    turns = [calling(manner, CALLED, arguments, SAID), answering(manner, CALLED, ANSWERED)]
    return _behind_task(template.rendered([*chat, *turns], goes_on=True))


def _behind_task(text: str) -> str:
    return text.partition(TASK)[2]


def _turn_begins(turn: str, whole: str) -> int:
    """Where a chat that goes on with a call leaves the text that asks for a turn; never amid a mark."""
    shared = "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], zip(turn, whole, strict=False)))
    for opens, closes in ("<>", "[]"):
        if shared.rfind(opens) > shared.rfind(closes):
            shared = shared[: shared.rfind(opens)]
    return len(shared)


def _form(turn: str) -> tuple[Format, int]:
    """The form that reads the call of a turn, and where the call ends."""
    for form in FORMATS:
        for _, found in replies.located(turn, form):
            if found.calls == [Call(CALLED, ARGUMENTS)]:
                return form, found.end
    at = turn.find(CALLED)
    raise _Unfit(f"writes calls in a form that Trimtab can't read ({_snippet(turn[max(0, at - SNIPPET // 2) :])})")


def _around(template: ChatTemplate, chat: list[Message], manner: Manner, form: Format, turn: str) -> tuple[str, str]:
    """What stands before the prose and before the name, where a call has no arguments yet."""
    whole = _with_call(template, chat, manner, {})
    begin = _turn_begins(turn, whole)
    whole = whole[begin : whole.index(ANSWERED)]
    starts = [start for start, found in replies.located(whole, form) if found.calls == [Call(CALLED, {})]]
    name = whole.index(CALLED)
    start = starts[0] if starts and starts[0] < name else name
    if SAID in whole[:start]:
        before_prose, _, between = whole[:name].partition(SAID)
        return before_prose, between
    return "", whole[start:name]


def _snippet(text: str) -> str:
    return repr(text.replace(CALLED, "NAME").replace(SAID, "PROSE")[:SNIPPET])
