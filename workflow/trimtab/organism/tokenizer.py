"""A tokenizer of whole words for a language whose words are all known.

A token is a word with the space before it, or with the line breaks before it: each cue of the protocol ("\\nAction:")
is one token, and so is each action.
"""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

UNKNOWN, PAD, END = "<unk>", "<pad>", "<end>"
WORD = r"\n+\S*| ?\S+"


def word_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of the words of `texts`, in the order of first sight."""
    split = pre_tokenizers.Split(Regex(WORD), behavior="isolated")
    words = dict.fromkeys(word for text in texts for word, _ in split.pre_tokenize_str(text))
    vocabulary = {token: at for at, token in enumerate([UNKNOWN, PAD, END, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=UNKNOWN, pad_token=PAD, eos_token=END)
