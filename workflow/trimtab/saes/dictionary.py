"""One dictionary in training: its weights, and what a step does to them.

A step touches whole rows of the weights, one latent a row, and never waits for the device. What kinds of dictionary
there are is in `trimtab.saes.architectures`, the revival of dead latents in `trimtab.saes.dead`, and the loop in
`trimtab.saes.train`.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from trimtab.saes import start
from trimtab.saes.architectures import architecture
from trimtab.saes.architectures.base import Weights
from trimtab.saes.dead import aux_loss, resample
from trimtab.saes.sae import SAE
from trimtab.saes.sparse import SPARSE, Products
from trimtab.settings.saes import SaeSettings

GRADIENT_NORM = 1.0


class StepFigures(NamedTuple):
    """What one training step measured."""

    error: Float[Tensor, ""]
    aux_loss: Float[Tensor, ""]
    active: Int[Tensor, ""]
    """How many latents are active, all tokens together."""


class Dictionary:
    """The weights in training, and all else that a step changes."""

    def __init__(
        self, sample: Float[Tensor, "row d_in"], settings: SaeSettings, seed: int, products: Products = SPARSE
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
        self.kind = architecture(settings.architecture)(settings.k, ranking, products)
        self.kind.begin(self.weights, sample * self.scale)
        self.parameters = vars(self.weights) | self.kind.parameters
        for parameter in self.parameters.values():
            parameter.requires_grad_()
        self.optimiser = torch.optim.Adam(self.parameters.values(), lr=settings.learning_rate, fused=True)
        self.silent_steps = torch.zeros(settings.latents, dtype=torch.int64, device=sample.device)
        self.count_dead()

    @property
    def silent(self) -> Bool[Tensor, "d_sae"]:
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
