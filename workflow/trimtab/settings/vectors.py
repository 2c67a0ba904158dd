"""Settings of the stage `vectors`."""

from typing import Annotated, Literal

from trimtab.settings.base import AboveZero, Count, Listed, OrWord, Positive, Settings, Some, Text, default

METHODS = [
    "sae_probe",
    "sae_pattern",
    "sae_behaviour",
    "sae_attributed",
    "behaviour",
    "gradient",
    "mean_difference",
    "raw_probe",
    "prompt_vector",
    "specific_behaviour",
    "shuffled_sae_pattern",
    "shuffled_sae_behaviour",
    "shuffled_sae_attributed",
    "shuffled_behaviour",
    "shuffled_mean_difference",
    "shuffled_specific_behaviour",
    "shuffled",
    "random",
    "corpus_random",
]
"""Those of the default experiment."""


Baseline = Literal["contrastive_guidance", "logit_mixing"]


class TrainingSettings(Settings):
    """Methods that are trained through the model; all of them have the same budget."""

    passes: Positive = default(320)
    """Contrast prompts that a training may read with a gradient. Each reading counts, of pairs of split fit alone; a
    training that stops early needs fewer."""

    batch: Positive = default(4)
    """Pairs a step."""

    together: Positive = default(8)
    """Prompts that are read in one pass at most. Fewer need less memory; results differ in their last digits alone."""

    kept: Positive = default(16)
    """Pairs of split select whose loss a look reads at most; they are drawn. A look costs as many readings of each as a
    step, without their gradients."""

    looks: Positive = default(8)
    """How often a training looks at its loss on pairs kept for choosing. What it had where this was lowest is what it
    leaves."""

    patience: Positive = default(3)
    """Looks without a lower loss after which a training ends."""


class VectorSettings(Settings):
    """How a trait's vectors are made, measured and checked."""

    calibration_doses: Some[AboveZero] = default([0.2])
    """Doses whose KL is measured, as shares of the residual norm. The KL is that to the unsteered next-token
    distribution, in both directions of the vector."""

    settings: dict[str, dict[str, bool | int | float | str]] = default({})
    """Settings of single methods, by the method's name and theirs. The class Settings in a method's file says which it
    has and what they are; those left out are as there, as in casal: {module: mlp.c_proj}."""

    training: TrainingSettings
    """Methods that are trained through the model; all of them have the same budget."""

    wrong_sign: Literal["mark", "stop"] = default("mark")
    """What happens to a vector that points the wrong way. Its positive side holds the held-out rows of the low pole.
    mark: the tables say so; stop: the job fails."""


class MethodSettings(Settings):
    methods: Annotated[Some[str], OrWord("all")] = default(METHODS)
    """Makers of steering vectors, each a file of workflow/trimtab/vectors/methods, which says what it does;
    docs/choices.md lists them all. A method takes a few seconds a trait, one that is trained through the model minutes.
    The name of a group stands for its methods: means, probes, patterns, gradients, trained, episodes, edits, controls,
    or all, which is every method but imported."""

    imported: Annotated[str, Text(r".*\{trait\}.*", "a path with {trait} in it")] | None = default(None)
    """A file with {trait} in its name, for the method imported: vectors made elsewhere, one file a trait. GGUF control
    vectors (repeng, llama.cpp), .pt (persona_vectors) or .safetensors; of several layers' vectors, that of the layer
    that the trait's probe chose is taken."""

    episodes: Positive = default(6)
    """Unsteered episodes on each task of resources' development.yaml, for methods that learn from what the agent itself
    does, and for the drift along the Assistant Axis; without such a method none is run."""

    twin: str | None = default(None)
    """Folder of a model that was tuned from this one, or that this one was tuned from, for the method reflex."""

    random_draws: Count = default(6)
    """Random directions a trait of each kind that is among the methods (random, corpus_random), at that trait's
    layer."""

    chance_draws: Count = default(50)
    """Random directions of each kind, from the sphere and as the corpus varies, whose decisions are read at each layer
    where a trait's probe sits: so many with those that have vectors of their own. They are read at
    the points where that layer's traits are measured, which share them, and no vectors are kept of them. A direction
    takes a few seconds of one core."""

    null_draws: Positive = default(8)
    """Draws a trait of each other null among the methods, such as shuffled and shuffled_mean_difference. By their
    spread and that of random directions the tables judge vectors; two of a kind are the fewest that have one."""


class Vectors(VectorSettings, MethodSettings):
    """Steering vectors."""

    comparison_kl: AboveZero = default(0.1)
    """Nats at which all methods are compared. Each vector gets the length whose mean KL, over the first decision of
    every scenario, is this."""

    decoding: Listed[Baseline] = default([])
    """Baselines of decoding that are compared with the vectors, at the same KL: contrastive_guidance extrapolates the
    next token's logits to where the trait is asked for in the system line and beyond, logit_mixing mixes in those of
    late layers. They touch no stream, so first decisions are all that is read of them, and rollouts have none."""
