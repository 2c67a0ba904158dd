"""A model's tokenizer, for jobs that need nothing else of the model: reading it takes half the imports.

From a local folder, as everything after `trimtab.model.source`.
"""

from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from trimtab.artifacts.border import check_whole, read_object, readable
from trimtab.artifacts.manifest import Manifest
from trimtab.errors import TrimtabError
from trimtab.model.folder import verify

GENERIC = "TokenizersBackend"
"""What a tokenizer is called that belongs to no family of models."""

CODE = (ArithmeticError, AttributeError, TypeError, StrictDataclassError)
"""What `transformers` raises at a config whose values are of another type or size than it expects."""

TOKENIZERS = ("tokenizer*.json", "*.model", "vocab*", "*.tiktoken", "tekken.json")
"""Files one of which a folder with a tokenizer has."""


def tokenizer_of(manifest: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of the model that a manifest describes, for jobs that need nothing else of it."""
    described = Manifest.read(manifest)
    verify(manifest, described)
    return load_tokenizer(Path(described.path))


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a local folder.

    Raises:
        TrimtabError: there is none that can be read.
    """
    described = folder / "tokenizer_config.json"
    # Any: two classes without a common annotated constructor
    kind: Any = AutoTokenizer
    if described.is_file() and read_object(described).get("tokenizer_class") == GENERIC:
        # it is whole in its file; Auto would put its model family's rules in place of its own
        kind = PreTrainedTokenizerFast
    found = [path for kind in TOKENIZERS for path in sorted(folder.glob(kind))]
    if not found:
        raise TrimtabError(
            f"{folder}: holds no tokenizer (none of {', '.join(TOKENIZERS)}); save the model's beside it"
        )
    for path in found:
        check_whole(path)
    with readable(f"{folder}: the tokenizer can't be read", *CODE):
        try:
            tokenizer: PreTrainedTokenizerBase = kind.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:
            # the library `tokenizers` has no kind of its own for files that it can't parse
            if type(error) is Exception:
                raise ValueError(str(error)) from error
            raise
    return tokenizer
