"""All vectors of one trait: made, checked on held-out rows, calibrated side by side, written.

What a method does is in `trimtab.vectors.methods`; how doses are measured, in `trimtab.vectors.calibrate`.
"""

import logging
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, cast

from transformers import PreTrainedModel

from trimtab.artifacts import digest
from trimtab.artifacts.kept import NOTHING, Kept
from trimtab.artifacts.manifest import Manifest, ResidualNorm
from trimtab.errors import TrimtabError
from trimtab.saes.checkpoint import TrainingCheckpoint
from trimtab.settings.vectors import VectorSettings
from trimtab.steering.edits import Edits, added, after, scaled
from trimtab.steering.laid import Prompt
from trimtab.vectors import artifact, methods
from trimtab.vectors.applications import Application, Asked
from trimtab.vectors.artifact import OwnEdits, Vector
from trimtab.vectors.asked import Readings
from trimtab.vectors.calibrate import SMALL, CalibrationPrompts, scan, solve
from trimtab.vectors.contract import Direction, Material, make, method_of
from trimtab.vectors.cost import Cost, Metered
from trimtab.vectors.curves import Margin
from trimtab.vectors.dose import Scale, length
from trimtab.vectors.gates import GateOf, ungated
from trimtab.vectors.margins import of_splits
from trimtab.vectors.material import Pairs, held_out_gap, sign_check
from trimtab.vectors.objective import Plan
from trimtab.vectors.record import NO_AIM, WRONG, Measured, Record
from trimtab.vectors.solving import SHARES, lengths
from trimtab.vectors.thresholds import thresholds
from trimtab.vectors.unmade import CannotBeMade, Unmade

LOG = logging.getLogger(__name__)

READS = digest.LIBRARY / "vectors/readings.py"
"""Code on which, with that of its method, a training depends."""


@dataclass(frozen=True)
class Sources:
    """What making needs beside the material."""

    described: Manifest
    """The model's manifest."""
    model: PreTrainedModel
    prompts: Sequence[Prompt]
    """On which doses are measured."""
    held_out: Pairs
    provenance: Mapping[str, Any]
    kept: Kept = NOTHING
    """What doses came to when they were measured before."""
    checkpoint_seconds: float = 120.0
    """At least so much time between two writes of what is being trained."""


def make_vectors(
    folder: Path,
    names: Sequence[str],
    material: Material,
    sources: Sources,
    settings: VectorSettings,
    targets: Sequence[float],
    asked: Sequence[Asked] = (),
    gate_of: GateOf = ungated,
    bounded: bool = False,
) -> None:
    """Write `<folder>/<name>/<trait>.safetensors` for every vector, for every method's own edits, and for what can't be
    made.

    Args:
        targets: signed KL, in nats, at which methods are compared: vectors added at their own layer to all tokens,
            edits as they were made.
        asked: lengths under other applications, or of chances, of single vectors.
        gate_of: makes the gates that lengths are asked for under.
        bounded: ASC's bound gives lengths, so that further draws of nulls need derivatives too.

    Raises:
        TrimtabError: a vector that points the wrong way, if the settings say stop.
    """
    material = replace(material, settings=settings.settings)
    bench = _Bench(folder, material, sources, settings)
    made = {}
    for name in names:
        metered, begun = Metered(material.readings), perf_counter()
        try:
            made[name] = make(name, replace(material, readings=cast(Readings, metered), training=bench.plan(name)))
        except CannotBeMade as error:
            bench.leave_out(name, str(error))
        bench.costs[name] = metered.cost
        LOG.info("%s: made in %.2f s; %s", name, perf_counter() - begun, metered.cost)
    found = bench.vectors({name: each for name, each in made.items() if isinstance(each, Direction)}, targets, bounded)
    found |= {name: bench.edits(name, each) for name, each in made.items() if not isinstance(each, Direction)}
    compared = [
        Asked(name, None, each.plain.rule, "all", target)
        for name, each in found.items()
        if isinstance(each, OwnEdits)
        for target in targets
    ]
    plain = Application(material.layer, "add", "all")
    rest = [
        each
        for each in asked
        if each.vector in found
        and each.unit == "kl"
        and (each.application(material.layer) != plain or each.target not in targets)
    ]
    wanted = list(dict.fromkeys([*compared, *rest]))
    solved = lengths(wanted, found, sources.prompts, bench.at_layer, bench.reach, material.sae, gate_of, material.sites)
    by_chance = [each for each in asked if each.vector in found and each.unit == "chance"]
    reached = thresholds(by_chance, found, material, bench.reach, gate_of)
    for name, each in found.items():
        nats = (*each.record.kl_calibration, *solved[name])
        known = replace(
            each.record,
            kl_calibration=nats,
            thresholds=tuple(reached[name]),
            training=bench.plans[name].curve,
            margins=bench.margins(each),
        )
        artifact.save(replace(each, record=known))
        texts = known.texts()
        LOG.info("%s: %s; %s", name, texts["dose_calibration"], texts["kl_calibration"])
        for more in (*known.thresholds, *known.margins):
            LOG.info("%s: %s", name, more)
    bench.tidy()


class _Bench:
    """Where what was made for a trait is checked and measured."""

    def __init__(self, folder: Path, material: Material, sources: Sources, settings: VectorSettings) -> None:
        self._folder, self._material, self._sources, self._settings = folder, material, sources, settings
        self._layer, self._site = material.layer, material.sites.at(material.layer)
        self._ready: dict[int, CalibrationPrompts] = {}
        self.costs: dict[str, Cost] = {}
        """Of making, by name."""
        self.plans: dict[str, Plan] = {}
        """Of trainings through the model, by name."""

    def plan(self, name: str) -> Plan:
        """How a vector's trainings go, if it has any; their states lie beside the vectors until these are written."""

        def kept(number: int) -> TrainingCheckpoint:
            code = [digest.code_digest(path, digest.LIBRARY) for path in (READS, *methods.files(method_of(name)[0]))]
            path = self._training / f"{name}.{number}.safetensors"
            depends = [self._sources.provenance, code, name, number]
            return TrainingCheckpoint(path, depends, self._sources.checkpoint_seconds)

        self.plans[name] = Plan(**self._settings.training.record(), checkpoint=kept)
        return self.plans[name]

    @property
    def _training(self) -> Path:
        return self._folder / ".training" / self._material.trait

    def tidy(self) -> None:
        """Delete the states of trainings, once the vectors are written, and what no dose needs any longer."""
        self._sources.kept.tidy()
        shutil.rmtree(self._training, ignore_errors=True)
        # of the last trait whose job is done
        with suppress(OSError):
            self._training.parent.rmdir()

    def margins(self, made: Vector | OwnEdits) -> tuple[Margin, ...]:
        """What was learned does to the words of pairs of each split, where something was learned."""
        if not self.plans[made.method].trained:
            return ()
        edits = made.edits if isinstance(made, OwnEdits) else added(self._site, made.unit, made.record.raw_norm)
        return of_splits(edits, self._material, self._sources.held_out)

    def at_layer(self, layer: int) -> CalibrationPrompts:
        """The calibration prompts, read up to a layer."""
        if layer not in self._ready:
            # one at a time beside the vectors' own: each holds a pass of the model
            for other in self._ready.keys() - {self._site.after}:
                del self._ready[other]
            given = self._sources
            self._ready[layer] = CalibrationPrompts(given.model, given.prompts, layer, given.kept)
        return self._ready[layer]

    def reach(self, layer: int) -> list[float]:
        """The lengths that a scan at a layer measures, in the order of the settings' doses."""
        share = Scale("", self._norm(layer).centred_mean, {})
        return [length(dose, "residual_share", share) for dose in self._settings.calibration_doses]

    def vectors(
        self, directions: Mapping[str, Direction], targets: Sequence[float], bounded: bool
    ) -> dict[str, Vector | OwnEdits]:
        """Directions by name, measured side by side: added to all tokens."""
        if not directions:
            return {}
        layer, prompts = self._layer, self.at_layer(self._site.after)
        gaps = {name: held_out_gap(each, self._sources.held_out) for name, each in directions.items()}
        signs = {name: self._sign(name, each, gaps[name]) for name, each in directions.items()}

        def measure(pushes: Sequence[tuple[str, float]]) -> list[float]:
            return prompts.kl([added(self._site, directions[name].unit, reach) for name, reach in pushes])

        reach = dict(zip(self._settings.calibration_doses, self.reach(layer), strict=True))
        # a direction without an aim, and a further draw, is pushed one way alone, unless a target asks for the other
        turned = any(target < 0 for target in targets)
        further = {name for name in directions if method_of(name)[1]}
        both = {name for name, each in directions.items() if each.towards is not None and name not in further}
        ways = {name: (-1, 1) if turned or name in both else (1,) for name in directions}
        scanned = scan(measure, ways, list(reach.values()))
        plain = Application(layer, "add", "all")
        solved = {target: solve(measure, scanned, target, max(reach.values()), plain) for target in targets}
        mean, step = prompts.mean(self._site).float(), SMALL * self._norm(layer).centred_mean
        derived = directions.keys() - (set() if bounded else further)
        found: dict[str, Vector | OwnEdits] = {}
        for name, direction in directions.items():
            record = self._record(
                name,
                [
                    Measured(sign * dose, scanned[name][sign * each], sign * each)
                    for sign in ways[name]
                    for dose, each in sorted(reach.items(), reverse=sign < 0)
                ],
                towards=direction.towards,
                raw_norm=direction.raw_norm,
                intercept=direction.intercept,
                kl_calibration=tuple(solved[target][name] for target in targets),
                asc=prompts.derivatives(self._site, direction.unit, step) if name in derived else None,
                held_out_gap=gaps[name],
                sign_check=signs[name],
            )
            code = None if direction.code is None else (direction.code / direction.raw_norm).float()
            found[name] = Vector(self._path(name), record, direction.unit, mean, code)
        return found

    def edits(self, name: str, edits: Edits) -> OwnEdits:
        """A method's own edits, measured at shares of what they are; they aim nowhere that rows could be held to."""
        prompts = self.at_layer(after(edits))
        kl = prompts.kl([scaled(edits, share) for share in SHARES])
        record = self._record(
            name,
            [Measured(share, each, share) for share, each in zip(SHARES, kl, strict=True)],
            towards=None,
            raw_norm=1.0,
            intercept=None,
            kl_calibration=(),
            asc=None,
            held_out_gap=0.0,
            sign_check=NO_AIM,
            openings=prompts.openings(edits),
        )
        return OwnEdits(self._path(name), record, edits)

    def leave_out(self, name: str, why: str) -> None:
        """Say of a method that it can't be made."""
        LOG.warning("%s of %s is left out: %s", name, self._material.trait, why)
        unmade = Unmade(name, self._material.trait, self._layer, why)
        artifact.save_unmade(self._path(name), unmade, self._sources.provenance)

    def _record(self, name: str, measured: Sequence[Measured], **more: Any) -> Record:
        return Record(
            method=name,
            trait=self._material.trait,
            model=self._sources.described.model,
            layer=self._layer,
            residual_norm=self._norm(self._layer),
            dose_calibration=tuple(measured),
            provenance=self._sources.provenance,
            site=self._material.sites.kind,
            cost=self.costs.get(name),
            weights=self._sources.described.weights_digest,
            **more,
        )

    def _norm(self, layer: int) -> ResidualNorm:
        return self._sources.described.residual_norm[layer]

    def _path(self, name: str) -> Path:
        return self._folder / name / f"{self._material.trait}.safetensors"

    def _sign(self, name: str, direction: Direction, gap: float) -> str:
        """
        Raises:
            TrimtabError: the direction points the wrong way, and the settings say stop.
        """
        found = sign_check(direction, gap)
        if found == WRONG:
            line = f"vector {name} of {self._material.trait}: its held-out gap is {gap:.3g}, so it points the wrong way"
            if self._settings.wrong_sign == "stop":
                raise TrimtabError(f"{line}; leave the method out, or set vectors.wrong_sign: mark")
            LOG.warning(line)
        return found
