"""Settings of the stage `activations`."""

from collections.abc import Mapping
from typing import Any, Literal

from trimtab.settings.base import AUTO, Automatic, Positive, Settings, default
from trimtab.settings.engine import ServedBy
from trimtab.settings.model import LoadingSettings

SiteKind = Literal["residual", "mlp_out", "attention_out"]


class CaptureSettings(Settings):
    """How a pass of the model over prompts is cut into batches, and how its rows are stored."""

    token_budget: Automatic = default(2048)
    """Tokens a forward pass, padding included, or auto. auto takes as many as memory_mb allows."""

    chunk_rows: Positive = default(1024)
    """Rows an HDF5 chunk."""

    memory_mb: Positive | None = None
    """Memory for a batch in megabytes, weights not counted. Used only where token_budget is auto."""

    @classmethod
    def keys(cls, section: Mapping[str, Any]) -> list[str]:
        """Without `memory_mb` where a number says what a batch holds: there it can't change a row."""
        kept = super().keys(section)
        return kept if section["token_budget"] == AUTO else [key for key in kept if key != "memory_mb"]


class MeasuringSettings(LoadingSettings):
    """What the manifest depends on."""

    site: SiteKind = "residual"
    """`activations.site`; not given where it is the stream, so that manifests from before there were sites stay."""


class Activations(CaptureSettings):
    """Activation caches: rows of the hooked layers on disk."""

    engine: ServedBy = default("transformers")
    """What computes the rows of the caches. vllm: a serving engine, checked against transformers on this machine
    before, with the arguments of rollouts.vllm and the memory of rollouts.memory_mb; docs/vllm.md says when it pays.
    All else that reads the stream, streamed training of dictionaries too, runs on transformers always."""

    site: SiteKind = default("residual")
    """Where each of `layers` is read and steered, from the caches to the rollouts. residual: the stream after the
    layer; mlp_out, attention_out: what the layer's MLP or attention adds to it, after any norm of its own."""

    memory_mb: Positive = default(2000)
    """Memory for a batch in megabytes, weights not counted. Used only where token_budget is auto."""
