"""A model that somebody names by hand, and what it is steered by: a run's, or a folder's, with a run's vectors.

What is tried by hand (`trimtab.rollouts.by_hand`) and what is served (`trimtab.serve`) begin here: the model is loaded,
whatever steers it is held to it, and a dose becomes edits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from trimtab.agent import dates
from trimtab.agent.chat_template import FAILURES
from trimtab.artifacts.border import read_object, readable
from trimtab.artifacts.manifest import Manifest
from trimtab.errors import TrimtabError
from trimtab.forward.contributions import sites_of
from trimtab.forward.hooks import check_layers
from trimtab.forward.sites import Sites
from trimtab.model.source import DTYPES, from_manifest, load
from trimtab.settings.model import DEVICES
from trimtab.steering import places
from trimtab.steering.batch import GrowingBatch
from trimtab.steering.edits import Edits
from trimtab.steering.steering import Steering
from trimtab.vectors.applications import Application
from trimtab.vectors.apply import edits
from trimtab.vectors.artifact import OwnEdits, Vector
from trimtab.vectors.dose import Scale


@dataclass(frozen=True)
class Loaded:
    """A model and its tokenizer."""

    path: Path
    """What was named."""
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    described: Manifest | None
    """None for a folder."""

    @classmethod
    def of(cls, path: Path, dtype: str | None = None, device: str | None = None) -> "Loaded":
        """
        Args:
            path: a run's model/manifest.json, or a folder with a model.
            dtype: for a folder, float32 (if None) or bfloat16; a manifest says its own.
            device: for a folder, cpu (if None), cuda or auto; a manifest says its own.

        Raises:
            TrimtabError: there is no such model.
        """
        if path.is_file():
            if dtype is not None or device is not None:
                raise TrimtabError(f"{path}: says its own dtype and device; expected neither beside it")
            # whatever file somebody names
            read_object(path)
            described, model, tokenizer = from_manifest(path)
            return cls(path, model, tokenizer, described)
        if not (path / "config.json").is_file():
            raise TrimtabError(f"{path}: expected a run's model/manifest.json, or a folder with a model")
        if (dtype or "float32") not in DTYPES:
            raise TrimtabError(f"--dtype {dtype}: expected one of {', '.join(DTYPES)}")
        if device not in (None, *DEVICES):
            raise TrimtabError(f"--device {device}: expected one of {', '.join(DEVICES)}")
        return cls(path, *load(path, dtype or "float32", device or "cpu"), None)

    @property
    def name(self) -> str:
        """What it is called: the folder's name, or the manifest's model's."""
        source = self.path.resolve() if self.described is None else Path(self.described.model)
        return source.stem if source.suffix == ".gguf" else source.name

    def require(self, made: Vector | OwnEdits) -> None:
        """Pass what a method made of this model, as far as the model can tell.

        Raises:
            TrimtabError: it is of another model, or its layers, sites and widths are.
        """
        if self.described is not None:
            made.record.require(made.path, self.described)
        if isinstance(made, OwnEdits):
            self._require_edits(made)
            return
        config = self.model.config.get_text_config(decoder=True)
        if made.layer >= config.num_hidden_layers or len(made.unit) != config.hidden_size:
            raise TrimtabError(
                f"{made.path}: is of layer {made.layer} and {len(made.unit)} dimensions; {self.path} has "
                f"{config.num_hidden_layers} layers of {config.hidden_size}"
            )

    def _require_edits(self, made: OwnEdits) -> None:
        """A pass over one token tells."""
        sites = {site for edit in made.edits for site in (edit.site, *edit.reads)}
        stack = check_layers(self.model, (site.layer for site in sites))
        for site in sites:
            site.module_of(stack)
        # behind a gate that is closed nothing would be tried
        conditions = [made.edits, tuple(replace(edit, gate=None, timing="all") for edit in made.edits)]
        rows = GrowingBatch(self.model, Steering(conditions, self.model.device), len(conditions))
        with readable(f"{made.path}: its edits don't fit {self.path}"):
            rows.advance([[0]] * len(conditions), [places.given(places.USER, 1, ends_prompt=True)] * len(conditions))

    def edits(self, made: Vector | OwnEdits, dose: float, unit: str, rule: str | None, timing: str) -> Edits:
        """What a dose of it comes to.

        Args:
            rule: None adds a vector, and applies edits as they were made, of which a dose is the share.

        Raises:
            TrimtabError: no such rule or unit, or none that it has what is needed for.
        """
        application = Application(made.layer, made.plain.rule if rule is None else rule, timing)
        scale = Scale.of(str(made.path), made.record, made.record.residual_norm.centred_mean, application)
        site = made.record.site
        sites = sites_of(self.model, site) if self.described is None else Sites.of(self.described)
        return edits(made, application, dose, unit, scale, sites=sites)


def ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokens that end a text."""
    known = model.generation_config.eos_token_id
    return frozenset({*(known if isinstance(known, list) else [known]), tokenizer.eos_token_id} - {None})


def chat_text(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, str]], instead: str) -> str:
    """Messages in the model's chat template, to where its answer begins.

    Args:
        instead: what goes on from plain text, for messages.

    Raises:
        TrimtabError: the model has no chat template, or one that fails.
    """
    if tokenizer.chat_template is None:
        raise TrimtabError(f"this model has no chat template; use {instead}, which goes on from plain text")
    try:
        text = tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            chat_template=dates.dated(tokenizer.get_chat_template()),
            tokenize=False,
            add_generation_prompt=True,
            date_string=dates.TEXT,
        )
        return str(text)
    except FAILURES as error:
        raise TrimtabError(f"this model's chat template fails ({' '.join(str(error).split())})") from error
