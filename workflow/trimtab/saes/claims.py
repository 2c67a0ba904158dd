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

AFTER = re.compile(
    r"blocks\.(?P<transformer_lens>\d+)\.hook_resid_post"
    r"|(?:[a-z_]+\.)*(?:layers|h|blocks)\.(?P<module>\d+)(?:\.output)?"
    r"|resid_post_layer_(?P<dictionary_learning>\d+)"
)
"""Names of the residual stream after a layer: TransformerLens's, the module's own, dictionary_learning's."""

BEFORE = re.compile(r"blocks\.(\d+)\.hook_resid_pre")
"""Of the stream before a layer, which is that after the layer before it."""

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
    context_size: int | None = None
    said: dict[str, Any] = field(default_factory=dict)
    """All that the files say of where the dictionary comes from, in their own words."""

    def __post_init__(self) -> None:
        """
        Raises:
            TrimtabError: a model or hook that is no name.
        """
        for what, name in (("model", self.model), ("hook", self.hook)):
            if not isinstance(name, str | None):
                raise TrimtabError(f"{self.path}: its {what} is {name!r}; expected a name")

    @property
    def after(self) -> int | None:
        """The layer after which the hook reads the stream; None for other places, or without a hook."""
        if found := AFTER.fullmatch(self.hook or ""):
            return int(next(filter(None, found.groups())))
        before = BEFORE.fullmatch(self.hook or "")
        return int(before[1]) - 1 if before else None

    def require(self, model: str, layer: int) -> None:
        """Pass a dictionary that says nothing against being of the stream after `layer` of `model`.

        Raises:
            TrimtabError: it is of another place, layer or model.
        """
        wanted = f"the stream after layer {layer}"
        if self.hook is not None and self.after != layer:
            raise TrimtabError(f"{self.path}: a dictionary of {self.hook}{_of(self.model)}; wanted is one of {wanted}")
        if self.hook is None and self.layer not in (None, layer):
            raise TrimtabError(f"{self.path}: a dictionary of layer {self.layer}; wanted is one of {wanted}")
        if self.model is not None and plain_name(self.model) != plain_name(model):
            raise TrimtabError(
                f"{self.path}: a dictionary of the model {self.model!r}; wanted is one of {model!r}. If it holds for "
                "both, write that name there"
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
