"""Settings of the stage `saes`."""

import math
from copy import copy
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, Strict, create_model

from trimtab.settings.base import (
    DEFAULT,
    AboveOne,
    AboveZero,
    Count,
    NotNegative,
    Positive,
    Schema,
    Settings,
    Share,
    Text,
    default,
)

STEADY_SHARE = 0.8
"""Share of a training run after which the learning rate falls, linearly to zero."""

Layer = Annotated[int, Strict(False), Field(ge=0, description="Numbers of layers.")]
"""A key, which YAML reads as a number or as text."""

Architecture = Literal["topk", "batchtopk", "matryoshka", "jumprelu"]


class SaeSettings(Settings):
    """What shapes one dictionary."""

    architecture: Architecture = default("topk")
    """Which latents are active, and what is learned. topk is the study's; matryoshka is nested batchtopk; k is the
    mean L0 of all but topk."""

    latents: Positive = default(2304)
    """The dictionary's size."""

    k: Positive = default(32)
    """How many latents stay active a token."""

    tokens: Positive = default(300000)
    """Training tokens, epochs of the cache counted again."""

    batch: Positive = default(1024)
    """Tokens a training step."""

    learning_rate: AboveZero = default(0.003)
    """The rate between warm-up and decline."""

    warmup_steps: Count = default(50)
    """Steps over which the rate rises. It is then constant to 80 % of the run and falls linearly to 0."""

    aux_coefficient: NotNegative = default(0.03125)
    """Weight of the loss that revives dead latents. The study's is 1/32."""

    dead_steps: Positive = default(100)
    """A latent silent for this many steps is dead."""

    resample_steps: Count = default(0)
    """Steps between fresh starts of dead latents; 0: never. Fresh starts come in addition to the loss above."""

    bias: Literal["mean", "geometric_median"] = default("mean")
    """Where the decoder's bias starts: at the mean or the geometric median of the first batches."""

    precision: Literal["float32", "bfloat16"] = default("float32")
    """Precision in which latents are ranked. bfloat16 helps where the processor multiplies it fast; the values of the
    chosen latents are float32 always."""

    massive_norm: AboveOne | None = Field(default=None, json_schema_extra={DEFAULT: None})
    """Rows longer than this many times the layer's median row are left out of training, and counted in cfg.json. null:
    none are. Such rows are massive activations (Sun et al. 2024, 2402.17762); figures of quality are of all rows."""

    def record(self) -> dict[str, Any]:
        """Without a filter that isn't there."""
        record = super().record()
        return record if self.massive_norm is not None else {k: v for k, v in record.items() if k != "massive_norm"}

    @property
    def steps(self) -> int:
        """Training steps of the whole run."""
        return math.ceil(self.tokens / self.batch)


def _optional() -> dict[str, Any]:
    """The fields of `SaeSettings`, each of which may be left out (but not null)."""
    fields: dict[str, Any] = {}
    for name, field in SaeSettings.model_fields.items():
        own = copy(field)
        own.default, own.json_schema_extra = None, None
        fields[name] = (field.annotation, own)
    return fields


if TYPE_CHECKING:
    SaeOverride = SaeSettings
else:
    SaeOverride = create_model(
        "SaeOverride", __base__=SaeSettings, __doc__="Some keys of a single layer's dictionary.", **_optional()
    )


class GateSettings(Settings):
    """A dictionary that fails one of these (the study's) is marked in the report."""

    explained_variance: Share = default(0.35)
    """A layer below it is marked as failing."""

    loss_recovered: Share = default(0.7)
    """A layer below it is marked as failing."""

    dead_share: Share = default(0.4)
    """A layer above it is marked as failing."""


class ExampleSettings(Settings):
    """Top activating examples of the latents that a probe weighs most."""

    latents: Positive = default(8)
    """Latents shown of a trait's probe."""

    contexts: Positive = default(6)
    """Examples shown of a latent."""


class SaeRowsSettings(Settings):
    source: Literal["cache", "stream"] = default("cache")
    """Where training takes its rows: stored ones, or captured as they are trained on. cache: each layer is a job of
    its own. stream: one job captures and trains all layers and stores only the first of the corpus' shards, for
    baselines and examples. Every further epoch is captured again, so give it a corpus of saes.tokens."""


class Saes(SaeSettings, SaeRowsSettings):
    """Sparse autoencoders, one a layer."""

    pretrained: Annotated[str, Text(r".*\{layer\}.*", "a path with {layer} in it")] | None = default(None)
    """A file or folder with {layer} in its name, in place of training. Dictionaries made elsewhere, one a layer, in
    the format of SAELens, sparsify, dictionary_learning, Qwen-Scope, Gemma Scope or Llama Scope."""

    gates: GateSettings

    on_gate_failure: Literal["report", "stop"] = default("report")
    """What a failed gate does. stop: the run ends with a line for each gate that a layer fails."""

    second_seeds: Count = default(1)
    """How many layers, those where the most traits' probes sit, are trained with a second seed too. It shows how far
    the same latents are found again. Pretrained dictionaries have no second seed."""

    examples: ExampleSettings

    overrides: Annotated[dict[Layer, SaeOverride], Schema("propertyNames", {"pattern": "^[0-9]+$"})] = default({})
    """Settings of single layers, such as {18: {k: 64}}."""

    def of_layer(self, layer: int) -> SaeSettings:
        """What shapes one layer's dictionary. An override is part of its own layer's settings alone."""
        own = self.overrides[layer].record() if layer in self.overrides else {}
        # every value was checked with the whole
        return SaeSettings.model_construct(
            **{name: own.get(name, getattr(self, name)) for name in SaeSettings.model_fields}
        )
