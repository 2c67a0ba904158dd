"""How good a dictionary is: how much it keeps of the activations, and of what the model says.

Geometry (`trimtab.saes.geometry`) is read off one pass over held-out documents that serves all layers. What the model
loses is the rise of its cross-entropy when the reconstruction takes the place of what is at the site, and how far its
next-token distribution moves (KL), both set against the same when the mean activation takes that place. First tokens
are left alone, as is a context that was never stored: they are attention sinks with norms many times all others', and
no dictionary is trained on them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from trimtab.errors import TrimtabError
from trimtab.forward.capture import Prompt
from trimtab.forward.hooks import Hook, Stream, capture, hooked
from trimtab.forward.layer_checkpoint import LayerCheckpoint
from trimtab.forward.sites import STREAM, Sites
from trimtab.jobs.progress import track
from trimtab.saes.geometry import Fake, Geometry, Kept, nearest_cosines
from trimtab.saes.sae import SAE
from trimtab.settings.saes import GateSettings

GEOMETRY_TOKENS = 4096
LOSS_TOKENS = 512
"""Tokens that losses are measured on: the first of the geometry's, since losses need two passes a layer."""

PASS_TOKENS = 1024


class Loss(NamedTuple):
    """What the model loses with something in the place of a layer's site. Means over predicted tokens, in nats."""

    cross_entropy: float
    kl: float
    """From the untouched model's next-token distribution."""


class DictionaryFigures(NamedTuple):
    """One dictionary on one set of documents."""

    kept: Kept
    clean: float
    """Cross-entropy of the untouched model."""

    sae: Loss
    ablated: Loss
    """With the dictionary's bias, close to the mean activation, in place of every row."""

    baselines: dict[str, float]
    """Explained variance by what doesn't learn a dictionary, at equal L0."""

    nearest_cosine: float
    """Median over latents of the largest cosine of their decoder row with another."""

    doubled_share: float
    """Latents whose decoder row has a cosine of 0.9 or more with another's."""

    density: list[int]
    """Latents in each bin of `trimtab.saes.geometry.DENSITY_EDGES`."""

    @property
    def loss_recovered(self) -> float:
        """Share of the ablation's rise in cross-entropy that the dictionary avoids."""
        return (self.ablated.cross_entropy - self.sae.cross_entropy) / (self.ablated.cross_entropy - self.clean)

    @property
    def kl_recovered(self) -> float:
        """Share of the ablation's KL that the dictionary avoids."""
        return 1 - self.sae.kl / self.ablated.kl

    def row(self) -> dict[str, float]:
        """A row of quality.csv, without its names."""
        return {
            **self.kept._asdict(),
            "ce_clean": self.clean,
            "ce_sae": self.sae.cross_entropy,
            "ce_ablated": self.ablated.cross_entropy,
            "loss_recovered": self.loss_recovered,
            "kl_sae": self.sae.kl,
            "kl_ablated": self.ablated.kl,
            "kl_recovered": self.kl_recovered,
            **{f"{name}_explained_variance": share for name, share in self.baselines.items()},
            "nearest_cosine": self.nearest_cosine,
            "doubled_share": self.doubled_share,
        }


def failed_gates(measured: DictionaryFigures, gates: GateSettings) -> list[str]:
    """The gates that a dictionary fails, each with its figure; one that isn't a number fails."""
    kept = measured.kept
    passes = {
        f"explained_variance {kept.explained_variance:.3g} (gate: at least {gates.explained_variance})": (
            kept.explained_variance >= gates.explained_variance
        ),
        f"loss_recovered {measured.loss_recovered:.3g} (gate: at least {gates.loss_recovered})": (
            measured.loss_recovered >= gates.loss_recovered
        ),
        f"dead_share {kept.dead_share:.3g} (gate: at most {gates.dead_share})": kept.dead_share <= gates.dead_share,
    }
    return [gate for gate, passed in passes.items() if not passed]


class DocumentBatch(NamedTuple):
    """Documents padded to one length."""

    ids: Int[Tensor, "batch token"]
    own: Bool[Tensor, "batch token"]
    """Where a dictionary has a say: neither context, nor a first token, nor padding."""


def measure(
    model: PreTrainedModel,
    saes: Mapping[int, SAE],
    documents: Sequence[Prompt],
    baselines: Mapping[int, Mapping[str, Fake]],
    sites: Sites = STREAM,
) -> dict[int, DictionaryFigures]:
    """Figures of each layer's dictionary on the rows of `documents` that a cache would hold.

    Args:
        baselines: for each layer what else could take the place of its rows.
        sites: where dictionaries are of.

    Raises:
        TrimtabError: the documents have no token to predict.
    """
    batches = list(_padded(_budget(documents, GEOMETRY_TOKENS), model.device))
    if not batches:
        raise TrimtabError("SAE quality: no held-out document has three tokens or more")
    geometry = {layer: Geometry(sae, baselines[layer]) for layer, sae in saes.items()}
    for batch in batches:
        for layer, stream in capture(model, sites.of_layers(saes), input_ids=batch.ids).items():
            geometry[layer].add(stream[batch.own.to(stream.device)].float())

    clean, losses = _losses(model, saes, list(_padded(_budget(documents, LOSS_TOKENS), model.device)), sites)
    measured = {}
    for layer, sae in saes.items():
        nearest = nearest_cosines(sae.W_dec)
        measured[layer] = DictionaryFigures(
            kept=geometry[layer].kept(),
            clean=clean,
            sae=losses[layer, "sae"],
            ablated=losses[layer, "ablated"],
            baselines={name: geometry[layer].explained_by(name) for name in baselines[layer]},
            nearest_cosine=float(nearest.median()),
            doubled_share=float((nearest >= 0.9).double().mean()),
            density=geometry[layer].density(),
        )
    return measured


@torch.inference_mode()
def _losses(
    model: PreTrainedModel, saes: Mapping[int, SAE], batches: Sequence[DocumentBatch], sites: Sites
) -> tuple[float, dict[tuple[int, str], Loss]]:
    """The model's cross-entropy on tokens that follow an edited one, and its losses by layer and what replaces it."""
    sums = {(layer, name): torch.zeros(2, dtype=torch.float64) for layer in saes for name in ("sae", "ablated")}
    clean, tokens = 0.0, 0
    for ids, own in track(batches, len(batches), "SAEs in place of layers, batches"):
        wanted, following = own[:, :-1] & own[:, 1:], ids[:, 1:]
        right = following[wanted]
        point = LayerCheckpoint(model, sites.at(min(saes)).after, input_ids=ids)
        untouched = _log_probabilities(point, wanted)
        clean += float(functional.nll_loss(untouched, right, reduction="sum"))
        tokens += len(right)
        for layer, sae in sorted(saes.items()):
            # what comes before is the same whatever takes the layer's place
            if sites.at(layer).after > point.layer:
                point = point.onward(sites.at(layer).after)
            fakes: dict[str, Fake] = {"sae": sae.forward, "ablated": sae.b_dec.expand_as}
            for name, fake in fakes.items():
                with hooked(model, {sites.at(layer): _in_place(fake, own)}):
                    edited = _log_probabilities(point, wanted)
                sums[layer, name] += torch.tensor(
                    [
                        float(functional.nll_loss(edited, right, reduction="sum")),
                        float(functional.kl_div(edited, untouched, reduction="sum", log_target=True)),
                    ]
                )
    return clean / tokens, {key: Loss(*(total / tokens).tolist()) for key, total in sums.items()}


def _log_probabilities(
    point: LayerCheckpoint, wanted: Bool[Tensor, "batch before"]
) -> Float[Tensor, "wanted vocabulary"]:
    places = wanted.any(0).nonzero()[:, 0]
    logits = point.logits(1, places)[wanted[:, places]]
    return functional.log_softmax(logits.float(), dim=-1)


def _in_place(fake: Fake, own: Bool[Tensor, "batch token"]) -> Hook:
    def edit(stream: Stream) -> Stream:
        edited, at = stream.clone(), own.to(stream.device)
        edited[at] = fake(stream[at].float()).to(stream.dtype)
        return edited

    return edit


def _budget(documents: Sequence[Prompt], tokens: int) -> Iterator[Prompt]:
    """Documents with something to predict, whole, until they hold `tokens` tokens."""
    for document in documents:
        if tokens <= 0:
            return
        if len(document.kept("all")) > 1:
            yield document
            tokens -= len(document.tokens)


def _padded(documents: Iterator[Prompt], device: torch.device) -> Iterator[DocumentBatch]:
    """Batches of like length. Padding stands on the right, where real tokens never see it, so no mask is needed."""
    waiting: list[list[int]] = []
    starts: list[int] = []
    for document in sorted(documents, key=lambda d: len(d.context) + len(d.tokens)):
        ids = [*document.context, *document.tokens]
        if waiting and (len(waiting) + 1) * len(ids) > PASS_TOKENS:
            yield _batch(waiting, starts, device)
            waiting, starts = [], []
        waiting.append(ids)
        starts.append(len(document.context) + document.first)
    if waiting:
        yield _batch(waiting, starts, device)


def _batch(sequences: list[list[int]], starts: list[int], device: torch.device) -> DocumentBatch:
    longest = len(sequences[-1])
    ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids in sequences], device=device)
    first, end = torch.tensor([starts, [len(ids) for ids in sequences]], device=device)[:, :, None]
    position = torch.arange(longest, device=device)
    return DocumentBatch(ids, (position >= first) & (position < end))
