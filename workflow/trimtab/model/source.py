"""From the config's `model.source` to a local folder that `transformers` loads.

Four kinds of source: a GGUF file, alone or inside a Python package (dequantised once and saved as safetensors), a
local folder, a hub id with a fixed commit, and the organism, which a rule of its own has trained. Everything after this
module loads from a local path alone.
"""

import re
from pathlib import Path
from typing import Any, cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from trimtab.artifacts.border import readable
from trimtab.artifacts.manifest import Manifest
from trimtab.errors import TrimtabError
from trimtab.forward.linear import lay_out, widen
from trimtab.forward.packed import pack_rows
from trimtab.model.checkpoint import check_vocabulary, read_gguf, read_model
from trimtab.model.folder import FILES, gguf_file, verify
from trimtab.model.names import GGUF, ORGANISM
from trimtab.model.tokenizer import load_tokenizer

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def resolve(source: str, revision: str | None, checkpoint: Path, dtype: str) -> Path:
    """A local folder with the model of `source`; of a GGUF file it is written to `checkpoint`, where the organism is
    already.

    Raises:
        TrimtabError: the package, file, folder or hub snapshot can't be had.
    """
    if GGUF.fullmatch(source):
        unpack(gguf_file(source), checkpoint, dtype)
        return checkpoint
    if source == ORGANISM:
        return checkpoint
    if Path(source).is_dir():
        return Path(source)
    return _snapshot(source, revision)


def unpack(gguf: Path, folder: Path, dtype: str) -> None:
    """Dequantise a GGUF file into a folder of safetensors with its tokenizer."""
    # Any: the library's own annotations of `to` are wrong
    model: Any
    model, tokenizer = read_gguf(gguf)
    model.to(DTYPES[dtype])
    # else the saved config would claim that the plain weights are still quantised
    del model.config.quantization_config
    model.hf_quantizer = None
    model.is_quantized = False
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _snapshot(source: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    if revision is None or not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise TrimtabError(
            f"config.yaml, model.revision: {revision} for hub id {source}; expected a commit, 40 hex digits"
        )
    with readable(f"config.yaml, model.source: {source} is neither a folder here nor a snapshot that the hub gives"):
        return Path(snapshot_download(source, revision=revision, allow_patterns=[*FILES]))


def load(
    folder: Path, dtype: str, device: str, *, frozen: bool = True
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model (evaluation mode) and tokenizer of a local folder.

    Args:
        frozen: False for a model that gradients pass through or whose weights are read or edited: its layers are plain,
            and slower on a CPU.
    """
    model = plain(folder, dtype, device)
    tokenizer = load_tokenizer(folder)
    check_vocabulary(folder, model, tokenizer)
    # first, since packing is tried on the model, whose plain products may be slow
    if frozen:
        lay_out(model)
    pack_rows(model)
    return model.requires_grad_(not frozen), tokenizer


def plain(folder: Path, dtype: str, device: str) -> PreTrainedModel:
    """The model of a local folder (evaluation mode) as `transformers` alone runs it.

    Raises:
        TrimtabError: it can't be loaded, or there is no such device here.
    """
    check_gpu(device)
    placement = {"device_map": "auto"} if device == "auto" else {}
    # Any: the library's own annotations of `to` are wrong
    model: Any = read_model(folder, DTYPES[dtype], **placement)
    if device != "auto":
        model.to(device)
    model.eval()
    return cast(PreTrainedModel, model)


def check_gpu(device: str) -> None:
    """Pass a device that torch can use here; auto is for GPUs too, and dictionaries are trained on one.

    Raises:
        TrimtabError: it can't.
    """
    if device != "cpu" and not torch.cuda.is_available():
        built = "no GPU that it can use is here" if torch.version.cuda else "it is built for the processor alone"
        raise TrimtabError(
            f"config.yaml, model.device: {device}, and torch {torch.__version__} finds no CUDA ({built}); expected "
            "a machine with a GPU and a torch for it, or cpu"
        )


def from_manifest(manifest: Path) -> tuple[Manifest, PreTrainedModel, PreTrainedTokenizerBase]:
    """The manifest's content and the model that it describes, on the device it names.

    Raises:
        TrimtabError: the model's folder changed since the manifest was made, or can't be loaded.
    """
    described = Manifest.read(manifest)
    verify(manifest, described)
    return described, *load(Path(described.path), described.dtype, described.device)


def differentiable(manifest: Path) -> PreTrainedModel:
    """The manifest's model once more, for gradients to what hooks put in; its own weights get none.

    On a CPU it computes in float32, but for products that the processor takes faster (`trimtab.forward.linear`).
    """
    described = Manifest.read(manifest)
    verify(manifest, described)
    model = load(Path(described.path), described.dtype, described.device, frozen=False)[0].requires_grad_(False)
    if described.device == "cpu":
        widen(model)
    return model


def twin_of(manifest: Path, folder: Path) -> PreTrainedModel:
    """The model of a folder beside the manifest's, on the same device and in the same dtype.

    Raises:
        TrimtabError: it has another shape or vocabulary.
    """
    described = Manifest.read(manifest)
    twin, tokenizer = load(folder, described.dtype, described.device)
    config = twin.config.get_text_config(decoder=True)
    theirs = (config.num_hidden_layers, config.hidden_size, len(tokenizer))
    ours = (described.layers, described.d_model, len(load_tokenizer(Path(described.path))))
    if theirs != ours:
        raise TrimtabError(
            f"config.yaml, vectors.twin: {folder} has {theirs[0]} layers of width {theirs[1]} and {theirs[2]} tokens; "
            f"expected {ours[0]}, {ours[1]} and {ours[2]}, as the model has"
        )
    return twin


def plain_of(manifest: Path) -> PreTrainedModel:
    """The manifest's model as `transformers` alone runs it.

    On a CPU its sums are in float32: many processors take ten times as long for plain bfloat16 products
    (`trimtab.forward.linear`), and the same weights in more digits are the truth that both round.
    """
    described = Manifest.read(manifest)
    verify(manifest, described)
    model = plain(Path(described.path), described.dtype, described.device)
    return model.float() if described.device == "cpu" else model
