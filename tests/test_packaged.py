"""The packaged model's tokenizer that tests share is the one that its users read from the GGUF."""

import packaged
import pytest


@pytest.mark.slow
def test_the_cached_tokenizer_is_the_packaged_one():
    cached, own = packaged.tokenizer(), packaged.from_gguf()
    assert cached.backend_tokenizer.to_str() == own.backend_tokenizer.to_str()
    assert cached.chat_template == own.chat_template
    assert cached.special_tokens_map == own.special_tokens_map
    assert type(cached) is type(own)
