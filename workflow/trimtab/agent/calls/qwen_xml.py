"""Qwen's form with tags: `<function=name>` with `<parameter=key>` in it, mostly within `<tool_call>`.

Source: the template and the parser of Qwen3-Coder; also Qwen 3.5. A value stands on lines of its own. Llama 3.1 writes
`<function=name>` with JSON behind it, which is read here too.
"""

import re

from trimtab.agent.calls.between_marks import closed
from trimtab.agent.calls.grammar import MALFORMED, Call, Format, Found, ended, next_of, skip, with_arguments
from trimtab.agent.calls.tagged import Tags, value

# words may stand between the two marks, but no JSON: that would be Hermes' form, quoting this one
OPENING = re.compile(r"(?:<tool_call>[^<{\[]*)?<function=")
FUNCTION = re.compile(r"<function=([^<>\s]*)\s*>")
PARAMETER = re.compile(r"<parameter=([^<>]*)>")
BLOCK = re.compile("<tool_call>|(</tool_call>)")
INSIDE = re.compile("<parameter=[^<>]*>|</?function|</?tool_call>")
TAGS = Tags(
    every=re.compile(r"<(tool_call(?=>)|(?:function|parameter)(?==[^<>]*>))[^<>]*>|</(tool_call|function|parameter)>"),
    value="parameter",
    next_value="parameter",
    follows=re.compile(r"\s*(?:<parameter=|</function>|</tool_call>|\Z)"),
    closed=re.compile(r"\s*(?:</?tool_call>|<function=|\Z)"),
)


def read(text: str, at: int) -> Found:
    """All functions that stand one after the other."""
    wrapped = text.startswith("<tool_call>", at)
    at = text.index("<function=", at)
    calls = []
    while function := FUNCTION.match(text, skip(text, at)):
        call, at = _function(text, function)
        calls.append(call)
    if wrapped:
        return closed(text, at, calls, BLOCK)
    return Found(calls, at) if calls else Found([MALFORMED], at + len("<function="))


def _function(text: str, function: re.Match[str]) -> tuple[Call, int]:
    at = skip(text, function.end())
    if text.startswith("{", at):
        call, at = with_arguments(function[1], text, at)
        return call, ended(text, at, "</function>")
    arguments: dict[str, str] = {}
    while parameter := PARAMETER.match(text, at := next_of(INSIDE, text, at)):
        written, at = value(text, parameter.end(), TAGS)
        arguments[parameter[1].strip()] = written.removeprefix("\n").removesuffix("\n")
    return Call(function[1] or None, arguments), ended(text, at, "</function>")


FORMAT = Format(
    "<function=name> with <parameter=key>",
    "https://huggingface.co/Qwen/Qwen3-Coder-30B-A3B-Instruct",
    OPENING,
    read,
    ("<tool_call>", "</tool_call>"),
    "Write <function=...> with a <parameter=...> for each argument, and close them.",
)
