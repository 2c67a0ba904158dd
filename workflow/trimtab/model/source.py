"""From the config's `model.source` to a local folder that `transformers` loads.

Four kinds of source: a GGUF file that ships inside a Python package (dequantised once and saved as safetensors), a
local folder, a hub id with a fixed commit, and the organism, which a rule of its own has trained. Everything after this
module loads from a local path alone.
"""

import importlib.util
import re
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from trimtab.artifacts import files
from trimtab.errors import TrimtabError
from trimtab.forward.linear import lay_out
from trimtab.forward.packed import pack_rows
from trimtab.model.names import ORGANISM, PACKAGED

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
PACKAGE = "package:"
GENERIC = "TokenizersBackend"
"""What a tokenizer is called that belongs to no family of models."""


def resolve(source: str, revision: str | None, checkpoint: Path, dtype: str) -> Path:
    """A local folder with the model of `source`; of a packaged file it is written to `checkpoint`, where the organism
    is already.

    Raises:
        TrimtabError: the package, file, folder or hub snapshot can't be had.
    """
    if PACKAGED.fullmatch(source):
        unpack(packaged_file(source), checkpoint, dtype)
        return checkpoint
    if source == ORGANISM:
        return checkpoint
    if Path(source).is_dir():
        if not Path(source, "config.json").is_file():
            raise TrimtabError(f"config.yaml, model.source: folder {source!r} has no config.json, so it holds no model")
        return Path(source)
    return _snapshot(source, revision)


def packaged_file(source: str) -> Path:
    """Path of the file that `package:<package>/<file>` names, found without importing the package."""
    package, _, name = source.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or spec.origin is None:
        raise TrimtabError(f"config.yaml, model.source: package {package!r} is not installed; see envs/data.txt")
    path = Path(spec.origin).parent / name
    if not path.is_file():
        raise TrimtabError(f"config.yaml, model.source: {name!r} is not a file of package {package!r}")
    return path


def unpack(gguf: Path, folder: Path, dtype: str) -> None:
    """Dequantise a GGUF file into a folder of safetensors with its tokenizer."""
    # the library reads the whole file, which takes it ten seconds, for each part that isn't given
    config = AutoConfig.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, config=config)
    # float32 first: asked for another dtype, the library keeps the weights packed
    model: Any = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, config=config, dtype=torch.float32
    )
    model.to(DTYPES[dtype])
    # else the saved config would claim that the plain weights are still quantised
    del model.config.quantization_config
    model.hf_quantizer = None
    model.is_quantized = False
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _snapshot(source: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if revision is None or not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise TrimtabError(
            f"config.yaml, model.revision: {revision} for hub id {source}; expected a commit, 40 hex digits"
        )
    wanted = ["*.safetensors", "*.json", "*.txt", "*.jinja", "*.model"]
    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        cause = str(error).splitlines()[0]
        raise TrimtabError(
            f"config.yaml, model.source: {source} is neither a folder here nor a snapshot that the hub gives ({cause})"
        ) from error


def load(
    folder: Path, dtype: str, device: str, *, frozen: bool = True
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model (evaluation mode) and tokenizer of a local folder.

    Args:
        frozen: False for a model that gradients pass through or whose weights are read or edited: its layers are plain,
            and slower on a CPU.
    """
    placement = {"device_map": "auto"} if device == "auto" else {}
    # Any: the library's own annotations of `to` are wrong
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=DTYPES[dtype], local_files_only=True, **placement
        )
    except ValueError as error:
        cause = str(error).splitlines()[0]
        raise TrimtabError(f"config.yaml, model.source: {folder} holds no decoder-only model ({cause})") from error
    if device != "auto":
        model.to(device)
    pack_rows(model)
    if frozen:
        lay_out(model)
    return model.eval().requires_grad_(not frozen), load_tokenizer(folder)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a local folder."""
    described = folder / "tokenizer_config.json"
    if described.is_file() and files.read_json(described).get("tokenizer_class") == GENERIC:
        # it is whole in its file; Auto would put its model family's rules in place of its own
        kind: Any = PreTrainedTokenizerFast
    else:
        kind = AutoTokenizer
    tokenizer: PreTrainedTokenizerBase = kind.from_pretrained(folder, local_files_only=True)
    return tokenizer


def from_manifest(manifest: Path) -> tuple[dict[str, Any], PreTrainedModel, PreTrainedTokenizerBase]:
    """The manifest's content and the model that it describes, on the device it names."""
    described = files.read_json(manifest)
    return described, *load(Path(described["path"]), described["dtype"], described["device"])
