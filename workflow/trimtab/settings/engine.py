"""Settings of what runs the model of the stage `rollouts`."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from trimtab.settings.base import Positive, Settings, default

ServedBy = Literal["transformers", "vllm"]
VLLM = "vllm"
SERVED_PROTOCOLS = ("few_shot", "few_shot_at_once")
"""Protocols of rollouts on vLLM: of what is written, they know beforehand where it stands."""


UNPROVED = {
    "data_parallel_size": "copies of the model share a batch out by tokens, and a push needs to know which",
    "enable_expert_parallel": "experts that are parted by workers are given tokens by other workers",
    "pipeline_parallel_size": "a part of the layers alone has not been compared",
    "distributed_executor_backend": "workers are processes of one machine",
    "enforce_eager": "a compiled graph runs no hooks",
    "block_size": "it is the least that attention on a processor takes",
    "async_scheduling": "a pass is planned there before it is known how many tokens have been drawn",
    "enable_prefix_caching": "what is shared is said request by request",
    "quantization": "packed weights are refused",
    "speculative_config": "a token that another model proposes is drawn by no noise",
}
"""Arguments of vLLM that are no keys here, and why."""


class VllmSettings(Settings):
    """Arguments of vLLM that pass through, by its own names. All others are Trimtab's, and docs/vllm.md says why."""

    tensor_parallel_size: Positive = default(1)
    """Workers that share each matrix of the model. It must divide the model's attention heads."""

    max_num_batched_tokens: Positive | None = default(None)
    """Tokens a pass, at most; a longer prompt is read in parts. null: as many as vLLM takes by itself."""

    max_num_seqs: Positive | None = default(None)
    """Requests that are worked on side by side, at most. null: as many as vLLM takes by itself."""

    @model_validator(mode="before")
    @classmethod
    def _proved(cls, given: Any) -> Any:
        for name, why in UNPROVED.items():
            if isinstance(given, Mapping) and name in given:
                told = {"name": name, "why": why, "known": ", ".join(cls.model_fields)}
                raise PydanticCustomError("unproved", "{name} is not passed on: {why}; known: {known}", told)
        return given


class EngineSettings(Settings):
    """What runs the model of the rollouts, or computes the rows of the caches."""

    engine: ServedBy = default("transformers")
    """What runs the model of the rollouts, of the transcripts and of the agent's own episodes. vllm: a serving engine,
    in an environment of its own (make .venv-vllm/.ready), which is checked against transformers on this machine before;
    docs/vllm.md says what runs there and when it pays. The caches have activations.engine; all else runs on
    transformers always."""

    memory_mb: Positive | None = None
    """Memory for keys and values."""

    vllm: VllmSettings | None = None

    @classmethod
    def keys(cls, section: Mapping[str, Any]) -> list[str]:
        """Without what transformers doesn't need: `memory_mb` is the batch's own setting there."""
        return [key for key in super().keys(section) if section["engine"] == VLLM or key == "engine"]

    @property
    def is_served(self) -> bool:
        return self.engine == VLLM
