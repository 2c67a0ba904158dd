"""Training of one dictionary, from a stream of activations to weights in the activations' own units.

The loop knows nothing of files: batches come in as tensors, and the result is an `SAE` with its curve. A step touches
whole rows of the weights, one latent a row, and waits for the device only where figures are logged. What kinds of
dictionary there are is in `trimtab.saes.architectures`, the revival of dead latents in `trimtab.saes.dead`, and what
lets a killed run go on as if nothing had happened in `trimtab.saes.checkpoint`.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import chain, islice
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from trimtab.errors import TrimtabError
from trimtab.saes import start
from trimtab.saes.architectures import ARCHITECTURES
from trimtab.saes.architectures.base import Weights
from trimtab.saes.checkpoint import Checkpoint, Saved
from trimtab.saes.dead import aux_loss, resample
from trimtab.saes.sae import SAE
from trimtab.saes.sparse import SPARSE, Products

GRADIENT_NORM = 1.0
STEADY_SHARE = 0.8
"""Share of the run after which the rate falls, linearly to zero."""

SAMPLE_BATCHES = 8
"""Batches from whose rows the centre and the scale are measured; they are trained on like all others."""

LOG_STEPS = 10
"""Steps between two looks at the figures, where the device is waited for: dead latents are counted there too."""

Batches = Callable[[int], Iterator[Float[Tensor, "batch d_in"]]]
"""All batches from a step on, the same ones every time."""


@dataclass(frozen=True)
class Settings:
    """The keys of `saes` in the config that shape one dictionary."""

    architecture: str
    latents: int
    k: int
    tokens: int
    batch: int
    learning_rate: float
    warmup_steps: int
    aux_coefficient: float
    dead_steps: int
    resample_steps: int
    bias: str
    precision: str

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str):
                continue
            if value < 0 or (value == 0 and field.name not in ("warmup_steps", "aux_coefficient", "resample_steps")):
                raise TrimtabError(f"config, saes.{field.name}: {value} is not positive")
        if self.architecture not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            raise TrimtabError(f"config, saes.architecture: {self.architecture!r} is not one of {known}")
        if self.k >= self.latents:
            raise TrimtabError(
                f"config, saes.k: {self.k} is not below saes.latents ({self.latents}); "
                "k is how many latents stay active a token"
            )

    @property
    def steps(self) -> int:
        return math.ceil(self.tokens / self.batch)

    def rate(self, step: int) -> float:
        """Learning rate of `step`, counted from 0: linear warm-up, constant, linear to 0."""
        left = (self.steps - step) / (self.steps * (1 - STEADY_SHARE))
        return self.learning_rate * min(1.0, (step + 1) / max(self.warmup_steps, 1), left)


class Progress(NamedTuple):
    """One logged step; a row of training.csv."""

    step: int
    tokens: int
    loss: float
    """Mean squared error of the scaled rows, per element, whatever else a kind's loss holds."""

    aux_loss: float
    explained_variance: float
    l0: float
    dead_share: float
    learning_rate: float


class Trained(NamedTuple):
    sae: SAE
    curve: list[Progress]


class Recipe(NamedTuple):
    """What one dictionary is made by."""

    settings: Settings
    seed: int
    products: Products = SPARSE


def train(
    batches: Batches,
    settings: Settings,
    seed: int,
    checkpoint: Checkpoint | None = None,
    products: Products = SPARSE,
) -> Trained:
    """Train on all of `batches`, which hold `settings.tokens` rows.

    Args:
        checkpoint: where the state is kept from time to time, and where an earlier run's state may lie: then this run
            goes on from there, and ends with the same bits.

    Raises:
        TrimtabError: rows are not finite, or all alike, so that no scale is defined.
    """
    alone = 0
    done = train_together(
        lambda step: ({alone: rows} for rows in batches(step)), {alone: Recipe(settings, seed, products)}, checkpoint
    )
    return done[alone]


def train_together(
    batches: Callable[[int], Iterator[Mapping[int, Float[Tensor, "batch d_in"]]]],
    recipes: Mapping[int, Recipe],
    checkpoint: Checkpoint | None = None,
) -> dict[int, Trained]:
    """Train several layers' dictionaries step by step beside one another, each with the bits that it has alone.

    Args:
        batches: as `train` takes them, with the rows of every layer.
    """
    opened = batches(0)
    first = list(islice(opened, SAMPLE_BATCHES))
    runs = {layer: Run(torch.cat([rows[layer] for rows in first]), recipe) for layer, recipe in recipes.items()}
    begin = 0
    if checkpoint and (saved := checkpoint.read()):
        for layer, run in runs.items():
            run.restore(layer, saved)
        first.clear()
        begin, opened = saved.step, batches(saved.step)
    for step, rows in enumerate(chain(_emptied(first), opened), begin):
        if step % LOG_STEPS == 0 and checkpoint and checkpoint.due():
            state = {f"{at}.{name}": own for at, run in runs.items() for name, own in run.dictionary.state.items()}
            checkpoint.write(step, state, [(layer, *row) for layer, run in runs.items() for row in run.curve])
        for layer, run in runs.items():
            run.take(step, rows[layer])
    return {layer: Trained(run.dictionary.folded(), run.curve) for layer, run in runs.items()}


T = TypeVar("T")


def _emptied(items: list[T]) -> Iterator[T]:
    """The items of a list that lets go of each."""
    while items:
        yield items.pop(0)


class Run:
    """One dictionary in training, and its curve so far."""

    def __init__(self, sample: Float[Tensor, "row d_in"], recipe: Recipe) -> None:
        self.settings = recipe.settings
        self.dictionary = Dictionary(sample, recipe.settings, recipe.seed, recipe.products)
        self.curve: list[Progress] = []

    def restore(self, layer: int, saved: Saved) -> None:
        """Take up what a checkpoint holds of this layer."""
        about = f"{layer}."
        own = {name.removeprefix(about): value for name, value in saved.tensors.items() if name.startswith(about)}
        self.dictionary.restore(own)
        self.curve = [Progress(*row) for of, *row in saved.curve if of == layer]

    def take(self, step: int, rows: Float[Tensor, "batch d_in"]) -> None:
        """Train on the rows of `step`."""
        settings, dictionary = self.settings, self.dictionary
        if step % LOG_STEPS == 0:
            dictionary.count_dead()
        figures = dictionary.step(rows, settings.rate(step))
        if settings.resample_steps and (step + 1) % settings.resample_steps == 0:
            dictionary.revive(rows)
        if step % LOG_STEPS == 0 or step == settings.steps - 1:
            # what a constant reconstruction would leave as error
            variance = (rows - rows.mean(0)).square().mean() * dictionary.scale**2
            progress = Progress(
                step=step,
                tokens=min((step + 1) * settings.batch, settings.tokens),
                loss=float(figures.error),
                aux_loss=float(figures.aux_loss),
                explained_variance=1 - float(figures.error / variance),
                l0=float(figures.active) / len(rows),
                dead_share=float(dictionary.silent.float().mean()),
                learning_rate=settings.rate(step),
            )
            if not math.isfinite(progress.loss):
                raise TrimtabError(f"SAE training: loss {progress.loss} at step {step}; lower saes.learning_rate")
            self.curve.append(progress)


class StepFigures(NamedTuple):
    error: Tensor
    aux_loss: Tensor
    active: Tensor
    """How many latents are active, all tokens together."""


class Dictionary:
    """The weights in training, and all else that a step changes."""

    def __init__(
        self, sample: Float[Tensor, "row d_in"], settings: Settings, seed: int, products: Products = SPARSE
    ) -> None:
        self.settings = settings
        self.scale = start.scale(sample)
        self.generator = torch.Generator().manual_seed(seed)
        drawn = torch.randn(settings.latents, sample.shape[1], generator=self.generator).to(sample)
        decoder = functional.normalize(drawn, dim=1)
        b_dec = start.centre(sample, settings.bias) * self.scale
        share = start.encoder_share(sample[: settings.batch] * self.scale - b_dec, decoder, settings.k)
        self.weights = Weights(decoder * share, decoder, sample.new_zeros(settings.latents), b_dec)
        # ranking in the rows' own format is no special case, and float64 stays float64
        ranking = torch.bfloat16 if settings.precision == "bfloat16" else sample.dtype
        self.kind = ARCHITECTURES[settings.architecture](settings.k, ranking, products)
        self.kind.begin(self.weights, sample * self.scale)
        self.parameters = vars(self.weights) | self.kind.parameters
        for parameter in self.parameters.values():
            parameter.requires_grad_()
        self.optimiser = torch.optim.Adam(self.parameters.values(), lr=settings.learning_rate, fused=True)
        self.silent_steps = torch.zeros(settings.latents, dtype=torch.int64, device=sample.device)
        self.count_dead()

    @property
    def silent(self) -> Tensor:
        """Which latents have been silent for so long that they count as dead."""
        return self.silent_steps >= self.settings.dead_steps

    def count_dead(self) -> None:
        """Look up which latents are dead: only here, since how many they are must be known to the host."""
        self.dead = self.silent.nonzero().flatten()

    def step(self, rows: Float[Tensor, "batch d_in"], rate: float) -> StepFigures:
        """One update of all weights; the figures are those before it."""
        scaled = rows * self.scale
        done = self.kind.run(self.weights, scaled)
        aux = aux_loss(self.weights, self.dead, scaled, done.reconstruction)
        (done.loss + self.settings.aux_coefficient * aux).backward()  # type: ignore[no-untyped-call]
        self._update(rate)
        active = done.codes.values.detach() > 0
        fired = torch.zeros_like(self.silent_steps).index_add_(0, done.codes.pattern.latents, active.long())
        self.silent_steps = (self.silent_steps + 1) * (fired == 0)
        return StepFigures(done.error.detach(), aux.detach(), active.sum())

    @torch.no_grad()
    def _update(self, rate: float) -> None:
        decoder = self.weights.decoder
        assert decoder.grad is not None
        # a decoder row may turn but not grow: what would lengthen it is no progress, and would fill Adam's moments
        decoder.grad.addcmul_(decoder, torch.linalg.vecdot(decoder.grad, decoder)[:, None], value=-1)
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), GRADIENT_NORM)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        self.optimiser.zero_grad()
        decoder.div_(decoder.norm(dim=1, keepdim=True))

    def revive(self, rows: Float[Tensor, "batch d_in"]) -> None:
        """Start the dead latents anew from what is badly reconstructed of `rows`."""
        self.count_dead()
        if len(self.dead) == 0:
            return
        scaled = rows * self.scale
        with torch.no_grad():
            residual = scaled - self.kind.run(self.weights, scaled).reconstruction
        tables = [getattr(self.weights, name) for name in ("encoder", "decoder", "b_enc")]
        moments = [self.optimiser.state[table][name] for table in tables for name in ("exp_avg", "exp_avg_sq")]
        resample(self.weights, self.dead, residual, moments, self.generator)
        self.silent_steps[self.dead] = 0
        self.count_dead()

    @property
    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, by name, as it is (not copied)."""
        tensors = {f"weights.{name}": parameter.detach() for name, parameter in self.parameters.items()}
        for name, parameter in self.parameters.items():
            tensors |= {f"optimiser.{name}.{key}": value for key, value in self.optimiser.state[parameter].items()}
        tensors |= {f"kind.{name}": value for name, value in self.kind.state.items()}
        return tensors | {"silent_steps": self.silent_steps, "generator": self.generator.get_state()}

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up a state that another process left."""
        for name, parameter in self.parameters.items():
            parameter.copy_(tensors[f"weights.{name}"])
            about = f"optimiser.{name}."
            self.optimiser.state[parameter] = {
                key.removeprefix(about): value.to(parameter.device)
                for key, value in tensors.items()
                if key.startswith(about)
            }
        for name, value in self.kind.state.items():
            value.copy_(tensors[f"kind.{name}"])
        self.silent_steps = tensors["silent_steps"].to(self.silent_steps.device)
        self.generator.set_state(tensors["generator"])
        self.count_dead()

    def folded(self) -> SAE:
        """The dictionary for unscaled rows: latents and reconstruction are those in training, divided by the scale."""
        weights = self.weights
        return SAE(
            W_enc=weights.encoder.detach().T.contiguous(),
            b_enc=weights.b_enc.detach() / self.scale,
            W_dec=weights.decoder.detach(),
            b_dec=weights.b_dec.detach() / self.scale,
            activation=self.kind.activation(self.scale),
        )
