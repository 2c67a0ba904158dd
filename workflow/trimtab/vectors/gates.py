"""From a gate of the config to what opens the edits of one condition.

What a gate does with tokens and rows is in `trimtab.steering.gates`; here it gets its weights from the artifacts of
earlier stages: a latent's, named by the config or told by contrast, from its layer's dictionary, a probe's from the
trait's probes, a projection's from the condition's own vector, a trigger's tokens from the vocabulary.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from trimtab.artifacts import tensors
from trimtab.artifacts.manifest import Manifest
from trimtab.errors import TrimtabError
from trimtab.forward.sites import Sites
from trimtab.probes.dictionaries import dictionary
from trimtab.settings.gates import EditGate
from trimtab.steering.gates import Beyond, Gate, Trigger
from trimtab.vectors.applications import Application
from trimtab.vectors.artifact import OwnEdits, Vector
from trimtab.vectors.contract import LinearProbe

Made = Vector | OwnEdits
GateOf = Callable[[Application, Made], Gate | None]
"""The gate that an application names, for what a method made; None where it names none."""


def ungated(how: Application, made: Made) -> None:
    """For conditions that name no gate.

    Raises:
        TrimtabError: one does.
    """
    if how.gate:
        raise TrimtabError(f"{made.path}: gate {how.gate} is asked for, and no gates are known")


@dataclass(frozen=True)
class GateSources:
    """What gates are made from."""

    described: Manifest
    """The model's manifest."""
    tokenizer: PreTrainedTokenizerBase
    saes: Path
    """Folder of the dictionaries, one subfolder a layer."""
    probes: Path
    """Folder of the probes."""
    gates: Mapping[str, EditGate]

    @property
    def sites(self) -> Sites:
        return Sites.of(self.described)

    @cached_property
    def vocabulary(self) -> list[str]:
        """Each token's text, as it stands alone."""
        found: list[str] = self.tokenizer.batch_decode([[token] for token in range(len(self.tokenizer))])
        return found

    def __call__(self, how: Application, made: Made) -> Gate | None:
        """
        Raises:
            TrimtabError: a gate that can't be made for this condition; the line names its key.
        """
        if not how.gate:
            return None
        settings, where = self.gates[how.gate], f"config.yaml, rollouts.gates.{how.gate}"
        gate = KINDS[settings.kind](self, settings, made, where)
        late = [site for site in gate.sites if site.layer > how.layer]
        if late and not isinstance(made, OwnEdits):
            raise TrimtabError(
                f"{where}: reads after layer {late[0]}, and a condition steers after layer {how.layer}; a gate reads "
                "where it steers or before"
            )
        return gate


def _trigger(sources: GateSources, settings: EditGate, made: Made, where: str) -> Gate:
    ends = tuple(settings.texts or ())
    found = [token for token, text in enumerate(sources.vocabulary) if text.endswith(ends)]
    if not found:
        raise TrimtabError(f"{where}.texts: {', '.join(map(repr, ends))}; no token of the vocabulary ends so")
    return Trigger(torch.tensor(found), settings.remembers)


def _latent(sources: GateSources, settings: EditGate, made: Made, where: str) -> Gate:
    return _reads(sources, settings, settings.layer or 0, settings.latent or 0, where)


def _contrast(sources: GateSources, settings: EditGate, made: Made, where: str) -> Gate:
    fitted, _ = tensors.read(sources.probes / f"{made.trait}.safetensors")
    return _reads(sources, settings, made.layer, int(fitted["association"].argmin()), where)


def _reads(sources: GateSources, settings: EditGate, layer: int, latent: int, where: str) -> Gate:
    """Open where a latent reads above the gate's value."""
    above = settings.above or 0.0
    sae = dictionary(sources.saes / str(layer), layer, sources.described.model, sources.sites)
    if latent >= len(sae.b_enc):
        raise TrimtabError(f"{where}.latent: {latent}; the dictionary of layer {layer} has {len(sae.b_enc)}")
    weight = sae.W_enc[:, latent]
    bias = float(sae.b_enc[latent].double() - sae.b_dec.double() @ weight.double())
    return Beyond((sources.sites.at(layer),), weight, bias - above, settings.remembers)


def _probe(sources: GateSources, settings: EditGate, made: Made, where: str) -> Gate:
    fitted, _ = tensors.read(sources.probes / f"{made.trait}.safetensors")
    weight, bias = LinearProbe.of(fitted, "raw_logistic.").on_raw_scale()
    chance = settings.above or 0.0
    if not 0 < chance < 1:
        raise TrimtabError(f"{where}.above: {chance:g} is no probability between 0 and 1")
    return Beyond(
        (sources.sites.at(made.layer),), weight.float(), bias - math.log(chance / (1 - chance)), settings.remembers
    )


def _projection(sources: GateSources, settings: EditGate, made: Made, where: str) -> Gate:
    if isinstance(made, OwnEdits):
        raise TrimtabError(f"{where}: {made.method} makes edits and no vector, along which rows could lie")
    norm = sources.described.residual_norm[made.layer].centred_mean
    mean = float(made.mean.double() @ made.unit.double())
    return Beyond(
        (sources.sites.at(made.layer),), made.unit, -mean - (settings.above or 0.0) * norm, settings.remembers
    )


KINDS: dict[str, Callable[[GateSources, EditGate, Made, str], Gate]] = {
    "trigger": _trigger,
    "latent": _latent,
    "contrast": _contrast,
    "probe": _probe,
    "projection": _projection,
}
