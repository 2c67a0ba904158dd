"""A toy model in a folder of its own, with a tokenizer of three words, and what a user may make of such a folder."""

import json
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file, save_file
from tiny import llama
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


def saved(folder: Path, model=llama, **shape) -> Path:
    """The folder, with a model and a tokenizer."""
    model(**shape).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({"<unk>": 0, "one": 1, " two": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Split(" ", behavior="merged_with_next")
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>").save_pretrained(folder)
    return folder


def rewritten(folder: Path, change: Callable[[dict], dict] = dict, **config) -> Path:
    """The same folder with other tensors, and with these keys of its config."""
    weights = folder / "model.safetensors"
    changed = {name: value.contiguous() for name, value in change(load_file(weights)).items()}
    save_file(changed, weights, {"format": "pt"})
    about = folder / "config.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | config))
    return folder
