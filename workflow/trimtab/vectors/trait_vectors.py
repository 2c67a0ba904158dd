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
from trimtab.steering.catalogue import AS_MADE
from trimtab.steering.edits import added, after, scaled
from trimtab.steering.replay import Prompt
from trimtab.vectors import artifact
from trimtab.vectors.applications import Application, Asked
from trimtab.vectors.artifact import OwnEdits, Vector
from trimtab.vectors.calibrate import SMALL, CalibrationPrompts, scan, solve
from trimtab.vectors.contract import HIGH_POLE, Direction, Material, make
from trimtab.vectors.dose import Scale, length
from trimtab.vectors.gates import GateOf, ungated
from trimtab.vectors.material import Pairs, held_out_gap
from trimtab.vectors.record import NO_AIM, RIGHT, WRONG, Derivatives, Measured, Record
from trimtab.vectors.solving import SHARES, lengths

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
    gate_of: GateOf = ungated,
) -> None:
    """Write `<folder>/<name>/<trait>.safetensors` for every vector.

    Args:
        targets: signed KL, in nats, for which every vector's length is searched, added at its own layer to all tokens.
        asked: lengths under other applications, of single vectors.
        gate_of: makes the gates that lengths are asked for under.

    Raises:
        TrimtabError: a vector that points the wrong way, if the settings say stop.
    """
    layer, described = material.layer, sources.described
    made = {name: make(name, material) for name in names}
    directions = {name: each for name, each in made.items() if isinstance(each, Direction)}
    own = {name: each for name, each in made.items() if not isinstance(each, Direction)}
    gaps = {name: held_out_gap(direction, sources.held_out) for name, direction in directions.items()}
    signs = {name: sign_check(direction, gaps[name]) for name, direction in directions.items()}
    for name in (name for name, sign in signs.items() if sign == WRONG):
        line = f"vector {name} of {material.trait}: its held-out gap is {gaps[name]:.3g}, so it points the wrong way"
        if settings.wrong_sign == "stop":
            raise TrimtabError(f"{line}; leave the method out, or set vectors.wrong_sign: mark")
        LOG.warning(line)
    norm = ResidualNorm(**described["residual_norm"][str(layer)])
    ready: dict[int, CalibrationPrompts] = {}

    def at_layer(start: int) -> CalibrationPrompts:
        if start not in ready:
            # one at a time beside the vectors' own: each holds a pass of the model
            for other in ready.keys() - {layer}:
                del ready[other]
            ready[start] = CalibrationPrompts(sources.model, sources.prompts, start)
        return ready[start]

    def record(name: str, scanned: Mapping[float, float], doses: Mapping[float, float], **more: Any) -> Record:
        """`doses`: dose by length, as scanned."""
        return Record(
            method=name,
            trait=material.trait,
            model=described["model"],
            layer=layer,
            residual_norm=norm,
            dose_calibration=tuple(Measured(dose, scanned[each], each) for each, dose in doses.items()),
            provenance=sources.provenance,
            **more,
        )

    prompts = at_layer(layer)
    vectors: dict[str, Vector | OwnEdits] = {}
    if directions:

        def measure(pushes: Sequence[tuple[str, float]]) -> list[float]:
            return prompts.kl([added(layer, directions[name].unit, reach) for name, reach in pushes])

        share = Scale("", norm.centred_mean, {})
        reach = {dose: length(dose, "residual_share", share) for dose in settings.calibration_doses}
        # a direction without an aim is pushed one way alone, unless a target asks for the other
        turned = any(target < 0 for target in targets)
        ways = {name: (-1, 1) if turned or each.towards is not None else (1,) for name, each in directions.items()}
        scanned = scan(measure, ways, list(reach.values()))
        plain = Application(layer, "add", "all")
        solved = {target: solve(measure, scanned, target, plain) for target in targets}
        for name, direction in directions.items():
            slope, curvature = prompts.derivatives(direction.unit, SMALL * norm.centred_mean)
            doses = {
                sign * each: sign * dose
                for sign in ways[name]
                for dose, each in sorted(reach.items(), reverse=sign < 0)
            }
            known = record(
                name,
                scanned[name],
                doses,
                towards=direction.towards,
                raw_norm=direction.raw_norm,
                intercept=direction.intercept,
                kl_calibration=tuple(solved[target][name] for target in targets),
                asc=Derivatives(curvature, slope),
                held_out_gap=gaps[name],
                sign_check=signs[name],
            )
            code = None if direction.code is None else (direction.code / direction.raw_norm).float()
            vectors[name] = Vector(_path(folder, name, material), known, direction.unit, prompts.mean.float(), code)
    for name, edits in own.items():
        start = at_layer(after(edits))
        kl = start.kl([scaled(edits, share) for share in SHARES])
        known = record(
            name,
            dict(zip(SHARES, kl, strict=True)),
            {share: share for share in SHARES},
            towards=HIGH_POLE,
            raw_norm=1.0,
            intercept=None,
            kl_calibration=(),
            asc=None,
            held_out_gap=0.0,
            sign_check=NO_AIM,
        )
        vectors[name] = OwnEdits(_path(folder, name, material), known, edits)

    def scanned_at(other: int) -> list[float]:
        share = Scale("", described["residual_norm"][str(other)]["centred_mean"], {})
        return [length(dose, "residual_share", share) for dose in settings.calibration_doses]

    compared = [Asked(name, None, AS_MADE, "all", target) for name in own for target in targets]
    known_already = {(Application(layer, "add", "all"), target) for target in targets}
    rest = [each for each in asked if (each.application(layer), each.target) not in known_already]
    found = lengths(
        list(dict.fromkeys([*compared, *rest])), vectors, sources.prompts, at_layer, scanned_at, material.sae, gate_of
    )
    for name, vector in vectors.items():
        known = replace(vector.record, kl_calibration=(*vector.record.kl_calibration, *found[name]))
        artifact.save(replace(vector, record=known))
        texts = known.texts()
        LOG.info("%s: %s; %s", name, texts["dose_calibration"], texts["kl_calibration"])


def _path(folder: Path, name: str, material: Material) -> Path:
    return folder / name / f"{material.trait}.safetensors"


def sign_check(direction: Direction, gap: float) -> str:
    """Whether a vector that aims at the high pole has it on its positive side, on held-out templates."""
    if direction.towards != HIGH_POLE:
        return NO_AIM
    return RIGHT if gap > 0 else WRONG
