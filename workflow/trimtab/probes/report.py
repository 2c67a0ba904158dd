"""All that is known about one trait's probes: fits, scores and controls, on SAE latents and on raw residuals.

The probe of record is the ridge on SAE latents, at the layer where its cross-validated R² is best (or where the study's
rule puts it, under `protocol: study`). Its companions, on the raw residual stream and by logistic regression, sit at
the same layer, so that vectors made from them differ in features and loss alone. All get the layer of their own choice
in the scores.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from trimtab import seeds
from trimtab.errors import TrimtabError
from trimtab.probes import association, logistic, ridge
from trimtab.probes.contrast import Contrast, Layers
from trimtab.probes.controls import Chance, chance, flipped_by_template, gap, pair_gaps, study_rule
from trimtab.probes.intervals import intervals
from trimtab.probes.nested import Choice, Folds, Nested, Scores, fold_count, nested, score
from trimtab.probes.ridge import Probe
from trimtab.probes.transfer import across, words
from trimtab.prompts.contrast import DEVELOPMENT, LEXICAL

TEST = "test"
NO_LAYER = -1
"""Stands for the layer of features that no layer has: words."""


class Kind(NamedTuple):
    """What a probe reads, and how it is fitted."""

    features: str
    family: str


GAPS = {TEST: "test", "null": "style", LEXICAL: "lexical"}
"""Sets of pairs on which a ridge probe's high minus low is taken, and their names in gaps.csv, where readers would
take "null" for nothing. It should be large on the first alone."""

KINDS = {
    "sae": Kind("latents", "ridge"),
    "raw": Kind("raw", "ridge"),
    "sae_logistic": Kind("latents", "logistic"),
    "raw_logistic": Kind("raw", "logistic"),
}
"""By their names in the tables."""


@dataclass(frozen=True)
class Settings:
    penalties: list[float]
    folds: Folds
    shuffles: int
    """Labelings by template that chance is drawn from, where there are too many to try all."""
    protocol: str = "nested"
    """nested, or study: the study's rule chooses the layer and penalty of the probe of record."""


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
class TraitProbes:
    chosen: Choice
    fits: dict[str, Probe]
    """By kind, all at the chosen layer."""
    penalties: dict[str, float]
    latents: pd.DataFrame
    """Association of every latent with the trait (`trimtab.probes.association`)."""
    association: Float[Tensor, "d_sae"]
    """Its scores at the chosen layer."""
    rows: list[Row]
    controls: dict[str, Any]
    layer_support: dict[str, dict[int, float]]
    """By kind: for each layer the share of bootstrap samples of templates that would choose it."""


def probe_trait(trait: str, contrast: Contrast, null: Contrast, settings: Settings, seed: int) -> TraitProbes:
    """Fit, score and control the probes of `trait`.

    Raises:
        TrimtabError: a split without rows, with one pole only, or with too few templates.
    """
    development, test, lexical = contrast.where(*DEVELOPMENT), contrast.where(TEST), contrast.where(LEXICAL)
    for name, part in (("fit and select", development), (TEST, test), (LEXICAL, lexical)):
        if len(set(part.labels.tolist())) < 2:
            raise TrimtabError(f"probe {trait}: split {name} has {len(part.labels)} rows; expected both poles")
    shuffled = flipped_by_template(
        development.labels, development.templates, settings.shuffles, seeds.derive(seed, "probes", trait, "shuffled")
    )
    # column 0 is the truth, all others are shuffles; they share every decomposition
    targets = torch.cat([development.labels[:, None], shuffled], dim=1)
    own_seed = seeds.derive(seed, "probes", trait)
    scored = _Scored(development, test, targets, settings, own_seed)
    controls: dict[str, Any] = {}
    done: dict[str, Nested] = {}
    rows: list[Row] = []
    for name, kind in KINDS.items():
        layers, test_layers = getattr(development, kind.features), getattr(test, kind.features)
        # chance is measured with ridge alone, where shuffles are free
        columns = targets if kind.family == "ridge" else targets[:, :1]
        fitted = nested(
            layers, columns, development.templates, settings.penalties, settings.folds, own_seed, kind.family
        )
        done[name] = fitted
        rows += scored.nested(name, fitted, columns, layers, test_layers)
        rows += scored.transfer(name, layers[fitted.chosen.layer], fitted.chosen)
        if kind.family == "ridge":
            study = study_rule(layers, development.labels, settings.penalties, seeds.derive(own_seed, "study"))
            rows.append(_row(study.choice, name, "study", study.scores, study.n_rows, development, True))
            honest = ridge.fit(layers[study.choice.layer], development.labels, study.choice.penalty)
            probe = ridge.fit(layers[fitted.chosen.layer], development.labels, fitted.chosen.penalty)
            controls[name] = {
                "shuffled": [score(fitted.overall[:, i], targets[:, i])._asdict() for i in range(1, targets.shape[1])],
                **{
                    name: gap(_gaps(probe, part, kind.features, fitted.chosen.layer))._asdict()
                    for name, part in zip(GAPS, (test, null, lexical), strict=True)
                },
                "study": {
                    **study.choice._asdict(),
                    "r2": study.scores.r2,
                    "r2_on_test": score(honest.predict(test_layers[study.choice.layer]), test.labels).r2,
                },
            }
    rows += scored.baselines()
    chosen = done["sae"].chosen
    if settings.protocol == "study":
        chosen = Choice(int(controls["sae"]["study"]["layer"]), float(controls["sae"]["study"]["penalty"]))
    penalties = {name: done[name].choices[chosen.layer].penalty for name in KINDS} | {"sae": chosen.penalty}
    fit = {"ridge": ridge.fit, "logistic": logistic.fit}
    gaps = {
        layer: pair_gaps(latents, development.labels, development.pairs)
        for layer, latents in development.latents.items()
    }
    latents = association.table(
        gaps, _template_of_pairs(development), seeds.derive(seed, "probes", trait, "association")
    )
    return TraitProbes(
        chosen=chosen,
        fits={
            name: fit[kind.family](
                getattr(development, kind.features)[chosen.layer], development.labels, penalties[name]
            )
            for name, kind in KINDS.items()
        },
        penalties=penalties,
        latents=latents,
        association=torch.tensor(latents.loc[latents["layer"] == chosen.layer, "association"].to_numpy()),
        rows=rows,
        controls=controls,
        layer_support={name: fitted.support for name, fitted in done.items()},
    )


@dataclass(frozen=True)
class _Scored:
    """Rows of the table from predictions, with what all of them share."""

    development: Contrast
    test: Contrast
    targets: Float[Tensor, "row target"]
    settings: Settings
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


def _gaps(probe: Probe, part: Contrast, features: str, layer: int) -> Float[Tensor, "pair"]:
    return pair_gaps(probe.predict(getattr(part, features)[layer]), part.labels, part.pairs)


def _template_of_pairs(part: Contrast) -> list[str]:
    """The template of each whole pair, in the order of `pair_gaps`."""
    template = dict(zip(part.pairs, part.templates, strict=True))
    return [template[pair] for pair in sorted(set(part.pairs)) if part.pairs.count(pair) == 2]


def as_json(probes: TraitProbes) -> dict[str, Any]:
    """The part of the artifact that people read."""
    return {
        "layer": probes.chosen.layer,
        "penalty": probes.chosen.penalty,
        "penalties": probes.penalties,
        "raw_penalty": probes.penalties["raw"],
        "layer_support": {
            name: {str(layer): share for layer, share in support.items()}
            for name, support in probes.layer_support.items()
        },
        "scores": [asdict(row) for row in probes.rows],
        "controls": probes.controls,
    }


def weights_of(probes: TraitProbes) -> dict[str, Tensor]:
    """The part of the artifact that vectors are made from, in float32; the probe of record's names have no prefix."""
    parts = {
        f"{'' if name == 'sae' else name + '.'}{part}": torch.as_tensor(getattr(probe, part), dtype=torch.float32)
        for name, probe in probes.fits.items()
        for part in ("weight", "intercept", "mean", "scale")
    }
    return parts | {"association": probes.association.float()}
