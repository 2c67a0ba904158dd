"""A whole shard from a list of prompts: the loop around `capture` and `store`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from trimtab.activations.capture import Prompt, batches, fill
from trimtab.activations.store import shard
from trimtab.progress import track


def write_shard(
    path: Path,
    model: PreTrainedModel,
    prompts: Sequence[Prompt],
    layers: Sequence[int],
    selection: str,
    described: Mapping[str, Any],
    settings: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> None:
    """Capture `prompts` into a shard at `path`.

    Args:
        described: the manifest of `model`.
        settings: config.yaml's `activations`.
    """
    attributes = {
        "model": described["model"],
        "revision": str(described["revision"]),
        "hook": "output of decoder layer <layer>: hidden_states[layer + 1]",
        "selection": selection,
        "dtype": described["dtype"],
    }
    planned = list(batches(prompts, settings["token_budget"]))
    with shard(
        path, layers, described["d_model"], model.dtype, settings["chunk_rows"], attributes, provenance
    ) as writer:
        for batch in track(planned, len(planned), f"capturing {path.name}"):
            fill(model, batch, layers, selection, writer)
