"""What a dictionary's own files say of the rows that it was made from, and whether those are this model's.

A dictionary of another layer, of another place within the layer or of another model has the right shapes and gives
latents that mean nothing. So what a file says is compared with what the dictionary is wanted for before it gets another
label; a file that says nothing is believed to fit.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trimtab.errors import TrimtabError
from trimtab.forward.sites import ATTENTION_OUT, INPUT, MLP_OUT, OUTPUT, PLACES, RESIDUAL, STREAM, Site, Sites

SHORT = {RESIDUAL: "resid_post", MLP_OUT: "mlp_out", ATTENTION_OUT: "attn_out"}
"""TransformerLens's names of what is in the stream after a layer and of what is added to it, after any norm."""

NAMED = re.compile(
    r"blocks\.(?P<transformer_lens>\d+)\.hook_(?P<hook>\w+)|(?P<name>[a-z_]+)_layer_(?P<dictionary_learning>\d+)"
)
"""Names of places by what is there: TransformerLens's, and dictionary_learning's."""

BEFORE = "resid_pre"
"""The stream before a layer, which is that after the layer before it."""

MODULE = re.compile(r"(?:[a-z_]+\.)*?(?:layers|h|blocks)\.(?P<layer>\d+)(?P<rest>(?:\.\w+)*)")
"""Names by the module whose output or input it is."""

QUANTISED = re.compile(r"(\.(q\d|iq\d|f16|bf16|f32)[^/]*)?\.gguf$")
ALIASES = {"gpt2-small": "gpt2", "llama3-1-8b-base": "llama-3.1-8b"}
"""Names that TransformerLens and Llama Scope give to models of another name."""

CENTRED = "center_writing_weights"
"""TransformerLens takes the mean off the stream's dimensions with it, so such rows aren't the model's own."""


@dataclass(frozen=True)
class Claim:
    """What the files of a dictionary say; None where they say nothing."""

    path: Path
    """The file that says it, or the path whose name does."""
    model: str | None = None
    hook: str | None = None
    layer: int | None = None
    kind: str | None = None
    """The kind of site that all dictionaries of its format are of."""
    context_size: int | None = None
    weights: str | None = None
    """Digest of the model's files of weights."""
    said: dict[str, Any] = field(default_factory=dict)
    """All that the files say of where the dictionary comes from, in their own words."""

    def __post_init__(self) -> None:
        """
        Raises:
            TrimtabError: a model or hook that is no name.
        """
        for what, name in (("model", self.model), ("hook", self.hook), ("model_weights", self.weights)):
            if not isinstance(name, str | None):
                raise TrimtabError(f"{self.path}: its {what} is {name!r}; expected a name")

    @property
    def place(self) -> tuple[str, int] | Site | None:
        """Where the hook reads: a kind of site and its layer, or a module; None without a hook or for other names."""
        if found := NAMED.fullmatch(self.hook or ""):
            layer, name = int(found["transformer_lens"] or found["dictionary_learning"]), found["hook"] or found["name"]
            if name == BEFORE:
                return RESIDUAL, layer - 1
            return next(((kind, layer) for kind, short in SHORT.items() if short == name), None)
        if (found := MODULE.fullmatch(self.hook or "")) is None:
            return None
        layer, (_, *names) = int(found["layer"]), found["rest"].split(".")
        side = names.pop() if names and names[-1] in (INPUT, OUTPUT) else OUTPUT
        site = Site(layer, ".".join(names), side)
        return (RESIDUAL, layer) if site == Site(layer) else site

    def require(self, model: str, layer: int, sites: Sites = STREAM, weights: str = "") -> None:
        """Pass a dictionary that says nothing against being of a site of `layer` of `model`.

        Args:
            weights: digest of the model's files of weights; empty where it isn't known.

        Raises:
            TrimtabError: it is of another site, layer or model, or of one by this name that had other weights.
        """
        wanted = sites.words(layer)
        if self.kind not in (None, sites.kind):
            of = PLACES[self.kind].format(layer if self.layer is None else self.layer)
            raise TrimtabError(f"{self.path}: a dictionary of {of}; wanted is one of {wanted}")
        if self.hook is not None and self.place not in ((sites.kind, layer), sites.at(layer)):
            raise TrimtabError(f"{self.path}: a dictionary of {self.hook}{_of(self.model)}; wanted is one of {wanted}")
        if self.hook is None and self.layer not in (None, layer):
            raise TrimtabError(f"{self.path}: a dictionary of layer {self.layer}; wanted is one of {wanted}")
        if self.model is not None and plain_name(self.model) != plain_name(model):
            raise TrimtabError(
                f"{self.path}: a dictionary of the model {self.model!r}; wanted is one of {model!r}. If it holds for "
                "both, write that name there"
            )
        if weights and self.weights not in (None, weights):
            raise TrimtabError(
                f"{self.path}, model_weights: made when {self.model} had other weights than the manifest's; train anew"
            )
        processing = self.said.get("model_from_pretrained_kwargs")
        if isinstance(processing, dict) and processing.get(CENTRED):
            raise TrimtabError(
                f"{self.path}, model_from_pretrained_kwargs: made from rows that were centred ({CENTRED}); the model's "
                "own rows aren't"
            )
        if self.said.get("hook_head_index") is not None:
            raise TrimtabError(f"{self.path}, hook_head_index: a dictionary of one head; wanted is one of {wanted}")


def _of(model: str | None) -> str:
    return f" of {model}" if model else ""


def plain_name(model: str) -> str:
    """A model's name without its owner, folder, format and case: what two names of one model have in common."""
    name = QUANTISED.sub("", model.rstrip("/").rpartition("/")[2].lower()).replace("_", "-")
    return ALIASES.get(name, name)


def layer_number(path: Path, said: Any) -> int | None:
    """A layer as a file says it, in digits or as a number; None where it says nothing.

    Raises:
        TrimtabError: it says something else, which might be another layer.
    """
    if said is None or (isinstance(said, int) and not isinstance(said, bool)):
        return said
    if (isinstance(said, str) and said.isdecimal()) or (isinstance(said, float) and said.is_integer()):
        return int(said)
    raise TrimtabError(f"{path}: its layer is {said!r}; expected a number")
