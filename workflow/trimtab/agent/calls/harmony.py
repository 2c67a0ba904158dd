"""gpt-oss's form: a turn is a row of messages on channels, and a call is a message to a function.

Source: openai/harmony. Thoughts are on the channel `analysis`; what the user is told is on `final`, and on `commentary`
where no recipient is named.
"""

import re

from trimtab.agent.calls.grammar import MALFORMED, Format, Found, next_of, skip, with_arguments

OPENING = re.compile(r"(?:<\|start\|>assistant ?)?(?:to=[\w.-]+ ?)?<\|channel\|>")
HEAD = re.compile(r"([^<]*)(?:<\|constrain\|>[^<]*)?<\|message\|>")
NEXT = re.compile(r"<\|(?:start|end|call|return|channel)\|>")
CLOSING = re.compile(r"<\|(?:end|call|return)\|>")
RECIPIENT = re.compile(r"to=(?:functions\.)?([\w.-]+)")


def read(text: str, at: int) -> Found | None:
    """One message."""
    opening = OPENING.match(text, at)
    if opening is None:
        return None
    head = HEAD.match(text, opening.end())
    if head is None:
        return Found([MALFORMED], next_of(NEXT, text, opening.end()))
    recipient = RECIPIENT.search(opening[0] + head[1])
    if recipient:
        call, at = with_arguments(recipient[1], text, skip(text, head.end()))
        # what closes a call ends the turn, and is no part of it
        return Found([call], next_of(NEXT, text, at) if call is MALFORMED else at)
    end = next_of(NEXT, text, head.end())
    closing = CLOSING.match(text, end)
    body, after = text[head.end() : end].strip(), closing.end() if closing else end
    if head[1].startswith("analysis"):
        return Found([], after, thoughts=body, cut=end == len(text))
    return Found([], after, prose=body)


FORMAT = Format(
    "messages on <|channel|>",
    "https://github.com/openai/harmony",
    OPENING,
    read,
    ("<|channel|>", "<|message|>", "<|constrain|>"),
    "Write the call as the tools are described, with its arguments in valid JSON.",
)
