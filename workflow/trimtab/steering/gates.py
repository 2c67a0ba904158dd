"""Gates: at which tokens an edit is open, and how far, by what the tokens and the model's rows say.

Which places a condition steers at all is its timing (`trimtab.steering.places`); a gate opens some of these tokens and
not others, from 0 (closed) to 1. It may read the token's own id, as a trigger does, or rows at sites that the pass
reaches before the edit's. And it may remember: the scan of a row's tokens in `trimtab.steering.memory` depends on no
cut into passes, so that a batch, a shared header and a resumed run open the same tokens.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trimtab.forward.sites import Site

NOTHING, ANY, FIRST = "nothing", "any", "first"
"""What a gate remembers. NOTHING: each token is by itself. ANY: given tokens open it as far as any of those before, and
it stays so for what is written. FIRST: what it says at the first token after which the agent goes on holds ever after,
and before that it is closed."""

REMEMBERS = (NOTHING, ANY, FIRST)


class Gate(Protocol):
    @property
    def sites(self) -> tuple[Site, ...]:
        """Where it reads, in the order of the columns that it is given; empty for one that looks at ids alone."""

    @property
    def remembers(self) -> str:
        """One of `REMEMBERS`."""

    def __call__(self, ids: Int[Tensor, "token"], rows: Float[Tensor, "token width"] | None) -> Float[Tensor, "token"]:
        """How far each token opens it, 0 to 1.

        Args:
            rows: at its sites, side by side, in float32.
        """


@dataclass(frozen=True)
class Trigger:
    """Open at tokens of some ids, such as those whose text ends in a blank line (SEAL, 2504.07986)."""

    ids: Int[Tensor, "id"]
    remembers: str = NOTHING
    sites: ClassVar[tuple[Site, ...]] = ()

    def __call__(
        self, ids: Int[Tensor, "token"], rows: Float[Tensor, "token width"] | None = None
    ) -> Float[Tensor, "token"]:
        return torch.isin(ids, self.ids.to(ids.device)).float()


@dataclass(frozen=True)
class Beyond:
    """Open where `weight . h + bias` is above 0: a threshold on a projection, a latent's own reading, a linear probe.

    Of a latent it is what its encoder row says before the k largest are chosen.
    """

    sites: tuple[Site, ...]
    weight: Float[Tensor, "width"]
    bias: float
    remembers: str = NOTHING

    def __call__(self, ids: Int[Tensor, "token"], rows: Float[Tensor, "token width"] | None) -> Float[Tensor, "token"]:
        return (_read(rows) @ self.weight.to(ids.device, torch.float32) + self.bias > 0).float()


@dataclass(frozen=True)
class Logistic:
    """Open as far as a logistic probe says, `1 / (1 + exp(-(weight . h + bias)))` (CAST's condition made soft)."""

    sites: tuple[Site, ...]
    weight: Float[Tensor, "width"]
    bias: float
    remembers: str = NOTHING

    def __call__(self, ids: Int[Tensor, "token"], rows: Float[Tensor, "token width"] | None) -> Float[Tensor, "token"]:
        return torch.sigmoid(_read(rows) @ self.weight.to(ids.device, torch.float32) + self.bias)


@dataclass(frozen=True)
class Network:
    """Open as far as a network with one hidden layer of rectified units says, through a logistic function."""

    sites: tuple[Site, ...]
    hidden: Float[Tensor, "unit width"]
    hidden_bias: Float[Tensor, "unit"]
    weight: Float[Tensor, "unit"]
    bias: float
    remembers: str = NOTHING

    def __call__(self, ids: Int[Tensor, "token"], rows: Float[Tensor, "token width"] | None) -> Float[Tensor, "token"]:
        read = _read(rows)
        units = (read @ self.hidden.to(read).T + self.hidden_bias.to(read)).clamp_min(0)
        return torch.sigmoid(units @ self.weight.to(read) + self.bias)


@dataclass(frozen=True)
class Opposed:
    """Open the farther, the more rows lie away from a direction (2602.08169): `(delta - beta) / (1 - beta)` where that
    is above 0, with `delta = tanh(-kappa cos)`, which is the softmax share of the opposite direction less its own."""

    sites: tuple[Site, ...]
    unit: Float[Tensor, "width"]
    kappa: float
    beta: float
    """Below 1."""
    remembers: str = NOTHING

    def __call__(self, ids: Int[Tensor, "token"], rows: Float[Tensor, "token width"] | None) -> Float[Tensor, "token"]:
        read = _read(rows)
        cosine = torch.nn.functional.normalize(read, dim=-1) @ self.unit.to(read)
        return ((torch.tanh(-self.kappa * cosine) - self.beta) / (1 - self.beta)).clamp_min(0)


@dataclass(frozen=True)
class Cosine:
    """Open where `cos(h, tanh(P h))` lies above a threshold, or below it: CAST's condition (2409.05907).

    P is the projection on a vector, so that neither the vector's length nor its sign matters.
    """

    sites: tuple[Site, ...]
    vector: Float[Tensor, "width"]
    threshold: float
    side: float
    """1: above; -1: below."""
    remembers: str = FIRST

    def __call__(self, ids: Int[Tensor, "token"], rows: Float[Tensor, "token width"] | None) -> Float[Tensor, "token"]:
        return (self.side * (fit_to(_read(rows), self.vector.to(ids.device)) - self.threshold) > 0).float()


def fit_to(rows: Float[Tensor, "row width"], vector: Float[Tensor, "width"]) -> Float[Tensor, "row"]:
    """`cos(h, tanh(P h))` of each row, with P the projection on a vector; 0 at right angles to it."""
    unit = torch.nn.functional.normalize(vector.to(rows), dim=0)
    projected = torch.tanh((rows @ unit)[:, None] * unit)
    return torch.nn.functional.cosine_similarity(rows, projected, dim=-1)


def _read(rows: Float[Tensor, "token width"] | None) -> Float[Tensor, "token width"]:
    if rows is None:
        raise ValueError("a gate that reads rows was given none")
    return rows
