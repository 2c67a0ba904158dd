"""MiniMax M2's form: `<invoke name="...">` with `<parameter name="...">` in it, within `<minimax:tool_call>`.

Source: the template and the tool-calling guide of MiniMax-M2.
"""

import re

from trimtab.agent.calls.between_marks import closed
from trimtab.agent.calls.grammar import Call, Format, Found, ended, skip
from trimtab.agent.calls.tagged import Tags, value

OPENING = re.compile("<minimax:tool_call>")
INVOKE = re.compile('<invoke name="?([^<>"]*)"?>')
PARAMETER = re.compile(r'\s*<parameter name="?([^<>"]*)"?>')
BLOCK = re.compile("<minimax:tool_call>|(</minimax:tool_call>)")
TAGS = Tags(
    every=re.compile(
        "<(minimax:tool_call(?=>)|(?:invoke|parameter)(?= name=[^<>]*>))[^<>]*>|</(minimax:tool_call|invoke|parameter)>"
    ),
    value="parameter",
    next_value="parameter",
    follows=re.compile(r"\s*(?:<parameter name=|</invoke>|</minimax:tool_call>|\Z)"),
    closed=re.compile(r"\s*(?:<invoke name=|</?minimax:tool_call>|\Z)"),
)


def read(text: str, at: int) -> Found:
    at += len("<minimax:tool_call>")
    calls = []
    while invoke := INVOKE.match(text, skip(text, at)):
        arguments: dict[str, str] = {}
        at = invoke.end()
        while parameter := PARAMETER.match(text, at):
            arguments[parameter[1]], at = value(text, parameter.end(), TAGS)
        at = ended(text, at, "</invoke>")
        calls.append(Call(invoke[1] or None, arguments))
    return closed(text, at, calls, BLOCK)


FORMAT = Format(
    '<invoke name="..."> with <parameter name="...">',
    "https://huggingface.co/MiniMaxAI/MiniMax-M2",
    OPENING,
    read,
    ("<minimax:tool_call>", "</minimax:tool_call>"),
    'Write <invoke name="..."> with a <parameter name="..."> for each argument, and close them.',
)
