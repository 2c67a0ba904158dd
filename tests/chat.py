"""A tokenizer of bytes with control tokens and a chat template like Qwen3's, and models that speak it."""

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

CONTROL = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
MARKS = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"]
TEMPLATE = """\
{%- if tools %}
{{- '<|im_start|>system\\n' + messages[0].content + '\\n\\n# Tools\\n<tools>' }}
{%- for tool in tools %}{{ '\\n' + (tool | tojson) }}{% endfor %}
{{- '\\n</tools>\\nReturn <tool_call>\\n{"name": ..., "arguments": ...}\\n</tool_call><|im_end|>\\n' }}
{%- endif %}
{%- for message in messages[1:] %}
{%- if message.role == 'user' %}{{ '<|im_start|>user\\n' + message.content + '<|im_end|>\\n' }}
{%- elif message.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
{%- else %}{{ '<|im_start|>assistant\\n' + (message.content or '') }}
{%- for call in message.tool_calls or [] %}
{{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' + (call.function.arguments | tojson) }}
{{- '}\\n</tool_call>' }}{% endfor %}{{ '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and not enable_thinking %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}
{%- endif %}"""
"""Written for these tests after Qwen3's behaviour: tools as JSON in the system turn, answers in a user's turn, and an
empty thought before a turn that shall not think, which is left out when the turn is told again."""


def byte_tokenizer(template=TEMPLATE, control=CONTROL, marks=MARKS, eos="<|im_end|>"):
    """A token a byte, one for each control token and mark; the marks are no special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    # "write" must not begin as "web" does
    letters = [*alphabet, "wr"]
    plain = Tokenizer(models.BPE({letter: at for at, letter in enumerate(letters)}, [("w", "r")]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    plain.add_special_tokens([AddedToken(each, normalized=False, special=True) for each in control])
    plain.add_tokens([AddedToken(mark, normalized=False) for mark in marks])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, eos_token=eos)
    tokenizer.chat_template = template
    return tokenizer
