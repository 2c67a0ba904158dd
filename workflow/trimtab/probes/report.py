"""All that is known about one trait's probes: fits, scores and controls, on SAE latents and on raw residuals.

The probe of record is the ridge on SAE latents, at the layer where its cross-validated R² is best (or where the study's
rule puts it, under `protocol: study`). Its companions, on the raw residual stream and by logistic regression, sit at
the same layer, so that vectors made from them differ in features and loss alone. All get the layer of their own choice
in the scores.
"""

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from trimtab import seeds
from trimtab.errors import TrimtabError
from trimtab.probes import association, logistic, ridge
from trimtab.probes.contrast import Contrast
from trimtab.probes.controls import flipped_by_template, gap, pair_gaps, study_rule
from trimtab.probes.nested import Choice, Nested, nested, score
from trimtab.probes.ridge import Probe
from trimtab.probes.scored import GAPS, KINDS, TEST, Row, Scored
from trimtab.prompts.contrast import DEVELOPMENT, LEXICAL
from trimtab.settings.probes import ProbeSettings


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


def probe_trait(trait: str, contrast: Contrast, null: Contrast, settings: ProbeSettings, seed: int) -> TraitProbes:
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
    scored = Scored(development, test, targets, settings, own_seed)
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
            rows.append(scored.study(name, study))
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
