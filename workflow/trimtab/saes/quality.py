"""How good a dictionary is: how much it keeps of the activations, and of what the model says.

Geometry (explained variance, sparsity, dead and dense latents) is read off one pass over held-out documents that
serves all layers. What the model loses is the rise of its cross-entropy when the reconstruction takes the place of a
layer's output, set against the rise when the mean activation does. First tokens are left alone, as is a context that
was never stored: they are attention sinks with norms many times all others', and no dictionary is trained on them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from trimtab.activations.capture import Prompt
from trimtab.errors import TrimtabError
from trimtab.progress import track
from trimtab.residual import Edit, Stream, capture, hooked
from trimtab.saes.topk import TopKSAE

GEOMETRY_TOKENS = 4096
LOSS_TOKENS = 512
"""Of the geometry's documents the first with so many tokens: the losses need two passes a layer."""

PASS_TOKENS = 1024
DENSE = 0.1
"""A latent active on more than this share of tokens is dense."""


Fake = Callable[[Float[Tensor, "row d_model"]], Float[Tensor, "row d_model"]]
"""What a layer's rows are replaced by."""

NOTHING: Mapping[int, Fake] = MappingProxyType({})


class Quality(NamedTuple):
    """A row of quality.csv, without its names."""

    n_tokens: int
    explained_variance: float
    """1 - squared error / variance about the mean, both summed over dimensions."""

    normalised_mse: float
    """Mean over tokens of squared error / squared norm: not swayed by a few long rows."""

    l0: float
    dead_share: float
    """Latents that are silent on all of these tokens: few tokens make rare latents look dead."""

    dense_share: float
    ce_clean: float
    ce_sae: float
    ce_ablated: float
    """Mean nats a token; ablated: the dictionary's bias, close to the mean activation, in place of every row."""

    loss_recovered: float


class Gates(NamedTuple):
    explained_variance: float
    loss_recovered: float
    dead_share: float

    def pass_by(self, quality: Quality) -> bool:
        return (
            quality.explained_variance >= self.explained_variance
            and quality.loss_recovered >= self.loss_recovered
            and quality.dead_share <= self.dead_share
        )


class Batch(NamedTuple):
    ids: Int[Tensor, "batch token"]
    own: Bool[Tensor, "batch token"]
    """Where a dictionary has a say: neither context, nor a first token, nor padding."""


def measure(model: PreTrainedModel, saes: Mapping[int, TopKSAE], documents: Sequence[Prompt]) -> dict[int, Quality]:
    """Quality of each layer's dictionary on the rows of `documents` that a cache would hold.

    Raises:
        TrimtabError: the documents have no token to predict.
    """
    batches = list(_padded(_budget(documents, GEOMETRY_TOKENS), model.device))
    if not batches:
        raise TrimtabError("SAE quality: no held-out document has three tokens or more")
    geometry = {layer: _Geometry(sae) for layer, sae in saes.items()}
    for batch in batches:
        for layer, stream in capture(model, list(saes), input_ids=batch.ids).items():
            geometry[layer].add(stream[batch.own.to(stream.device)].float())

    spoken = list(_padded(_budget(documents, LOSS_TOKENS), model.device))
    ce_clean = _cross_entropy(model, spoken)
    measured = {}
    for layer, sae in track(saes.items(), len(saes), "SAE in place of layer"):
        ce_sae = _cross_entropy(model, spoken, {layer: sae.forward})
        ce_ablated = _cross_entropy(model, spoken, {layer: sae.b_dec.expand_as})
        measured[layer] = Quality(
            *geometry[layer].figures(),
            ce_clean=ce_clean,
            ce_sae=ce_sae,
            ce_ablated=ce_ablated,
            loss_recovered=(ce_ablated - ce_sae) / (ce_ablated - ce_clean),
        )
    return measured


class _Geometry:
    """Sums over batches, in float64 and about the dictionary's bias, which is close to the mean."""

    def __init__(self, sae: TopKSAE) -> None:
        self.sae = sae
        self.tokens = 0
        self.error = self.relative_error = self.square = 0.0
        self.total = torch.zeros_like(sae.b_dec, dtype=torch.float64)
        self.fired = torch.zeros_like(sae.b_enc, dtype=torch.int64)

    def add(self, rows: Float[Tensor, "token d_in"]) -> None:
        codes = self.sae.encode(rows)
        error = (rows - self.sae.decode(codes)).double().square().sum(1)
        centred = (rows - self.sae.b_dec).double()
        self.tokens += len(rows)
        self.error += float(error.sum())
        self.relative_error += float((error / rows.double().square().sum(1)).sum())
        self.square += float(centred.square().sum())
        self.total += centred.sum(0)
        self.fired += torch.bincount(codes.indices[codes.values > 0], minlength=len(self.fired))

    def figures(self) -> tuple[int, float, float, float, float, float]:
        """The first six fields of `Quality`."""
        variance = self.square - float(self.total.square().sum()) / self.tokens
        return (
            self.tokens,
            1 - self.error / variance,
            self.relative_error / self.tokens,
            float(self.fired.sum()) / self.tokens,
            float((self.fired == 0).double().mean()),
            float((self.fired > DENSE * self.tokens).double().mean()),
        )


@torch.inference_mode()
def _cross_entropy(model: PreTrainedModel, batches: Sequence[Batch], fakes: Mapping[int, Fake] = NOTHING) -> float:
    """Mean nats of the tokens that follow an edited one; `fakes` take the place of layers' rows."""
    total, tokens = 0.0, 0
    for ids, own in batches:
        with hooked(model, {layer: _in_place(fake, own) for layer, fake in fakes.items()}):
            logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
        wanted = own[:, :-1] & own[:, 1:]
        losses = functional.cross_entropy(logits[wanted].float(), ids[:, 1:][wanted], reduction="sum")
        total += float(losses)
        tokens += int(wanted.sum())
    return total / tokens


def _in_place(fake: Fake, own: Bool[Tensor, "batch token"]) -> Edit:
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


def _padded(documents: Iterator[Prompt], device: torch.device) -> Iterator[Batch]:
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


def _batch(sequences: list[list[int]], starts: list[int], device: torch.device) -> Batch:
    longest = len(sequences[-1])
    ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids in sequences], device=device)
    first, end = torch.tensor([starts, [len(ids) for ids in sequences]], device=device)[:, :, None]
    position = torch.arange(longest, device=device)
    return Batch(ids, (position >= first) & (position < end))
