"""Settings of what runs the model of the stage `rollouts`."""

from collections.abc import Mapping
from typing import Any, Literal

from trimtab.settings.base import Positive, Settings, default

ServedBy = Literal["transformers", "vllm"]
VLLM = "vllm"
SERVED_PROTOCOLS = ("few_shot", "few_shot_at_once")
"""Protocols of rollouts on vLLM: of what is written, they know beforehand where it stands."""


class EngineSettings(Settings):
    """What runs the model of the rollouts."""

    engine: ServedBy = default("transformers")
    """What runs the model of the rollouts. vllm: a serving engine, in an environment of its own (make
    .venv-vllm/.ready), which is checked against transformers on this machine before; docs/vllm.md says what runs there
    and when it pays. Probes, vectors, evaluations and single decisions run on transformers always."""

    memory_mb: Positive | None = None
    """Memory for keys and values."""

    @classmethod
    def keys(cls, section: Mapping[str, Any]) -> list[str]:
        """Without `memory_mb` where the batch's own setting has it."""
        return [key for key in super().keys(section) if section["engine"] == VLLM or key != "memory_mb"]

    @property
    def is_served(self) -> bool:
        return self.engine == VLLM
