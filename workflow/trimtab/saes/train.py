"""Training of one top-k dictionary, from a stream of activations to weights in the activations' own units.

The loop knows nothing of files: batches come in as tensors, and the result is a `TopKSAE` with its curve. Rows are
centred and scaled by one number before they reach the dictionary, so that one learning rate serves layers whose norms
differ a hundredfold; the scale is folded into the weights at the end, and no reader needs to know of it.

Dead latents are revived as in Gao et al. 2024 (A.2): the dead alone predict what the living leave unexplained. Here
that gradient reaches their encoder rows as well as their decoder rows; two of the libraries in use lose the first.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import chain, islice
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from trimtab.errors import TrimtabError
from trimtab.saes.topk import TopKSAE, active_latents, weighted_rows

GRADIENT_NORM = 1.0
STEADY_SHARE = 0.8
"""Share of the run after which the rate falls, linearly to zero."""

SCALE_BATCHES = 8
"""Batches from whose rows the mean and the scale are measured; they are trained on like all others."""

LOG_STEPS = 10


@dataclass(frozen=True)
class Settings:
    """The keys of `saes` in the config that shape one dictionary."""

    latents: int
    k: int
    tokens: int
    batch: int
    learning_rate: float
    warmup_steps: int
    aux_coefficient: float
    dead_steps: int

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 0 or (value == 0 and field.name not in ("warmup_steps", "aux_coefficient")):
                raise TrimtabError(f"config, saes.{field.name}: {value} is not positive")
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
    aux_loss: float
    explained_variance: float
    l0: float
    dead_share: float
    learning_rate: float


class Trained(NamedTuple):
    sae: TopKSAE
    curve: list[Progress]


def train(batches: Iterator[Float[Tensor, "batch d_in"]], settings: Settings, seed: int) -> Trained:
    """Train on all of `batches`, which hold `settings.tokens` rows, in float32.

    Raises:
        TrimtabError: rows are not finite, or all alike, so that no scale is defined.
    """
    first = list(islice(batches, SCALE_BATCHES))
    dictionary = Dictionary(torch.cat(first), settings, seed)
    curve = []
    seen = 0
    for step, rows in enumerate(chain(first, batches)):
        seen += len(rows)
        logged = step % LOG_STEPS == 0 or step == settings.steps - 1
        loss, aux_loss, variance, active = dictionary.step(rows, settings.rate(step))
        if logged:
            progress = Progress(
                step=step,
                tokens=seen,
                loss=float(loss),
                aux_loss=float(aux_loss),
                explained_variance=1 - float(loss / variance),
                l0=float(active) / len(rows),
                dead_share=float(dictionary.dead.float().mean()),
                learning_rate=settings.rate(step),
            )
            if not math.isfinite(progress.loss):
                raise TrimtabError(f"SAE training: loss {progress.loss} at step {step}; lower saes.learning_rate")
            curve.append(progress)
    return Trained(dictionary.folded(), curve)


class StepFigures(NamedTuple):
    loss: Tensor
    aux_loss: Tensor
    variance: Tensor
    """Of the batch about its mean, per element: what a constant reconstruction would leave as loss."""

    active: Tensor
    """How many latents are active, all tokens together."""


class Dictionary:
    """The weights in training: one latent a row in both matrices, so that a step touches whole rows."""

    def __init__(self, sample: Float[Tensor, "row d_in"], settings: Settings, seed: int) -> None:
        mean = sample.mean(0)
        norm = float((sample - mean).norm(dim=1).mean())
        if not math.isfinite(norm) or norm == 0:
            raise TrimtabError(f"SAE training: the mean centred norm of the first {len(sample)} rows is {norm}")
        self.settings = settings
        self.scale = math.sqrt(sample.shape[1]) / norm
        generator = torch.Generator().manual_seed(seed)
        decoder = torch.randn(settings.latents, sample.shape[1], generator=generator).to(sample)
        decoder = functional.normalize(decoder, dim=1)
        self.encoder = decoder.clone().requires_grad_()
        self.decoder = decoder.requires_grad_()
        self.b_enc = sample.new_zeros(settings.latents).requires_grad_()
        self.b_dec = (mean * self.scale).requires_grad_()
        self.parameters = [self.encoder, self.decoder, self.b_enc, self.b_dec]
        self.optimiser = torch.optim.Adam(self.parameters, lr=settings.learning_rate, fused=True)
        self.silent_steps = torch.zeros(settings.latents, dtype=torch.int64, device=sample.device)

    @property
    def dead(self) -> Tensor:
        return self.silent_steps >= self.settings.dead_steps

    def step(self, rows: Float[Tensor, "batch d_in"], rate: float) -> StepFigures:
        """One update of all weights; the figures are those before it."""
        scaled = rows * self.scale
        codes = active_latents(scaled, self.encoder, self.b_enc, self.b_dec, self.settings.k)
        reconstruction = weighted_rows(codes, self.decoder) + self.b_dec
        loss = functional.mse_loss(reconstruction, scaled)
        aux_loss = self.aux_loss(scaled, (scaled - reconstruction).detach())
        (loss + self.settings.aux_coefficient * aux_loss).backward()  # type: ignore[no-untyped-call]
        self._update(rate)
        active = codes.values > 0
        self.silent_steps += 1
        self.silent_steps[codes.indices[active]] = 0
        variance = (scaled - scaled.mean(0)).square().mean()
        return StepFigures(loss.detach(), aux_loss.detach(), variance, active.sum())

    def aux_loss(self, scaled: Float[Tensor, "batch d_in"], residual: Float[Tensor, "batch d_in"]) -> Tensor:
        """What is left of `residual` after its best prediction by d_in/2 dead latents a token."""
        dead = self.dead.nonzero().flatten()
        if len(dead) == 0:
            return residual.new_zeros(())
        latents = functional.linear(scaled - self.b_dec.detach(), self.encoder[dead], self.b_enc[dead]).relu()
        if len(dead) > (most := max(scaled.shape[1] // 2, 1)):
            values, indices = latents.topk(most, dim=1, sorted=False)
            latents = torch.zeros_like(latents).scatter(1, indices, values)
        return functional.mse_loss(latents @ self.decoder[dead], residual)

    @torch.no_grad()
    def _update(self, rate: float) -> None:
        assert self.decoder.grad is not None
        # a decoder row may turn but not grow: what would lengthen it is no progress, and would fill Adam's moments
        self.decoder.grad -= (self.decoder.grad * self.decoder).sum(1, keepdim=True) * self.decoder
        torch.nn.utils.clip_grad_norm_(self.parameters, GRADIENT_NORM)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.decoder.div_(self.decoder.norm(dim=1, keepdim=True))

    def folded(self) -> TopKSAE:
        """The dictionary for unscaled rows: latents and reconstruction are those in training, divided by the scale."""
        return TopKSAE(
            W_enc=self.encoder.detach().T.contiguous(),
            b_enc=self.b_enc.detach() / self.scale,
            W_dec=self.decoder.detach(),
            b_dec=self.b_dec.detach() / self.scale,
            k=self.settings.k,
        )
