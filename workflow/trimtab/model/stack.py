"""What runs the model's arithmetic, by name and version, and which version mends what the preflight may find wrong."""

import re
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from transformers import PreTrainedModel

from trimtab.forward.linear import operators
from trimtab.model.checks import CHUNKS, PADDED

KERNELS = ("flash-attn", "flash-linear-attention", "causal-conv1d", "mamba-ssm", "kernels", "triton")
"""Packages whose presence makes `transformers` take a faster path, and other rounding."""

MENDED = {PADDED: "5.15.0", CHUNKS: "5.7.0"}
"""The first version of `transformers` whose GatedDeltaNet layers (Qwen3-Next, Qwen3.5) pass: versions from 4.57 to 5.23
were tried on tiny models; pull requests 46773 and 45513 of huggingface/transformers."""


def stack(model: PreTrainedModel) -> dict[str, Any]:
    """What decides the last bits of a number on this machine; an absent kernel is null."""
    return {
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "attention": model.config._attn_implementation,
        "linear": operators(model),
        "experts": getattr(model.config, "_experts_implementation", None),
        "device": str(model.device),
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "kernels": {name: _installed(name) for name in KERNELS},
    }


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def advice(model: PreTrainedModel, check: str, installed: str | None = None) -> str:
    """What mends a failed check on this model, as far as that is known."""
    installed = installed or version("transformers")
    gated = any(type(module).__name__.endswith("GatedDeltaNet") for module in model.modules())
    if gated and check in MENDED and _numbers(installed) < _numbers(MENDED[check]):
        return f"transformers {MENDED[check]} mends it ({installed} is installed)"
    return ""


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:3]]
