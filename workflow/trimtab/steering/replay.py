"""Next-token distributions of many prompts under many conditions, without computing twice what no edit can change.

Prompts that share a header stand in one sequence, each after the header and blind to the others, so the header is read
once a condition and not once a prompt (`trimtab.steering.laid`). No edit is before a certain layer, so the layers up to
there run once for all of them. Doses are measured this way; agents that write run in `trimtab.rollouts`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property, partial

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.forward.hooks import Stream, hooked
from trimtab.forward.layer_checkpoint import LayerCheckpoint
from trimtab.forward.recurrent import is_recurrent
from trimtab.forward.single import goes_alone
from trimtab.forward.sites import Site
from trimtab.steering.edits import Edits, after
from trimtab.steering.gated import Opening
from trimtab.steering.gates import NOTHING
from trimtab.steering.laid import Laid, Prompt
from trimtab.steering.steering import Steering

ROWS = 4
"""Conditions a forward pass: logits of a few hundred tokens over a vocabulary are large."""

Read = Callable[[LayerCheckpoint, int, Int[Tensor, "kept"]], Float[Tensor, "row kept vocabulary"]]
"""Reads on from the checkpoint in so many copies; gives logits of these tokens."""


def passes(edits: Sequence[Edits]) -> list[list[int]]:
    """Conditions by number, those of one pass together: each kind by itself, so that its numbers don't depend on which
    of the other kind are asked for."""
    kinds = [[i for i, own in enumerate(edits) if _remembers(own) == kind] for kind in (False, True)]
    return [asked[at : at + ROWS] for asked in kinds for at in range(0, len(asked), ROWS)]


def _remembers(edits: Edits) -> bool:
    return any(edit.gate and edit.gate.remembers != NOTHING for edit in edits)


class Replay(Laid):
    """Prompts of one header, read up to a layer and ready to be read on under edits after it."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Prompt], layer: int, apart: bool = False) -> None:
        """
        Args:
            layer: what edits may change comes after its output, or is that; -1 is before the first.
            apart: each prompt is a sequence of its own, whatever the model.
        """
        super().__init__(prompts, apart or is_recurrent(model) or goes_alone(model), model.device)
        self._model, self._prompts = model, prompts
        self._checkpoint = LayerCheckpoint(model, layer, **self.inputs(model))

    def at(self, site: Site, keep: Int[Tensor, "kept"]) -> Float[Tensor, "kept width"]:
        """Unsteered rows of tokens `keep` (`tail` or `ends`) at a site that comes after the replay's layer, or is that
        layer's output."""
        return self._of_tokens(self._checkpoint.at(site), keep)

    def _of_tokens(self, stream: Stream, keep: Int[Tensor, "kept"]) -> Float[Tensor, "kept width"]:
        sequence, place = self._at[keep].T
        return stream[sequence.to(stream.device), place.to(stream.device)].float()

    def giving(self, site: Site, rows: Float[Tensor, "token width"]) -> AbstractContextManager[None]:
        """Context manager: passes over the prompts find these rows at a site, in place of those of every token after
        the header."""
        sequence, place = self._at.T

        def given(stream: Stream) -> Stream:
            found = stream.detach().clone()
            copies = found.view(-1, len(self._places), *found.shape[1:])
            copies[:, sequence, place] = rows.to(found.dtype)
            return found

        return hooked(self._model, {site: given})

    def at_ends(self, sites: Sequence[Site]) -> dict[Site, Float[Tensor, "prompt width"]]:
        """Unsteered rows of each prompt's last token at many sites, as `at` gives them of one, in one pass."""
        return self._checkpoint.each(sites, lambda stream: self._of_tokens(stream, self.ends))

    def logits_and_rows(
        self, sites: Sequence[Site]
    ) -> tuple[Float[Tensor, "prompt vocabulary"], dict[Site, Float[Tensor, "prompt width"]]]:
        """Unsteered logits of each prompt's last token, and its rows at many sites, in one pass to the end."""
        rows: dict[Site, Tensor] = {}

        def keep(site: Site, stream: Stream) -> None:
            rows[site] = self._of_tokens(stream, self.ends)

        with hooked(self._model, {site: partial(keep, site) for site in sites}):
            return self.logits([()], self.ends)[0], rows

    def advance(self, layer: int, edits: Edits) -> None:
        """Go on to a deeper layer under edits: what is read then is what they leave.

        Raises:
            ValueError: an edit changes or reads what comes before the replay's layer.
        """
        with self._steered([edits]):
            self._checkpoint = self._checkpoint.onward(layer)

    def written_means(self, sites: Sequence[Site]) -> dict[Site, Float[Tensor, "prompt width"]]:
        """Mean unsteered rows of what the agent wrote in each prompt, at many sites in one pass; NaN where it wrote
        nothing."""
        return self._checkpoint.each(sites, self._mean_of_written)

    def differentiable_written_means(
        self, sites: Sequence[Site], edits: Edits
    ) -> dict[Site, Float[Tensor, "prompt width"]]:
        """The same under edits, as they leave what is at the sites, and differentiable in the edits' tensors.

        Raises:
            ValueError: an edit changes or reads what comes before the replay's layer.
        """
        # hooks at one site run in the order in which they were put there
        with self._steered([edits]):
            return self._checkpoint.differentiable_each(sites, self._mean_of_written)

    def _mean_of_written(self, stream: Stream) -> Float[Tensor, "prompt width"]:
        kept = self.tail[self.written]
        owner = self.owner[kept]
        count = torch.bincount(owner, minlength=len(self.ends))[:, None]
        rows = self._of_tokens(stream, kept).to(owner.device)
        return rows.new_zeros(len(count), rows.shape[1]).index_add(0, owner, rows) / count

    def logits(self, edits: Sequence[Edits], keep: Int[Tensor, "kept"]) -> Float[Tensor, "edits kept vocabulary"]:
        """Logits of tokens `keep` (`tail` or `ends`) under the edits of each condition.

        Raises:
            ValueError: an edit changes or reads what comes before the replay's layer.
        """
        return _together(self.each_logits(edits, keep))

    def each_logits(
        self, edits: Sequence[Edits], keep: Int[Tensor, "kept"]
    ) -> Iterator[tuple[int, Float[Tensor, "kept vocabulary"]]]:
        """The same with the condition's number, in the model's dtype and a few conditions at a time: those of all
        tokens are too large to stand together.

        Raises:
            ValueError: an edit changes or reads what comes before the replay's layer.
        """
        return self._parts(edits, keep, LayerCheckpoint.logits)

    def differentiable_logits(
        self, edits: Sequence[Edits], keep: Int[Tensor, "kept"]
    ) -> Float[Tensor, "edits kept vocabulary"]:
        """The same, differentiable in the tensors of the edits, as `log_probabilities` is.

        Raises:
            ValueError: an edit changes or reads what comes before the replay's layer.
        """
        return _together(self._parts(edits, keep, LayerCheckpoint.differentiable_logits))

    def openings(self, edits: Edits) -> list[list[Opening]]:
        """How the gates of a condition's edits stood at the tokens of each prompt, header included.

        Raises:
            ValueError: an edit changes or reads what comes before the replay's layer.
        """
        alone = self._each_alone
        steering, _ = alone._some([edits], alone.ends, LayerCheckpoint.logits)
        return steering.openings(range(len(self._prompts)))

    def log_probabilities(self, edits: Sequence[Edits]) -> Float[Tensor, "edits prompt"]:
        """Log-probability of what is written in each prompt, given all before it, under the edits of each condition.

        Summed over tokens, in nats, and differentiable in the tensors of the edits: what methods that are trained
        through the model go by. The model must be one that passes gradients on (`trimtab.model.source.load`,
        `frozen=False`).

        Raises:
            ValueError: an edit changes or reads what comes before the replay's layer.
        """
        parts = [edits[at : at + ROWS] for at in range(0, len(edits), ROWS)]
        return torch.cat([self.of_written(self.differentiable_logits(some, self.told)) for some in parts])

    def of_written(self, logits: Float[Tensor, "edits told vocabulary"]) -> Float[Tensor, "edits prompt"]:
        """What `log_probabilities` makes of the logits of `told`."""
        right, owner = self.tokens[self.told + 1], self.owner[self.told]
        chosen = torch.log_softmax(logits, dim=-1).gather(-1, right.expand(len(logits), -1)[..., None])[..., 0]
        return chosen.new_zeros(len(logits), len(self.ends)).index_add(1, owner, chosen)

    def rows(self, site: Site) -> Float[Tensor, "row width"]:
        """Unsteered rows at a site, as `owners` has them."""
        return self._checkpoint.at(site).flatten(0, 1).float()

    @cached_property
    def _each_alone(self) -> "Replay":
        """The same prompts, each in a sequence of its own: a gate that remembers must not see the others."""
        return self if self._apart else Replay(self._model, self._prompts, self._checkpoint.layer, apart=True)

    def _parts(
        self, edits: Sequence[Edits], keep: Int[Tensor, "kept"], read: Read
    ) -> Iterator[tuple[int, Float[Tensor, "kept vocabulary"]]]:
        for some in passes(edits):
            replay = self._each_alone if _remembers(edits[some[0]]) else self
            yield from zip(some, replay._some([edits[i] for i in some], keep, read)[1], strict=True)

    def _some(
        self, edits: Sequence[Edits], keep: Int[Tensor, "kept"], read: Read
    ) -> tuple[Steering, Float[Tensor, "edits kept vocabulary"]]:
        """Logits, and the steering as it was after them, whose rows are the sequences, condition after condition."""
        sequences, copies = len(self._places), len(edits)
        sequence, place = self._at[keep].T
        kept, at = torch.unique(place, return_inverse=True)
        steering = self._steering(edits)
        with steering.applied(self._model):
            logits = read(self._checkpoint, copies, kept)
        # of one sequence, all that was computed was asked for; a copy would be large
        if sequences > 1:
            logits = logits.reshape(copies, sequences, *logits.shape[1:])[:, sequence, at]
        return steering, logits

    def _steered(self, edits: Sequence[Edits]) -> AbstractContextManager[None]:
        """Context manager: one pass over as many copies of all sequences, each under its edits."""
        return self._steering(edits).applied(self._model)

    def _steering(self, edits: Sequence[Edits]) -> Steering:
        """Of the next pass, over as many copies of all sequences."""
        for own in edits:
            if own and after(own) < self._checkpoint.layer:
                raise ValueError(f"an edit after layer {after(own)} of a replay from layer {self._checkpoint.layer}")
        sequences, copies = len(self._places), len(edits)
        steering = Steering([own for own in edits for _ in range(sequences)], self._places.device)
        places, ids = self._places.repeat(copies, 1), self._ids.repeat(copies, 1)
        row = torch.arange(len(places), device=places.device)
        steering.locate(row[:, None].expand_as(places), places, ids)
        return steering


def _together(parts: Iterator[tuple[int, Float[Tensor, "kept vocabulary"]]]) -> Float[Tensor, "edits kept vocabulary"]:
    found = dict(parts)
    return torch.stack([found[number] for number in range(len(found))]).float()
