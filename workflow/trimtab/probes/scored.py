"""The table of scores: what each kind of probe earns, split by split, and how far that would move.

A row is made from predictions. Who fits and chooses is `trimtab.probes.report`; what a score, an interval and chance
are is in `nested`, `intervals` and `controls`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.probes import logistic, ridge
from trimtab.probes.contrast import Contrast, Layers
from trimtab.probes.controls import Chance, StudyFit, chance
from trimtab.probes.intervals import intervals
from trimtab.probes.nested import Choice, Nested, Scores, fold_count, nested, score
from trimtab.probes.transfer import across, words
from trimtab.prompts.contrast import LEXICAL
from trimtab.settings.probes import FitSettings

TEST = "test"
NO_LAYER = -1
"""Stands for the layer of features that no layer has: words."""


class Kind(NamedTuple):
    """What a probe reads, and how it is fitted."""

    features: str
    family: str


KINDS = {
    "sae": Kind("latents", "ridge"),
    "raw": Kind("raw", "ridge"),
    "sae_logistic": Kind("latents", "logistic"),
    "raw_logistic": Kind("raw", "logistic"),
}
"""By their names in the tables."""


GAPS = {TEST: "test", "null": "style", LEXICAL: "lexical"}
"""Sets of pairs on which a ridge probe's high minus low is taken, and their names in gaps.csv, where readers would
take "null" for nothing. It should be large on the first alone."""


@dataclass(frozen=True)
class Row:
    """A row of scores.csv, without the trait.

    `split` is nested (penalty chosen inside, layer given), nested_with_layer (both chosen inside; layer: the final
    choice), test (fitted on all development rows), shuffled (nested, mean over shuffles), study (its own rule), and
    domains or sub_behaviours (scored on kinds of prompts that the fit has not seen, at the final choice).
    Intervals are by templates, and empty where there are fewer than three. Chance is the score of labels whose poles
    are swapped by whole templates: its spread, and the share of labelings that reach the score. `layer_support` is the
    share of bootstrap samples of templates in which this layer would have been chosen.
    """

    layer: int
    features: str
    split: str
    penalty: float
    r2: float
    auc: float
    accuracy: float
    brier: float
    calibration_error: float
    n_rows: int
    n_templates: int
    chosen: bool
    r2_lower: float | None = None
    r2_upper: float | None = None
    auc_lower: float | None = None
    auc_upper: float | None = None
    accuracy_lower: float | None = None
    accuracy_upper: float | None = None
    r2_chance_sd: float | None = None
    auc_chance_sd: float | None = None
    r2_p: float | None = None
    auc_p: float | None = None
    n_labelings: int | None = None
    layer_support: float | None = None


@dataclass(frozen=True)
class Scored:
    """Rows of the table from predictions, with what all of them share."""

    development: Contrast
    test: Contrast
    targets: Float[Tensor, "row target"]
    settings: FitSettings
    seed: int

    def nested(
        self,
        name: str,
        done: Nested,
        targets: Float[Tensor, "row target"],
        layers: Layers,
        test_layers: Mapping[int, Float[Tensor, "test_row _"]],
    ) -> Iterator[Row]:
        labels = self.development.labels
        fit = {"ridge": ridge.fit, "logistic": logistic.fit}[KINDS[name].family]
        row = self._row(done.chosen, name, "nested_with_layer", done.overall[:, 0], self.development, True)
        yield replace(row, layer_support=done.support[done.chosen.layer], **_chance(done.overall, targets))
        for layer, choice in done.choices.items():
            chosen = layer == done.chosen.layer
            predicted = done.per_layer[layer]
            row = self._row(choice, name, "nested", predicted[:, 0], self.development, chosen)
            yield replace(row, layer_support=done.support[layer], **_chance(predicted, targets))
            others = [score(predicted[:, i], targets[:, i]) for i in range(1, targets.shape[1])]
            if others:
                yield _row(choice, name, "shuffled", _mean(others), len(labels), self.development, chosen)
            earned = fit(layers[layer], labels, choice.penalty).predict(test_layers[layer])
            if KINDS[name].family == "logistic":
                earned = torch.sigmoid(earned)
            yield self._row(choice, name, TEST, earned, self.test, chosen)

    def transfer(self, name: str, rows: Float[Tensor, "row feature"], choice: Choice) -> Iterator[Row]:
        """Scores on domains and sub-behaviours that a fit has not seen."""
        part = self.development
        for split, kinds in (("domains", part.domains), ("sub_behaviours", part.sub_behaviours)):
            predicted = across(
                rows,
                part.labels,
                kinds,
                part.templates,
                choice.penalty,
                self.settings.folds,
                self.seed,
                KINDS[name].family,
            )
            if predicted is not None:
                yield self._row(choice, name, split, predicted, part, True)

    def study(self, name: str, found: StudyFit) -> Row:
        """What the study's own rule would have reported."""
        return _row(found.choice, name, "study", found.scores, found.n_rows, self.development, True)

    def baselines(self) -> Iterator[Row]:
        """Ridge on the prompts' words, and on latents of dictionaries that were never trained."""
        part, settings = self.development, self.settings
        features: dict[str, Layers] = {"words": {NO_LAYER: words(part.texts)}, "untrained": part.untrained}
        for name, layers in features.items():
            done = nested(layers, self.targets[:, :1], part.templates, settings.penalties, settings.folds, self.seed)
            yield self._row(done.chosen, name, "nested_with_layer", done.overall[:, 0], part, True)

    def _row(
        self, choice: Choice, features: str, split: str, predicted: Float[Tensor, "row"], part: Contrast, chosen: bool
    ) -> Row:
        scores = score(predicted, part.labels)
        spread = intervals(predicted, part.labels, part.templates, None if split == TEST else self._folds())
        return _row(choice, features, split, scores, len(part.labels), part, chosen, **spread)

    def _folds(self) -> int:
        """How many fits predict each other's development rows."""
        return fold_count(len(set(self.development.templates)), self.settings.folds)


def _chance(predicted: Float[Tensor, "row target"], targets: Float[Tensor, "row target"]) -> dict[str, Any]:
    """The columns of a row that tell its score from that of labels without the trait; none where none were fitted."""
    seen, *others = (score(predicted[:, i], targets[:, i]) for i in range(targets.shape[1]))
    found: Chance | None = chance(seen, others) if others else None
    return found._asdict() if found else {}


def _row(
    choice: Choice,
    features: str,
    split: str,
    scores: Scores,
    n_rows: int,
    part: Contrast,
    chosen: bool,
    **spread: float | None,
) -> Row:
    row = Row(choice.layer, features, split, choice.penalty, *scores, n_rows, len(set(part.templates)), chosen)
    return replace(row, **spread)  # type: ignore[arg-type]


def _mean(scores: Sequence[Scores]) -> Scores:
    return Scores(*(sum(column) / len(scores) for column in zip(*scores, strict=True)))
