"""Places in a model where numbers can be read and edited.

A site is the residual stream after a decoder layer, or what goes into or comes out of a named module of that layer; of
either, all columns or some of them, as one head's. `trimtab.forward.hooks` puts functions there, and what they do is
up to them. An experiment reads and steers at one kind of site in all layers (`activations.site`); which module that is
in a model is found by `trimtab.forward.contributions` once, and stands in the manifest.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from torch import nn

from trimtab.artifacts.manifest import Manifest, ReadAt
from trimtab.errors import TrimtabError

OUTPUT, INPUT = "output", "input"

RESIDUAL, MLP_OUT, ATTENTION_OUT = "residual", "mlp_out", "attention_out"
PLACES = {
    RESIDUAL: "the stream after layer {}",
    MLP_OUT: "what the MLP of layer {} adds to the stream",
    ATTENTION_OUT: "what attention of layer {} adds to the stream",
}
"""Kinds of sites that an experiment reads and steers at, in words."""

OTHER = {MLP_OUT: ATTENTION_OUT, ATTENTION_OUT: MLP_OUT}

FORM = re.compile(
    r"(?P<layer>\d+)(?:\.(?P<module>\w+(?:\.\w+)*))?(?P<side>:input)?(?:\[(?P<start>\d+):(?P<stop>\d+)\])?"
)


@dataclass(frozen=True, order=True)
class Site:
    """One place; as a text, `12`, `12.mlp.down_proj` or `12.self_attn.o_proj:input[64:128]`."""

    layer: int
    """Counted from 0."""
    module: str = ""
    """Its path within the layer; empty for the layer itself, whose output is the residual stream."""
    side: str = OUTPUT
    """Whether it is what the module gives or what it takes."""
    columns: tuple[int, int] | None = None
    """The first column, and the first one after the last; None for all of them."""

    def __str__(self) -> str:
        module = f".{self.module}" if self.module else ""
        side = f":{INPUT}" if self.side == INPUT else ""
        return f"{self.layer}{module}{side}" + ("" if self.columns is None else "[{}:{}]".format(*self.columns))

    @classmethod
    def of(cls, text: str) -> "Site":
        """
        Raises:
            TrimtabError: the text names no site.
        """
        if (found := FORM.fullmatch(text)) is None:
            raise TrimtabError(
                f"site {text!r}: expected a layer, with a module of it and columns if need be, as in 12, "
                "12.mlp.down_proj or 12.self_attn.o_proj:input[64:128]"
            )
        columns = None if found["start"] is None else (int(found["start"]), int(found["stop"]))
        return cls(int(found["layer"]), found["module"] or "", INPUT if found["side"] else OUTPUT, columns)

    @property
    def whole(self) -> "Site":
        """The site with all its columns: where a hook has to be."""
        return Site(self.layer, self.module, self.side)

    @property
    def inputs(self) -> "Site":
        """What the site's module takes."""
        return Site(self.layer, self.module, INPUT)

    @property
    def after(self) -> int:
        """The deepest layer whose output the site doesn't change: the last one that needn't be computed again.

        -1 for a module of the first layer, which comes after no layer.
        """
        return self.layer if self == Site(self.layer) else self.layer - 1

    def is_reached_by(self, later: "Site") -> bool:
        """Whether any model's pass has come by this site when it is at another one: the order of modules within a layer
        is the architecture's."""
        own_layer = self.layer == later.layer and later.whole == Site(later.layer)
        return self.layer < later.layer or self.whole == later.whole or own_layer

    def is_in(self, stack: nn.ModuleList) -> bool:
        """Whether a model's list of decoder layers has such a layer, and that layer such a module."""
        return 0 <= self.layer < len(stack) and self.module in dict(stack[self.layer].named_modules())

    def module_of(self, stack: nn.ModuleList) -> nn.Module:
        """The module in a model's list of decoder layers.

        Raises:
            TrimtabError: the layer has no such module.
        """
        layer = stack[self.layer]
        if not self.module:
            return layer
        try:
            return layer.get_submodule(self.module)
        except AttributeError:
            names = ", ".join(name for name, _ in layer.named_modules() if name)
            raise TrimtabError(
                f"site {self}: layer {self.layer} has no module {self.module}; expected one of {names}"
            ) from None


@dataclass(frozen=True)
class Sites:
    """One site a layer: where an experiment reads and steers."""

    kind: str = RESIDUAL
    """One of `PLACES`."""
    modules: tuple[str, ...] = ()
    """Of each layer of the model, the module whose output it is; none where it is the layer's own."""

    @classmethod
    def of(cls, manifest: Manifest) -> "Sites":
        """Those of a model's manifest."""
        return cls.read_at(manifest.site)

    @classmethod
    def read_at(cls, site: ReadAt | None) -> "Sites":
        """Those of a manifest's entry; without one, the residual stream."""
        return STREAM if site is None else cls(site.kind, site.modules[site.kind])

    @classmethod
    def beside(cls, manifest: Manifest) -> "Sites":
        """Those of what else a manifest's layers add to the stream; the stream itself where that is what is read."""
        return STREAM if manifest.site is None else cls.read_at(replace(manifest.site, kind=OTHER[manifest.site.kind]))

    def at(self, layer: int) -> Site:
        return Site(layer, self.modules[layer] if self.modules else "")

    def of_layers(self, layers: Iterable[int]) -> list[Site]:
        return [self.at(layer) for layer in layers]

    def words(self, layer: int | str) -> str:
        """What is there, for a line to the user."""
        return PLACES[self.kind].format(layer)


STREAM = Sites()
"""The residual stream after each layer."""


def as_site(place: Site | int) -> Site:
    """A layer's number stands for the residual stream after it."""
    return place if isinstance(place, Site) else Site(place)
