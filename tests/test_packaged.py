"""The packaged model's tokenizer that tests share is the one that its users read from the GGUF, or the start of it."""

import packaged
import pytest


@pytest.mark.slow
def test_the_cached_tokenizer_is_the_packaged_one():
    cached, own = packaged.tokenizer(), packaged.from_gguf()
    assert cached.backend_tokenizer.to_str() == own.backend_tokenizer.to_str()
    assert cached.chat_template == own.chat_template
    assert cached.special_tokens_map == own.special_tokens_map
    assert type(cached) is type(own)


def test_frequent_tokens_are_the_first_of_the_packaged_ones_and_spell_any_text():
    whole, frequent = packaged.tokenizer(), packaged.frequent()
    assert frequent.get_vocab() == {token: n for token, n in whole.get_vocab().items() if n < packaged.FREQUENT}
    for text in (
        "Thought: look at it first.\nAction: search",
        "Füße, 你好 🙂\x00\t#!",
        "  antidisestablishmentarianism",
    ):
        spelled, often = (each(text)["input_ids"] for each in (whole, frequent))
        assert frequent.decode(often) == text
        # what the whole vocabulary spells with frequent tokens alone is spelled alike
        assert often == spelled or max(spelled) >= packaged.FREQUENT
