"""A whole shard from a list of prompts: the loop around `capture` and `store`."""

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from trimtab.activations.estimate import estimate
from trimtab.activations.layout import FORMAT, IDENTITY, Layout, hook_of
from trimtab.activations.reading import RowReader
from trimtab.activations.store import shard
from trimtab.artifacts import files
from trimtab.artifacts.digest import LIBRARY, code_digest
from trimtab.artifacts.manifest import Manifest
from trimtab.errors import TrimtabError
from trimtab.forward.capture import Prompt, batches, check_prompts
from trimtab.forward.sites import Sites
from trimtab.jobs import stopping
from trimtab.jobs.progress import track
from trimtab.settings.activations import CaptureSettings

log = logging.getLogger(__name__)


def write_shard(
    path: Path,
    reader: RowReader,
    prompts: Sequence[Prompt],
    layers: Sequence[int],
    selection: str,
    described: Manifest,
    settings: CaptureSettings,
    provenance: Mapping[str, Any],
) -> None:
    """Capture `prompts` into a shard at `path`, or what an earlier run of the same call left to do.

    Args:
        described: the manifest of the reader's model.
    """
    check_prompts(prompts, selection, described.context_length)
    longest = max(len(p.context) + len(p.tokens) for p in prompts)
    budget, sites = reader.begin(settings, layers, longest), Sites.of(described).of_layers(layers)
    planned = list(batches(prompts, budget))
    layout = lay_out(planned, layers, selection, reader, described, settings, provenance)
    ends = np.cumsum([sum(len(p.kept(selection)) for p in batch) for batch in planned]).tolist()
    starts = [0, *ends[:-1]]
    begun = time.perf_counter()
    with shard(path, layout) as writer:
        left = [at for at, end in enumerate(ends) if end > writer.done]
        expected = estimate(reader, [planned[at] for at in left], sites, layout.bytes) if left else None
        if expected:
            rows = f"{layout.rows - writer.done} rows of {len(layers)} layers in {len(left)} batches of {budget} tokens"
            expected.announce(str(path), rows)
        for at in track(left, len(left), f"capturing {path.name}"):
            rows_of = reader.rows(planned[at], sites, selection)
            check_rows(planned[at], rows_of, reader.dtype)
            writer.append(starts[at], rows_of)
            if at != left[-1]:
                stopping.stop_if_asked(f"{ends[at]} of {layout.rows} rows are computed")
    if expected:
        expected.compare(str(path), path.stat().st_size, time.perf_counter() - begun)


def lay_out(
    planned: Sequence[Sequence[Prompt]],
    layers: Sequence[int],
    selection: str,
    reader: RowReader,
    described: Manifest,
    settings: CaptureSettings,
    provenance: Mapping[str, Any],
) -> Layout:
    """Everything of the shard but its rows."""
    prompts = [p for batch in planned for p in batch]
    kept = [p.kept(selection) for p in prompts]
    attributes = {
        "format": FORMAT,
        "model": described.model,
        "revision": str(described.revision),
        "weights": described.weights_digest,
        "hook": hook_of(described),
        "selection": selection,
        "dtype": described.dtype,
        "provenance": files.canonical(provenance),
    }
    whole = [attributes, list(layers), str(reader.dtype), settings.record(), _code(), reader.code]
    made_of = hashlib.sha256(files.canonical(whole).encode())
    for batch in planned:
        # a context once a batch, since it may be longer than all the rest
        own = [[p.id, p.tokens, list(p.kept(selection))] for p in batch]
        made_of.update(files.canonical([batch[0].context, own]).encode())
    return Layout(
        layers=layers,
        d_model=described.d_model,
        dtype=reader.dtype,
        chunk_rows=settings.chunk_rows,
        prompt_ids=[p.id for p in prompts],
        offsets=np.cumsum([0, *map(len, kept)], dtype=np.int64),
        tokens=np.array([p.tokens[at] for p, own in zip(prompts, kept, strict=True) for at in own], dtype=np.int32),
        positions=np.array(
            [len(p.context) + at for p, own in zip(prompts, kept, strict=True) for at in own], dtype=np.int32
        ),
        attributes={**attributes, IDENTITY: made_of.hexdigest()},
    )


@cache
def _code() -> str:
    # what is half done by other code is begun again
    return code_digest(Path(__file__), LIBRARY)


def check_rows(
    batch: Sequence[Prompt], rows: Mapping[int, Float[torch.Tensor, "token d_model"]], dtype: torch.dtype
) -> None:
    """Pass a batch's rows that can be kept as they are.

    Raises:
        TrimtabError: they are of another type than the model's, or not finite.
    """
    for layer, own in rows.items():
        if own.dtype != dtype:
            raise TrimtabError(
                f"layer {layer}: the residual stream is {own.dtype} in a model of {dtype}, and storing it would lose "
                "digits; set model.dtype to float32"
            )
        if not bool(torch.isfinite(own).all()):
            named = ", ".join(p.id for p in batch[:3])
            raise TrimtabError(
                f"layer {layer}: rows of a batch of {len(batch)} prompts ({named}, ...) hold NaN or infinity; "
                f"rows of {own.dtype} must be finite"
            )
