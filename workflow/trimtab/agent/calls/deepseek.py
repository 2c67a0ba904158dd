"""DeepSeek's form: name and arguments between marks of their own.

Source: the templates of DeepSeek V3 and R1, where the arguments stand in a fence, and of V3.1, where they don't.
"""

import re

from trimtab.agent.calls.between_marks import Nested

ONE, BETWEEN = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>"

FORMAT = Nested(
    all="<｜tool▁calls▁begin｜>",
    all_end="<｜tool▁calls▁end｜>",
    one=ONE,
    one_end="<｜tool▁call▁end｜>",
    between=BETWEEN,
    named=re.compile(rf"{ONE}\s*(?:function{BETWEEN}([\w.-]+)\s*```(?:json)?\s*|([\w.-]+)\s*{BETWEEN}\s*)(?=\{{)"),
    fence="```",
).format("https://huggingface.co/deepseek-ai/DeepSeek-V3.1")
