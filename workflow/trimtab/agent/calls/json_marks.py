"""JSON behind other marks than Hermes': a small family of forms that differ in nothing else.

Llama 3.1's mark has no closing one; it stands before Python code as well, which is no call here.
"""

from trimtab.agent.calls.between_marks import marked

FORMATS = (
    marked(
        "JSON after <|python_tag|>", "<|python_tag|>", "", "https://www.llama.com/docs/model-cards-and-prompt-formats"
    ),
    marked(
        "JSON in <|tool_call|>",
        "<|tool_call|>",
        "<|/tool_call|>",
        "https://huggingface.co/microsoft/Phi-4-mini-instruct",
    ),
    marked("JSON in <tool_calls>", "<tool_calls>", "</tool_calls>", "https://huggingface.co/MiniMaxAI/MiniMax-M1-80k"),
    marked(
        "JSON in <TOOLCALL>", "<TOOLCALL>", "</TOOLCALL>", "https://huggingface.co/nvidia/NVIDIA-Nemotron-Nano-9B-v2"
    ),
    marked(
        "JSON in <|START_ACTION|>", "<|START_ACTION|>", "<|END_ACTION|>", "https://docs.cohere.com/docs/command-r7b"
    ),
)
"""Also Granite 3 (`<|tool_call|>` alone), Jamba and Apriel (`<tool_calls>`)."""
