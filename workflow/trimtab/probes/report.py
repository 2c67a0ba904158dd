"""All that is known about one trait's probes: fits, scores and controls, on SAE latents and on raw residuals.

The probe of record is the one on SAE latents, at the layer where its cross-validated R² is best; its raw-residual
companion sits at the same layer, so that vectors made from the two differ in features alone. Both also get the layer
of their own choice in the scores.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab import seeds
from trimtab.errors import TrimtabError
from trimtab.probes.contrast import Contrast, Layers
from trimtab.probes.controls import association, flipped_within_pairs, gap, pair_gaps, study_rule
from trimtab.probes.nested import Choice, Nested, Scores, nested, score
from trimtab.probes.ridge import Probe, fit

DEVELOPMENT = ("fit", "select")
TEST = "test"


@dataclass(frozen=True)
class Settings:
    penalties: list[float]
    folds: int
    shuffles: int


@dataclass(frozen=True)
class Row:
    """A row of scores.csv, without the trait.

    `split` is nested (penalty chosen inside, layer given), nested_with_layer (both chosen inside; layer: the final
    choice), test (fitted on all development rows), shuffled (nested, mean over shuffles) or study (its own rule).
    """

    layer: int
    features: str
    split: str
    penalty: float
    r2: float
    auc: float
    accuracy: float
    n_rows: int
    n_templates: int
    chosen: bool


@dataclass(frozen=True)
class TraitProbes:
    chosen: Choice
    sae: Probe
    raw: Probe
    raw_penalty: float
    association: Float[Tensor, "d_sae"]
    rows: list[Row]
    controls: dict[str, Any]


def probe_trait(trait: str, contrast: Contrast, null: Contrast, settings: Settings, seed: int) -> TraitProbes:
    """Fit, score and control the probes of `trait`.

    Raises:
        TrimtabError: a split without rows, with one pole only, or with too few templates.
    """
    development, test = contrast.where(*DEVELOPMENT), contrast.where(TEST)
    for name, part in (("fit and select", development), (TEST, test)):
        if len(set(part.labels.tolist())) < 2:
            raise TrimtabError(f"probe {trait}: split {name} has {len(part.labels)} rows; expected both poles")
    shuffled = flipped_within_pairs(
        development.labels, development.pairs, settings.shuffles, seeds.derive(seed, "probes", trait, "shuffled")
    )
    # column 0 is the truth, all others are shuffles; they share every decomposition
    targets = shuffled.new_empty(len(shuffled), 1 + settings.shuffles)
    targets[:, 0], targets[:, 1:] = development.labels, shuffled
    rows: list[Row] = []
    controls: dict[str, Any] = {}
    fits: dict[str, Nested] = {}
    for features in ("sae", "raw"):
        layers, test_layers = _features(development, features), _features(test, features)
        own_seed = seeds.derive(seed, "probes", trait)
        done = nested(layers, targets, development.templates, settings.penalties, settings.folds, own_seed)
        fits[features] = done
        rows += _rows(features, done, targets, layers, test_layers, development, test)

        study = study_rule(layers, development.labels, settings.penalties, seeds.derive(own_seed, "study"))
        rows.append(_row(study.choice, features, "study", study.scores, study.n_rows, development, True))
        honest = fit(layers[study.choice.layer], development.labels, study.choice.penalty)
        probe = fit(layers[done.chosen.layer], development.labels, done.chosen.penalty)
        controls[features] = {
            "shuffled": [score(done.overall[:, i], targets[:, i])._asdict() for i in range(1, targets.shape[1])],
            "null": gap(_gaps(probe, null, features, done.chosen.layer))._asdict(),
            "test": gap(_gaps(probe, test, features, done.chosen.layer))._asdict(),
            "study": {
                **study.choice._asdict(),
                "r2": study.scores.r2,
                "r2_on_test": score(honest.predict(test_layers[study.choice.layer]), test.labels).r2,
            },
        }
    chosen = fits["sae"].chosen
    raw_penalty = fits["raw"].choices[chosen.layer].penalty
    return TraitProbes(
        chosen=chosen,
        sae=fit(development.latents[chosen.layer], development.labels, chosen.penalty),
        raw=fit(development.raw[chosen.layer], development.labels, raw_penalty),
        raw_penalty=raw_penalty,
        association=association(pair_gaps(development.latents[chosen.layer], development.labels, development.pairs)),
        rows=rows,
        controls=controls,
    )


def _rows(
    features: str,
    done: Nested,
    targets: Tensor,
    layers: Layers,
    test_layers: Layers,
    development: Contrast,
    test: Contrast,
) -> Iterator[Row]:
    labels, n = targets[:, 0], len(targets)
    overall = score(done.overall[:, 0], labels)
    yield _row(done.chosen, features, "nested_with_layer", overall, n, development, True)
    for layer, choice in done.choices.items():
        chosen = layer == done.chosen.layer
        predicted = done.per_layer[layer]
        yield _row(choice, features, "nested", score(predicted[:, 0], labels), n, development, chosen)
        chance = [score(predicted[:, i], targets[:, i]) for i in range(1, targets.shape[1])]
        if chance:
            yield _row(choice, features, "shuffled", _mean(chance), n, development, chosen)
        earned = score(fit(layers[layer], labels, choice.penalty).predict(test_layers[layer]), test.labels)
        yield _row(choice, features, "test", earned, len(test.labels), test, chosen)


def _row(choice: Choice, features: str, split: str, scores: Scores, n_rows: int, part: Contrast, chosen: bool) -> Row:
    n_templates = len(set(part.templates))
    return Row(choice.layer, features, split, choice.penalty, *scores, n_rows, n_templates, chosen)


def _mean(scores: Sequence[Scores]) -> Scores:
    return Scores(*(sum(column) / len(scores) for column in zip(*scores, strict=True)))


def _features(part: Contrast, features: str) -> Layers:
    return part.latents if features == "sae" else part.raw


def _gaps(probe: Probe, part: Contrast, features: str, layer: int) -> Float[Tensor, "pair"]:
    return pair_gaps(probe.predict(_features(part, features)[layer]), part.labels, part.pairs)


def as_json(probes: TraitProbes) -> dict[str, Any]:
    """The part of the artifact that people read."""
    return {
        "layer": probes.chosen.layer,
        "penalty": probes.chosen.penalty,
        "raw_penalty": probes.raw_penalty,
        "scores": [asdict(row) for row in probes.rows],
        "controls": probes.controls,
    }


def weights_of(probes: TraitProbes) -> dict[str, Tensor]:
    """The part of the artifact that vectors are made from, in float32."""

    def parts(probe: Probe, prefix: str) -> dict[str, Tensor]:
        return {
            f"{prefix}weight": probe.weight.float(),
            f"{prefix}intercept": torch.tensor(probe.intercept, dtype=torch.float32),
            f"{prefix}mean": probe.mean.float(),
            f"{prefix}scale": probe.scale.float(),
        }

    return parts(probes.sae, "") | parts(probes.raw, "raw.") | {"association": probes.association.float()}
