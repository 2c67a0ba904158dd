"""Kimi K2's form: an id that holds the name, then the arguments, between marks of their own.

Source: the tool-calling guide of Kimi-K2-Instruct. An id is `functions.<name>:<number>`.
"""

import re

from trimtab.agent.calls.between_marks import Nested

ONE, BETWEEN = "<|tool_call_begin|>", "<|tool_call_argument_begin|>"

FORMAT = Nested(
    all="<|tool_calls_section_begin|>",
    all_end="<|tool_calls_section_end|>",
    one=ONE,
    one_end="<|tool_call_end|>",
    between=BETWEEN,
    named=re.compile(rf"{re.escape(ONE)}\s*(?:functions\.)?([\w.-]+)(?::\d+)?\s*{re.escape(BETWEEN)}\s*(?=\{{)"),
).format("https://huggingface.co/moonshotai/Kimi-K2-Instruct/blob/main/docs/tool_call_guidance.md")
