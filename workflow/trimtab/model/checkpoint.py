"""From a local folder to a model all of whose weights come from the folder.

`transformers` draws weights that a checkpoint lacks at random and leaves out tensors that it has no place for, and says
so in its log alone; each job would then run another model. Here both are errors that name the tensors, as is whatever
else keeps a folder from being the model that its owner thinks it is. What is done to a model for speed comes later
(`trimtab.model.source`); its tokenizer is read in `trimtab.model.tokenizer`.
"""

import logging
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
)

from trimtab.artifacts.border import check_whole, read_object, readable
from trimtab.errors import TrimtabError
from trimtab.model.folder import WEIGHTS
from trimtab.model.tokenizer import CODE

CONFIG, WHOLE, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
ADAPTER = "adapter_config.json"
GENERATION = "generation_config.json"
ADAPTED = ("adapter_model.safetensors", "adapter_model.bin")
"""Weights of an adapter, which the library passes over where its config is missing."""

WHOLE_NUMBERS = ("I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64", "BOOL")
"""As safetensors names them."""

DERIVED = re.compile(r"rotary_emb\.inv_freq$|\.masked_bias$")
"""Tensors of old checkpoints that follow from the config: frequencies of positions, the number that masks."""

MASK = re.compile(r"\.(bias|causal_mask)$")
"""Names of causal masks in old checkpoints, if their shape is 1 x 1 x tokens x tokens."""

SENSES = re.compile("image|img|vision|audio|video|sound", re.IGNORECASE)
"""In names of tokens that stand for a picture or sound: members of a family without eyes have its tokenizer whole."""

NAMED = 4
"""Tensors that an error names; it counts the others."""


def read_model(folder: Path, dtype: torch.dtype, **placement: Any) -> PreTrainedModel:
    """The plain model in `folder`, as `transformers` builds it.

    Args:
        placement: where its layers go, as `from_pretrained` takes it.

    Raises:
        TrimtabError: the folder holds no whole decoder-only model.
    """
    config, weights = _check_folder(folder)
    with quiet(), readable(f"config.yaml, model.source: {folder} can't be loaded as a decoder-only model", *CODE):
        # Any: the library's annotations know nothing of what it says of loading
        loaded: Any = library_class(config.get("model_type")).from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            # else the library asks on the terminal
            trust_remote_code=False,
            use_safetensors=True,
            # mismatches are told with all others below
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **placement,
        )
    model: PreTrainedModel = loaded[0]
    told: dict[str, Any] = loaded[1]
    quantised = config.get("quantization_config")
    if quantised and not getattr(model, "hf_quantizer", None):
        raise TrimtabError(f"{folder / CONFIG}, quantization_config: the installed transformers can't read {quantised}")
    if not quantised:
        _check_numbers(weights, model)
    masks = _masks(weights, told["unexpected_keys"])
    check_complete(str(folder), {**told, "unexpected_keys": told["unexpected_keys"] - masks})
    return model


def read_skeleton(folder: Path) -> PreTrainedModel:
    """The modules of the model in `folder`, of which no weight is read.

    Raises:
        TrimtabError: the folder holds no whole decoder-only model.
    """
    said, _ = _check_folder(folder)
    with quiet(), readable(f"{folder / CONFIG}: of no decoder-only model", *CODE), torch.device("meta"):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model: PreTrainedModel = library_class(said.get("model_type")).from_config(config)
    return model


def library_class(kind: str | None) -> Any:
    """What builds a model of this type: a language model, or a wrapper that sees too and has one as its text side."""
    sees = kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
    return AutoModelForImageTextToText if sees else AutoModelForCausalLM


@contextmanager
def quiet() -> Iterator[None]:
    """Keep out of the log what the library says of loading: one line here names missing and unexpected tensors."""
    logger = logging.getLogger("transformers")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _masks(weights: Sequence[Path], names: Collection[str]) -> set[str]:
    """Those of `names` that are causal masks."""
    found = set()
    asked = [name for name in names if MASK.search(name)]
    for path in weights if asked else ():
        with safe_open(path, framework="pt") as opened:
            for stored in opened.keys():  # noqa: SIM118
                # the library may have put the base model's prefix before the name, or taken it off
                known = [name for name in asked if name.endswith(stored) or stored.endswith(name)]
                if known and opened.get_slice(stored).get_shape()[:2] == [1, 1]:
                    found.update(known)
    return found


def _check_numbers(weights: Sequence[Path], model: PreTrainedModel) -> None:
    """Pass files that hold no weight as whole numbers, which the library would take as they are, without their scale.

    Raises:
        TrimtabError: some do; one line with the first of them.
    """
    taken = {name for name, _ in model.named_parameters()}
    for path in weights:
        with safe_open(path, framework="pt") as opened:
            whole = [name for name in opened.keys() if opened.get_slice(name).get_dtype() in WHOLE_NUMBERS]  # noqa: SIM118
        # the library may have put the base model's prefix before the name, or taken it off
        wrong = [name for name in whole if any(own.endswith(name) or name.endswith(own) for own in taken)]
        if wrong:
            raise TrimtabError(
                f"{path}: holds whole numbers where the model's weights are: {_listed(wrong)}. They need the scale "
                f"that they were quantised by, and {CONFIG} has no quantization_config; expected floating point"
            )


def _check_folder(folder: Path) -> tuple[dict[str, Any], list[Path]]:
    """The config and the files of weights of a folder that looks like one whole model.

    Raises:
        TrimtabError: it doesn't, with what is wrong.
    """
    for name in (ADAPTER, *ADAPTED):
        if (folder / name).is_file():
            raise TrimtabError(
                f"{folder / name}: an adapter (PEFT), which Trimtab doesn't apply; merge it into its model "
                "(merge_and_unload), save that, and name that folder in model.source"
            )
    if not (folder / CONFIG).is_file():
        raise TrimtabError(f"config.yaml, model.source: folder {str(folder)!r} has no {CONFIG}, so it holds no model")
    config = read_object(folder / CONFIG)
    if (folder / GENERATION).is_file():
        # the library passes over one that it can't read, and with it what ends a text
        read_object(folder / GENERATION)
    weights = sorted(folder.glob(WEIGHTS))
    if not weights:
        others = sorted(path.name for kind in ("*.bin", "*.pt", "*.pth", "*.gguf") for path in folder.glob(kind))
        has = f"it has {', '.join(others[:NAMED])}" if others else "it has no weights at all"
        raise TrimtabError(f"{folder}: no {WEIGHTS} file, the one format of weights that is read; {has}")
    for path in weights:
        check_whole(path)
    if (folder / INDEX).is_file():
        parts = read_object(folder / INDEX).get("weight_map")
        if not isinstance(parts, dict):
            raise TrimtabError(f"{folder / INDEX}, weight_map: expected files by tensor, found {parts!r}")
        named = set(map(str, parts.values()))
        if (folder / WHOLE).is_file() and WHOLE not in named:
            raise TrimtabError(
                f"{folder}: holds two checkpoints, {WHOLE} and the files of {INDEX}, of which the first would be read; "
                "delete the one that isn't meant"
            )
        for name in sorted(named):
            check_whole(folder / name)
    if "auto_map" in config and not _is_known(config):
        raise TrimtabError(
            f"{folder / CONFIG}, auto_map: a {config.get('model_type')!r} model runs code of its own, which Trimtab "
            "doesn't run; it runs the architectures of the installed transformers"
        )
    return config, weights


def _is_known(config: dict[str, Any]) -> bool:
    return config.get("model_type") in CONFIG_MAPPING


def check_complete(source: str, told: dict[str, Any]) -> None:
    """Pass a model whose every weight was read and that has a place for each tensor of its files.

    Args:
        told: what `from_pretrained` says of loading.

    Raises:
        TrimtabError: tensors are missing, of another shape or left over; one line with the first of them.
    """
    left = [name for name in told["unexpected_keys"] if not DERIVED.search(name)]
    shapes = [f"{name} is {_shape(found)} and not {_shape(wanted)}" for name, found, wanted in told["mismatched_keys"]]
    wrong = [
        f"{words} {_listed(names)}"
        for words, names in (
            ("lacks", told["missing_keys"]),
            ("has another shape than config.json says:", shapes),
            ("has tensors that the model has no place for:", left),
        )
        if names
    ]
    if wrong:
        raise TrimtabError(
            f"{source}: the checkpoint {'; it '.join(wrong)}. Weights that are missing would be drawn at random: save "
            "the model anew with save_pretrained, or mend the tensors' names or config.json"
        )


def _shape(size: Iterable[int]) -> str:
    return " x ".join(map(str, size))


def _listed(names: Collection[str]) -> str:
    first = ", ".join(sorted(names)[:NAMED])
    return first if len(names) <= NAMED else f"{first} and {len(names) - NAMED} more ({len(names)} in all)"


def read_gguf(gguf: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model and tokenizer in a GGUF file, dequantised to float32.

    Raises:
        TrimtabError: it can't be read, or isn't whole.
    """
    check_whole(gguf)
    with quiet(), readable(f"config.yaml, model.source: {gguf} can't be loaded as a decoder-only model", *CODE):
        # the library reads the whole file, which takes it ten seconds, for each part that isn't given
        config = AutoConfig.from_pretrained(gguf.parent, gguf_file=gguf.name)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, config=config)
        # float32: asked for another dtype, the library keeps the weights packed
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, config=config, dtype=torch.float32, output_loading_info=True
        )
    check_complete(str(gguf), loaded[1])
    return loaded[0], tokenizer


def check_vocabulary(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Pass a tokenizer whose every token has a row in the model's table of embeddings.

    Raises:
        TrimtabError: it has more tokens than the model.
    """
    rows = int(model.config.get_text_config(decoder=True).vocab_size)
    above = {name: at for name, at in tokenizer.get_vocab().items() if at >= rows and not SENSES.search(name)}
    if above:
        first = min(above, key=lambda name: above[name])
        raise TrimtabError(
            f"{folder}: {len(above)} tokens of the tokenizer have no embedding, the first {first!r} ({above[first]}); "
            f"the model has {rows}. Resize its embeddings (resize_token_embeddings), or take its own tokenizer"
        )
