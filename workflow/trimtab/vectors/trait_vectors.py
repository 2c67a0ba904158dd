"""All vectors of one trait: made, checked on held-out rows, calibrated side by side, written.

What a method does is in `trimtab.vectors.methods`; how doses are measured, in `trimtab.vectors.calibrate`.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from trimtab.errors import TrimtabError
from trimtab.model.norms import ResidualNorm
from trimtab.settings.vectors import VectorSettings
from trimtab.steering.replay import Prompt
from trimtab.steering.steering import Push
from trimtab.vectors import artifact
from trimtab.vectors.applications import Application, Asked
from trimtab.vectors.artifact import Vector
from trimtab.vectors.calibrate import SMALL, CalibrationPrompts, scan, solve
from trimtab.vectors.contract import HIGH_POLE, Direction, Material, make
from trimtab.vectors.dose import Scale, length
from trimtab.vectors.material import Pairs, held_out_gap
from trimtab.vectors.record import NO_AIM, RIGHT, WRONG, Derivatives, Measured, Record
from trimtab.vectors.solving import lengths

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sources:
    """What making needs beside the material."""

    described: Mapping[str, Any]
    """The model's manifest."""
    model: PreTrainedModel
    prompts: Sequence[Prompt]
    """On which doses are measured."""
    held_out: Pairs
    provenance: Mapping[str, Any]


def make_vectors(
    folder: Path,
    names: Sequence[str],
    material: Material,
    sources: Sources,
    settings: VectorSettings,
    targets: Sequence[float],
    asked: Sequence[Asked] = (),
) -> None:
    """Write `<folder>/<name>/<trait>.safetensors` for every vector.

    Args:
        targets: signed KL, in nats, for which every vector's length is searched, added at its own layer to all tokens.
        asked: lengths under other applications, of single vectors.

    Raises:
        TrimtabError: a vector that points the wrong way, if the settings say stop.
    """
    layer, described = material.layer, sources.described
    directions = {name: make(name, material) for name in names}
    gaps = {name: held_out_gap(direction, sources.held_out) for name, direction in directions.items()}
    signs = {name: sign_check(direction, gaps[name]) for name, direction in directions.items()}
    for name in (name for name, sign in signs.items() if sign == WRONG):
        line = f"vector {name} of {material.trait}: its held-out gap is {gaps[name]:.3g}, so it points the wrong way"
        if settings.wrong_sign == "stop":
            raise TrimtabError(f"{line}; leave the method out, or set vectors.wrong_sign: mark")
        LOG.warning(line)
    norm = ResidualNorm(**described["residual_norm"][str(layer)])
    prompts = CalibrationPrompts(sources.model, sources.prompts, layer)

    def measure(pushes: Sequence[tuple[str, float]]) -> list[float]:
        return prompts.kl([Push(layer, directions[name].unit, reach, "all") for name, reach in pushes])

    share = Scale("", norm.centred_mean, {})
    reach = {dose: length(dose, "residual_share", share) for dose in settings.calibration_doses}
    # a direction without an aim is pushed one way alone, unless a target asks for the other
    turned = any(target < 0 for target in targets)
    ways = {name: (-1, 1) if turned or made.towards is not None else (1,) for name, made in directions.items()}
    scanned = scan(measure, ways, list(reach.values()))
    plain = Application(layer, "add", "all")
    solved = {target: solve(measure, scanned, target, plain) for target in targets}
    vectors = {}
    for name, direction in directions.items():
        slope, curvature = prompts.derivatives(direction.unit, SMALL * norm.centred_mean)
        record = Record(
            method=name,
            trait=material.trait,
            model=described["model"],
            layer=layer,
            towards=direction.towards,
            raw_norm=direction.raw_norm,
            intercept=direction.intercept,
            residual_norm=norm,
            dose_calibration=tuple(
                Measured(sign * dose, scanned[name][sign * each], sign * each)
                for sign in ways[name]
                for dose, each in sorted(reach.items(), reverse=sign < 0)
            ),
            kl_calibration=tuple(solved[target][name] for target in targets),
            asc=Derivatives(curvature, slope),
            held_out_gap=gaps[name],
            sign_check=signs[name],
            provenance=sources.provenance,
        )
        code = None if direction.code is None else (direction.code / direction.raw_norm).float()
        path = folder / name / f"{material.trait}.safetensors"
        vectors[name] = Vector(path, record, direction.unit, prompts.mean.float(), code)

    def at_layer(other: int) -> CalibrationPrompts:
        return prompts if other == layer else CalibrationPrompts(sources.model, sources.prompts, other)

    def scanned_at(other: int) -> list[float]:
        share = Scale("", described["residual_norm"][str(other)]["centred_mean"], {})
        return [length(dose, "residual_share", share) for dose in settings.calibration_doses]

    rest = [each for each in asked if each.application(layer) != plain or each.target not in targets]
    found = lengths(rest, vectors, sources.prompts, at_layer, scanned_at, material.sae)
    for name, vector in vectors.items():
        known = replace(vector.record, kl_calibration=(*vector.record.kl_calibration, *found[name]))
        artifact.save(replace(vector, record=known))
        texts = known.texts()
        LOG.info("%s: %s; %s", name, texts["dose_calibration"], texts["kl_calibration"])


def sign_check(direction: Direction, gap: float) -> str:
    """Whether a vector that aims at the high pole has it on its positive side, on held-out templates."""
    if direction.towards != HIGH_POLE:
        return NO_AIM
    return RIGHT if gap > 0 else WRONG
