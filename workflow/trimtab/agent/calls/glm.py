"""GLM's form: the name, then `<arg_key>` and `<arg_value>` in pairs, within `<tool_call>`.

Source: the templates of GLM 4.5, 4.6 and 4.7. Texts stand between their tags as they are, other values as JSON; every
value is given as a text here.
"""

import re

from trimtab.agent.calls.between_marks import closed
from trimtab.agent.calls.grammar import Call, Format, Found
from trimtab.agent.calls.tagged import Tags, value

OPENING = re.compile(r"<tool_call>\s*[\w.-]+\s*(?=<arg_key>|</tool_call>)")
PAIR = re.compile(r"\s*<arg_key>([^<>]*)</arg_key>\s*<arg_value>")
BLOCK = re.compile("<tool_call>|(</tool_call>)")
TAGS = Tags(
    every=re.compile("<(tool_call|arg_key|arg_value)>|</(tool_call|arg_key|arg_value)>"),
    value="arg_value",
    next_value="arg_key",
    follows=re.compile(r"\s*(?:<arg_key>|</tool_call>|\Z)"),
    closed=re.compile(r"\s*(?:<tool_call>|\Z)"),
)


def read(text: str, at: int) -> Found | None:
    opening = OPENING.match(text, at)
    if opening is None:
        return None
    name, arguments = opening[0].removeprefix("<tool_call>").strip(), {}
    at = opening.end()
    while pair := PAIR.match(text, at):
        arguments[pair[1].strip()], at = value(text, pair.end(), TAGS)
    return closed(text, at, [Call(name, arguments)], BLOCK)


FORMAT = Format(
    "name with <arg_key> and <arg_value>",
    "https://huggingface.co/zai-org/GLM-4.5",
    OPENING,
    read,
    ("<tool_call>", "</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"),
    "Write the name, and <arg_key> and <arg_value> for each argument, and close them.",
)
