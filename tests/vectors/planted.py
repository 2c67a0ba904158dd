"""A model in which all is known: what it says depends on each prompt's one row through a linear head."""

from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True)
class Planted:
    """Pairs of which every prompt is one token and what the agent wrote one word, 0 in the high pole and 1 in the low.

    It is a part of pairs (`trimtab.vectors.parts.Part`) whatever edits are at one site do.
    """

    poles: torch.Tensor
    """Rows: pole, pair, width."""
    head: torch.Tensor
    """Of each word of the vocabulary: word, width."""
    asked: tuple[int, ...] = (0, 1)
    """Which poles are read."""
    turned: torch.Tensor | None = None
    """Pairs whose poles changed places, words and all."""
    chosen: tuple[int, ...] | None = None
    """Which pairs these are, of all; counted from 0 where all are."""

    def of(self, asked):
        return replace(self, asked=tuple(asked))

    def some(self, pairs):
        turned = None if self.turned is None else self.turned[list(pairs)]
        return replace(self, poles=self.poles[:, list(pairs)], turned=turned, chosen=tuple(pairs))

    def swapped(self, swap):
        return replace(self, poles=torch.where(swap[:, None], self.poles.flip(0), self.poles), turned=swap)

    @property
    def pairs(self):
        return self.poles.shape[1]

    @property
    def numbers(self):
        return list(range(self.pairs)) if self.chosen is None else list(self.chosen)

    @property
    def ends(self):
        return self.poles[list(self.asked)]

    @property
    def rows(self):
        return self.ends.flatten(0, 1)

    @property
    def owners(self):
        return torch.arange(len(self.rows))

    @property
    def lengths(self):
        return torch.ones(len(self.asked), self.pairs, dtype=torch.long)

    def logits(self, edits):
        found = []
        for own in edits:
            rows = self.rows
            for edit in own:
                rows = changed(rows, edit)
            found.append((rows @ self.head.T).unflatten(0, (len(self.asked), -1)))
        return torch.stack(found)

    def said(self, edits):
        return self.log_probabilities([edits])[0], self.logits([edits])[0]

    def means(self, sites, edits):
        """Of a model that has the same rows at all sites, each under its own edits."""
        found = []
        for site in sites:
            rows = self.rows
            for edit in edits:
                rows = changed(rows, edit) if edit.site == site else rows
            found.append(rows.unflatten(0, (len(self.asked), -1)))
        return torch.stack(found)

    def log_probabilities(self, edits):
        told = torch.log_softmax(self.logits(edits), dim=-1)
        turned = torch.zeros(self.pairs, dtype=torch.bool) if self.turned is None else self.turned
        words = torch.stack([turned.long() if pole == 0 else 1 - turned.long() for pole in self.asked])
        return told.gather(-1, words.expand(len(told), -1, -1)[..., None])[..., 0]

    @property
    def unsteered(self):
        return self.log_probabilities([()])[0]

    @property
    def unsteered_logits(self):
        return self.logits([()])[0]


def changed(rows, edit):
    """A module takes what rows are, over and over, and 3 more."""
    if not edit.change.takes_inputs:
        return edit.change(rows, edit.strength)
    inputs = edit.change.right.shape[1]
    return edit.change(rows, edit.strength, 3 + rows.repeat(1, -(-inputs // rows.shape[1]))[:, :inputs])
