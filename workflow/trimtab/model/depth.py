"""How many decoder layers and heads a model has, as its own header says it, before anything loads it.

A layer that the model doesn't have is told before the first job where the model lies on this machine: `layers` of the
config is compared with a folder's config.json or a GGUF file's header, and so is the number of workers that are to
share its heads. Nothing here needs torch or transformers, whose reading of the model stays the one that counts
(`trimtab.model.manifest`).
"""

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from trimtab.errors import TrimtabError
from trimtab.model.folder import gguf_file
from trimtab.model.names import GGUF

LAYERS, HEADS = "block_count", "attention.head_count"
"""What a GGUF header calls them, behind the architecture's name."""

NAMES = {
    LAYERS: ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    HEADS: ("num_attention_heads", "n_head", "num_heads"),
}
"""What architectures call them in their config."""

STRING, ARRAY = 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Types of a GGUF header's values, by their number."""

LONGEST = 2**26
"""Bytes of a text in a header, at most: templates have a few thousand."""


def check_layers(source: str, layers: Sequence[int]) -> None:
    """Pass layers that the model of this source has, or may have for all that its header says.

    Raises:
        TrimtabError: it hasn't; or the source names a file that isn't here.
    """
    count = depth(source)
    if count is not None and (too_deep := [layer for layer in layers if layer >= count]):
        raise TrimtabError(f"config.yaml, layers: {too_deep} of a model that has 0 to {count - 1}")


def check_workers(source: str, workers: int) -> None:
    """Pass as many workers as can share the attention heads of the model of this source, for all that its header says.

    Raises:
        TrimtabError: they can't; or the source names a file that isn't here.
    """
    heads = counted(source, HEADS)
    if heads is not None and heads % workers:
        divisors = ", ".join(str(number) for number in range(1, heads + 1) if heads % number == 0)
        raise TrimtabError(
            f"config.yaml, rollouts.vllm.tensor_parallel_size: {workers} for a model of {heads} attention heads; "
            f"expected one of {divisors}"
        )


def depth(source: str) -> int | None:
    """Decoder layers of a model that lies here; None where its header doesn't say."""
    return counted(source, LAYERS)


def counted(source: str, what: str) -> int | None:
    """How many of `what` a model that lies here has; None where its header doesn't say."""
    if GGUF.fullmatch(source):
        with open(gguf_file(source), "rb") as file:
            return _of_gguf(file, what)
    try:
        config = json.loads((Path(source) / "config.json").read_text(encoding="utf-8"))
        text = config.get("text_config", config)
        found = next((text[name] for name in NAMES[what] if name in text), None)
    except (OSError, ValueError, AttributeError, TypeError):
        # what is wrong with a model's folder is for the job to say that loads it
        return None
    return found if isinstance(found, int) else None


def _of_gguf(file: BinaryIO, what: str) -> int | None:
    """The header's `<architecture>.<what>`."""
    try:
        magic, _, _, number = struct.unpack("<4sIQQ", file.read(24))
        for _ in range(number if magic == b"GGUF" else 0):
            key, value = _text(file), _value(file, *struct.unpack("<I", file.read(4)))
            if key.endswith(f".{what}".encode()):
                return value if isinstance(value, int) else None
    except (struct.error, KeyError):
        return None
    return None


def _text(file: BinaryIO) -> bytes:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > LONGEST:
        raise struct.error("no text of a header, which may be in the other order of bytes")
    return file.read(length)


def _value(file: BinaryIO, kind: int) -> object:
    if kind == STRING:
        return _text(file)
    if kind == ARRAY:
        inner, number = struct.unpack("<IQ", file.read(12))
        return [_value(file, inner) for _ in range(number)]
    code = f"<{SCALARS[kind]}"
    (value,) = struct.unpack(code, file.read(struct.calcsize(code)))
    return value
