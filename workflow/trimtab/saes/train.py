"""Training of one dictionary, from a stream of activations to weights in the activations' own units.

The loop knows nothing of files: batches come in as tensors, and the result is an `SAE` with its curve. It waits for the
device only where figures are logged. What a step does is in `trimtab.saes.dictionary`, and what lets a killed run go on
as if nothing had happened in `trimtab.saes.checkpoint`.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.errors import TrimtabError
from trimtab.saes.checkpoint import Saved, TrainingCheckpoint
from trimtab.saes.dictionary import Dictionary
from trimtab.saes.files import Massive
from trimtab.saes.schedule import rate
from trimtab.saes.sparse import SPARSE, Products, fastest
from trimtab.saes.trained import Progress, Trained
from trimtab.settings.saes import SaeSettings

SAMPLE_BATCHES = 8
"""Batches from whose rows the centre and the scale are measured; they are trained on like all others."""

LOG_STEPS = 10
"""Steps between two looks at the figures, where the device is waited for: dead latents are counted there too."""

Batches = Callable[[int], Iterator[Float[Tensor, "batch d_in"]]]
"""All batches from a step on, the same ones every time."""


class Recipe(NamedTuple):
    """What one dictionary is made by."""

    settings: SaeSettings
    seed: int
    products: Products = SPARSE

    @classmethod
    def measured(cls, settings: SaeSettings, seed: int, where: torch.device, d_in: int) -> "Recipe":
        """With the products that are fastest on this device."""
        return cls(settings, seed, fastest(where, settings.batch, settings.latents, d_in, settings.k))


def device_of(name: str) -> torch.device:
    """Where dictionaries are trained, by config.yaml's `model.device`: one of them fits on one device."""
    return torch.device("cuda" if name == "auto" else name)


def train(batches: Batches, recipe: Recipe, checkpoint: TrainingCheckpoint | None = None) -> Trained:
    """Train on all of `batches`, which hold as many rows as the recipe says.

    Args:
        checkpoint: where the state is kept from time to time, and where an earlier run's state may lie: then this run
            goes on from there, and ends with the same bits.

    Raises:
        TrimtabError: rows are not finite, or all alike, so that no scale is defined.
    """
    alone = 0
    return train_together(lambda step: ({alone: rows} for rows in batches(step)), {alone: recipe}, checkpoint)[alone]


def train_together(
    batches: Callable[[int], Iterator[Mapping[int, Float[Tensor, "batch d_in"]]]],
    recipes: Mapping[int, Recipe],
    checkpoint: TrainingCheckpoint | None = None,
) -> dict[int, Trained]:
    """Train several layers' dictionaries step by step together, each with the same bits as when trained alone.

    Args:
        batches: as `train` takes them, with the rows of every layer.
    """
    opened = batches(0)
    first = list(islice(opened, SAMPLE_BATCHES))
    runs = {layer: TrainingRun(torch.cat([rows[layer] for rows in first]), recipe) for layer, recipe in recipes.items()}
    begin = 0
    if checkpoint and (saved := checkpoint.read()):
        for layer, run in runs.items():
            run.restore(layer, saved)
        first.clear()
        begin, opened = saved.step, batches(saved.step)
    for step, rows in enumerate(chain(_emptied(first), opened), begin):
        if step % LOG_STEPS == 0 and checkpoint and checkpoint.due():
            state = {f"{at}.{name}": own for at, run in runs.items() for name, own in run.state.items()}
            checkpoint.write(step, state, [(layer, *row) for layer, run in runs.items() for row in run.curve])
        for layer, run in runs.items():
            run.take(step, rows[layer])
    return {layer: run.trained() for layer, run in runs.items()}


T = TypeVar("T")


def _emptied(items: list[T]) -> Iterator[T]:
    """The items of a list that lets go of each."""
    while items:
        yield items.pop(0)


class TrainingRun:
    """One dictionary in training, and its curve so far."""

    def __init__(self, sample: Float[Tensor, "row d_in"], recipe: Recipe) -> None:
        self.settings = recipe.settings
        self._longest = longest(sample, recipe.settings.massive_norm)
        self._left_out = torch.zeros((), dtype=torch.int64, device=sample.device)
        self.dictionary = Dictionary(self._ordinary(sample), recipe.settings, recipe.seed, recipe.products)
        self.curve: list[Progress] = []
        # kept on the device, which is waited for only where figures are logged
        self._rows_finite = torch.ones((), dtype=torch.bool, device=sample.device)

    @property
    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, and what is counted."""
        return self.dictionary.state | {"left_out": self._left_out}

    def restore(self, layer: int, saved: Saved) -> None:
        """Take up what a checkpoint holds of this layer."""
        about = f"{layer}."
        own = {name.removeprefix(about): value for name, value in saved.tensors.items() if name.startswith(about)}
        self._left_out.copy_(own.pop("left_out"))
        self.dictionary.restore(own)
        self.curve = [Progress(*row) for of, *row in saved.curve if of == layer]

    def take(self, step: int, rows: Float[Tensor, "batch d_in"]) -> None:
        """Train on the rows of `step`."""
        settings, dictionary = self.settings, self.dictionary
        if step % LOG_STEPS == 0:
            dictionary.count_dead()
        self._rows_finite &= rows.abs().amax().isfinite()
        served, rows = len(rows), self._ordinary(rows)
        self._left_out += served - len(rows)
        if not len(rows):
            raise TrimtabError(
                f"SAE training: all {served} rows of step {step} are longer than {self._longest:g}; expected a larger "
                "saes.massive_norm or null"
            )
        figures = dictionary.step(rows, rate(step, settings))
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
                learning_rate=rate(step, settings),
            )
            if not self._rows_finite:
                raise TrimtabError(
                    f"SAE training: activations up to step {step} hold NaN or infinity; expected finite rows"
                )
            if not math.isfinite(progress.loss):
                raise TrimtabError(
                    f"SAE training: loss {progress.loss} at step {step} although all activations are finite; lower "
                    "saes.learning_rate"
                )
            self.curve.append(progress)

    def _ordinary(self, rows: Float[Tensor, "row d_in"]) -> Float[Tensor, "kept d_in"]:
        """Rows that are not massive."""
        return rows if self._longest is None else rows[rows.norm(dim=1) <= self._longest]

    def trained(self) -> Trained:
        """What the training leaves."""
        if self._longest is None:
            return Trained(self.dictionary.folded(), self.curve)
        massive = Massive(
            float(self.settings.massive_norm or 0), self._longest, int(self._left_out), self.settings.tokens
        )
        return Trained(self.dictionary.folded(), self.curve, massive)


def longest(sample: Float[Tensor, "row d_in"], times: float | None) -> float | None:
    """How long a row may be that is trained on: so many times the sample's median norm; None for any length."""
    return None if times is None else times * float(sample.norm(dim=1).median())
