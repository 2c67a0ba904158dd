"""Hermes' form: a JSON object with name and arguments between `<tool_call>` and `</tool_call>`.

Source: NousResearch/Hermes-Function-Calling; also Qwen 2.5 and 3, Granite 4 and many others.
"""

from trimtab.agent.calls.between_marks import marked

FORMAT = marked(
    "JSON in <tool_call>", "<tool_call>", "</tool_call>", "https://github.com/NousResearch/Hermes-Function-Calling"
)
