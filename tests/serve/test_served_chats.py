"""Where each token of a chat stands: whose turn it is part of, and what the model wrote."""

import pytest
import torch
from chat import byte_tokenizer
from served_model import TEMPLATE, TOKENIZER

from trimtab.errors import TrimtabError
from trimtab.serve import chats
from trimtab.steering import places

CHAT = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": " Hello "},
    {"role": "assistant", "content": "Hé"},
    {"role": "user", "content": "And?"},
]
"""One text has space around it, which the template cuts, and one a letter of two tokens."""


def parts(piece, timing):
    """Tokens that a timing touches, as texts; a part ends where it pauses."""
    at = places.Places.of(torch.tensor(piece.places))
    touched = places.touched(timing, at).tolist()
    texts, before = [], False
    for token, own in zip(piece.tokens, touched, strict=True):
        if own:
            texts = [*texts, [token]] if not before else [*texts[:-1], [*texts[-1], token]]
        before = own
    return [TOKENIZER.decode(each) for each in texts]


def test_whose_each_part_is():
    piece = chats.chat(TOKENIZER, CHAT, parted=True)
    assert piece.tokens == chats.chat(TOKENIZER, CHAT, parted=False).tokens
    opened = "<|im_end|>\n<|im_start|>"
    assert parts(piece, "system") == [f"<|im_start|>system\nBe kind.{opened}user\n"]
    assert parts(piece, "user") == [f"Hello{opened}assistant\n", f"{opened}user\nAnd?{opened}assistant\n"]
    assert parts(piece, "decode") == parts(piece, "assistant") == ["Hé"]
    assert parts(piece, "decode_2") == [TOKENIZER.decode(TOKENIZER("Hé")["input_ids"][:2])]
    assert parts(piece, "last_prompt") == ["\n"]
    assert len(parts(piece, "prefill")) == 2


def test_an_answer_that_is_last_has_the_markup_behind_it():
    piece = chats.chat(TOKENIZER, CHAT[:3], parted=True)
    assert parts(piece, "assistant") == ["Hé<|im_end|>\n<|im_start|>assistant\n"]
    assert parts(piece, "decode") == ["Hé"]


@pytest.mark.parametrize(
    "template",
    [
        # earlier answers are told in other words
        TEMPLATE.replace("message.content | trim", "message.content | replace('H', 'h') | trim"),
        # the system's message is not told
        TEMPLATE.replace("in messages", "in messages[1:]"),
    ],
)
def test_turns_that_cannot_be_told_apart_are_an_error_where_they_must_be(template):
    tokenizer = byte_tokenizer(template)
    assert chats.chat(tokenizer, CHAT, parted=False).tokens
    with pytest.raises(TrimtabError, match=r"does not show which part of the text is whose; expected timing all"):
        chats.chat(tokenizer, CHAT, parted=True)


def test_a_model_without_a_template():
    with pytest.raises(TrimtabError, match=r"no chat template; use /v1/completions"):
        chats.chat(byte_tokenizer(None), CHAT, parted=False)
