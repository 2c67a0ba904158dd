"""Gates that conditions of the grid may stand behind, by the names that an experiment gives them."""

from typing import Literal

from trimtab.settings.base import Count, Number, Settings, Some

GateKind = Literal["trigger", "latent", "contrast", "probe", "projection"]

NEEDS: dict[str, tuple[str, ...]] = {
    "trigger": ("texts",),
    "latent": ("layer", "latent", "above"),
    "contrast": ("above",),
    "probe": ("above",),
    "projection": ("above",),
}
"""The keys that each kind takes, besides `kind` and `remembers`; it needs all of them."""


class EditGate(Settings):
    """When a condition's edits are open. A gate can close tokens of the condition's timing, and open no others."""

    kind: GateKind
    """What opens it. trigger: tokens whose text ends in one of texts; latent: tokens in which a latent of a layer's
    dictionary reads above a value, before the k largest are chosen; contrast: the same of the latent that goes best
    with the trait's low pole, at the trait's own layer; probe: tokens of which the trait's logistic probe,
    at its own layer, says more than a probability; projection: tokens that lie farther along the condition's own vector
    than the mean row, by more than a share of the residual norm."""

    remembers: Literal["nothing", "any", "first"] = "nothing"
    """How long it stays open. nothing: each token is by itself; any: from the first given token that opens it on, and
    for all that is written after; first: what it says where the agent first goes on holds for the episode."""

    texts: Some[str] | None = None
    """Ends of a token's text, such as two line breaks."""

    layer: Count | None = None
    """Whose dictionary reads. It must be among layers, and not behind what is steered."""

    latent: Count | None = None
    """Its number, counted from 0."""

    above: Number | None = None
    """The value, probability or share that is to be exceeded."""


class EditGates(Settings):
    """Gates by name, as a job is given them."""

    gates: dict[str, EditGate]
