"""What a method of making steering vectors is given and gives, and where methods are found.

A method is one file in `trimtab.vectors.methods`, named as the config names it, with a function `make` from `Material`
to a `Direction`, which any rule applies, or to edits of its own, which are applied as made (rule `as_made`). Adding a
method takes that file and a line in `vectors.methods`. A transformation is a file in `trimtab.vectors.transformations`,
whose `make` takes a method's `make` and the material and gives another direction, or edits that apply it elsewhere
(`trimtab.vectors.layers`); `<transformation>_<method>` in the config is a vector like any other. What a method
may ask of the running model is in `trimtab.vectors.asked`. How a direction is applied is the business of
`trimtab.steering.steering`, and how strongly, of `trimtab.vectors.dose`.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab import seeds
from trimtab.errors import TrimtabError
from trimtab.forward.sites import STREAM, Sites
from trimtab.saes.sae import SAE
from trimtab.steering.edits import Edits
from trimtab.steering.packing import all_finite
from trimtab.vectors.asked import Behaviour, Readings
from trimtab.vectors.methods import FOLDER, exists, known, split
from trimtab.vectors.objective import Plan
from trimtab.vectors.own_settings import Value, declared, misfits_of
from trimtab.vectors.unmade import CannotBeMade

ROUNDING = 1e-6
HIGH_POLE, DECLARED = "the high pole", "the first actions of its declared outcome"
"""Where vectors move: to the trait's words, or to its deeds."""


OwnSettings = TypeVar("OwnSettings")


@dataclass(frozen=True)
class Direction:
    unit: Float[Tensor, "d_model"]
    """Unit length, float32."""

    raw_norm: float
    """Length before normalisation, in the maker's own units."""

    towards: str | None = HIGH_POLE
    """Where a positive dose moves; None for a direction that is a control and has no aim."""

    intercept: float | None = None
    """If `raw_norm * unit @ row + intercept` is a probe's logit of the high pole, that intercept."""

    code: Float[Tensor, "d_sae"] | None = None
    """If the vector is a sum of decoder rows, each row's share, before normalisation."""


@dataclass(frozen=True)
class LinearProbe:
    """`intercept + weight @ ((features - mean) / scale)`: 1 for the high pole and 0 for the low one, or the logit."""

    weight: Float[Tensor, "feature"]
    mean: Float[Tensor, "feature"]
    scale: Float[Tensor, "feature"]
    intercept: float = 0.0

    @classmethod
    def of(cls, fitted: Mapping[str, Tensor], prefix: str) -> "LinearProbe":
        """From the tensors of probes/<trait>.safetensors, by how the probe's own begin."""
        weight, mean, scale, intercept = (
            fitted[f"{prefix}{part}"] for part in ("weight", "mean", "scale", "intercept")
        )
        return cls(weight, mean, scale, float(intercept))

    def on_raw_scale(self) -> tuple[Float[Tensor, "feature"], float]:
        """Weights and intercept for features as they are."""
        weight = self.weight.double() / self.scale.double()
        return weight, self.intercept - float(weight @ self.mean.double())


class Rows(Protocol):
    """Rows of all cached layers; read when a method asks."""

    @property
    def layers(self) -> list[int]:
        """Those there are, ascending."""

    def __call__(self, layer: int) -> tuple[Float[Tensor, "pair d_model"], Float[Tensor, "pair d_model"]]:
        """Of the high and of the low pole, pair by pair as `Material.high` and `low`."""


class Elsewhere(Protocol):
    """Rows after the material's layer that are not of the trait's own pairs; read when a method asks."""

    @property
    def corpus(self) -> Float[Tensor, "row d_model"]:
        """Of the corpus, first tokens left out; a method that asks NEEDS corpus."""

    @property
    def gaps(self) -> Mapping[str, Float[Tensor, "d_model"]]:
        """Of each other trait's development pairs, mean of the high pole less mean of the low one; a method that asks
        NEEDS rows."""

    @property
    def highs(self) -> Mapping[str, Float[Tensor, "d_model"]]:
        """Of the same traits, mean of the high pole; a method that asks NEEDS rows."""

    def after(self, layer: int) -> "Elsewhere":
        """The same for material of another layer."""


@dataclass(frozen=True)
class Material:
    """All that a method may use for one trait at one layer: rows of development templates and probes fitted on them."""

    trait: str
    layer: int
    high: Float[Tensor, "pair d_model"]
    low: Float[Tensor, "pair d_model"]
    """Row i of both is pair i."""

    selecting: list[bool]
    """Which pairs are kept for choosing a method's own settings (split select); the others are for fitting."""

    latent_probe: LinearProbe
    residual_probe: LinearProbe
    logistic_probe: LinearProbe
    """On the residual stream; its output is a logit."""

    penalty: float
    """Of `latent_probe`."""
    raw_penalties: tuple[float, float]
    """Of `residual_probe` and of `logistic_probe`."""

    association: Float[Tensor, "d_sae"]
    """Each latent's trait association score."""

    sae: SAE
    dictionary: Callable[[int], SAE]
    """Of any cached layer."""
    readings: Readings
    rows: Rows
    elsewhere: Elsewhere
    seed: int
    """For the draws of this method and trait."""

    imported: Float[Tensor, "d_model"] | None = None
    """The trait's vector of another tool, if the config names one."""

    sites: Sites = STREAM
    """Where rows are of, in each layer, and where what is made is applied."""

    settings: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    """Of methods, by their names, as the config gives them (`vectors.settings`)."""

    training: Plan = field(default_factory=Plan)
    """How methods that are trained through the model are trained, and what their trainings left."""

    def own(self, kind: type[OwnSettings]) -> OwnSettings:
        """The settings of the method whose file defines this class of them: as the config gives them, else as the class
        does.

        Raises:
            TrimtabError: one doesn't fit.
        """
        method = kind.__module__.rpartition(".")[2]
        given = self.settings.get(method, {})
        for line in misfits_of(f"vectors.settings.{method}", given, declared(FOLDER / f"{method}.py") if given else {}):
            raise TrimtabError(f"config.yaml, {line}")
        return kind(**given)

    def gap(self) -> Float[Tensor, "d_model"]:
        """Mean of the high pole less mean of the low one, in float64: it is often a hundredth of the rows' norm."""
        return self.high.double().mean(0) - self.low.double().mean(0)

    def latents(self) -> Float[Tensor, "row d_sae"]:
        """Of the rows of `high`, then of those of `low`, in float64."""
        return self.sae.latents(torch.cat([self.high, self.low]).float()).double()

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)


Recipe = Callable[[Material], Direction]
"""What a transformation takes: a method's `make`, or that of a method already transformed."""


def method_of(name: str) -> tuple[str, int]:
    """Method and draw of a vector's name: `random_3` is draw 3 of random.

    Raises:
        TrimtabError: no such method.
    """
    method, _, draw = name.rpartition("_")
    if exists(name):
        return name, 0
    if exists(method) and draw.isdecimal():
        return method, int(draw)
    raise TrimtabError(f"config.yaml, vectors.methods: {name!r}; expected one of {', '.join(known())}")


def make(name: str, material: Material) -> Direction | Edits:
    """What a method makes, transformed as its name says, or one of its draws (`<method>_<draw>`).

    Raises:
        CannotBeMade: the data define none, or it isn't finite.
        TrimtabError: unknown method.
    """
    method, draw = method_of(name)
    own = replace(material, seed=seeds.derive(material.seed, method, material.trait, draw))
    transformations, plain = split(method)
    recipe = importlib.import_module(f"trimtab.vectors.methods.{plain}").make
    for transformation in reversed(transformations):
        recipe = partial(importlib.import_module(f"trimtab.vectors.transformations.{transformation}").make, recipe)
    made: Direction | Edits = recipe(own)
    if not isinstance(made, Direction) and not (made and all_finite(made)):
        raise CannotBeMade(f"{name} of {material.trait}: its edits are none, or hold numbers that are not finite")
    return made


def varying_behaviour(material: Material, what: str) -> Behaviour:
    """What the agent is about to do at contrast prompts, for a method that goes by how it varies.

    Raises:
        CannotBeMade: it is the same at all prompts.
    """
    found = material.readings.behaviour
    if float(found.log_odds.std()) <= ROUNDING:
        raise CannotBeMade(f"{what} of {material.trait}: its actions are as likely at all prompts")
    return found


def covariance(features: Float[Tensor, "row feature"], values: Float[Tensor, "row"]) -> Float[Tensor, "feature"]:
    """Of each feature with a value that each row has (n - 1), in float64."""
    features, values = features.double(), values.double()
    return (features - features.mean(0)).T @ (values - values.mean()) / (len(values) - 1)


def normalised(
    vector: Float[Tensor, "d_model"],
    what: str,
    towards: str | None = HIGH_POLE,
    intercept: float | None = None,
    code: Float[Tensor, "d_sae"] | None = None,
) -> Direction:
    """A direction of unit length.

    Raises:
        CannotBeMade: the vector is zero or not finite.
    """
    norm = float(vector.norm())
    if not 0 < norm < float("inf"):
        raise CannotBeMade(f"{what}: a vector of length {norm} has no direction")
    return Direction((vector / norm).float(), norm, towards, intercept, code)


def towards_high(axis: Float[Tensor, "d_model"], material: Material, what: str) -> Direction:
    """An axis, whose sign is open, turned so that the high pole's mean lies above the low one's.

    Raises:
        CannotBeMade: the poles' means are level along it.
    """
    gap = material.gap()
    along = float(axis.double() @ gap)
    if abs(along) <= ROUNDING * float(gap.norm() * axis.double().norm()):
        raise CannotBeMade(f"{what} of {material.trait}, layer {material.layer}: the poles' means are level along it")
    return normalised(axis if along > 0 else -axis, what)
