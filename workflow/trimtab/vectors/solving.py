"""The lengths that conditions need: each searched for under the very edits that the condition applies.

The edits are made by `trimtab.vectors.apply`, as for a rollout, so what is measured here is what is applied there.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import torch

from trimtab.errors import TrimtabError
from trimtab.forward.sites import STREAM, Sites
from trimtab.saes.sae import SAE
from trimtab.steering.edits import Edits, after
from trimtab.steering.gates import Gate
from trimtab.steering.laid import Prompt
from trimtab.steering.places import Places, touched
from trimtab.vectors.applications import Application, Asked
from trimtab.vectors.apply import edits
from trimtab.vectors.artifact import OwnEdits, Vector
from trimtab.vectors.calibrate import CalibrationPrompts, scan, solve
from trimtab.vectors.dose import UNSCALED
from trimtab.vectors.gates import GateOf
from trimtab.vectors.record import Solved

SHARES = (0.25, 0.5, 1.0)
"""Of edits as they were made: where a search for a KL sets out."""


def lengths(
    asked: Sequence[Asked],
    vectors: Mapping[str, Vector | OwnEdits],
    prompts: Sequence[Prompt],
    at_layer: Callable[[int], CalibrationPrompts],
    reach: Callable[[int], Sequence[float]],
    sae: SAE,
    gate_of: GateOf,
    sites: Sites = STREAM,
) -> dict[str, list[Solved]]:
    """What was found for each vector, in the order asked.

    Args:
        vectors: what was made, by name, all for one layer.
        prompts: those that `at_layer` has ready for edits at a layer.
        reach: lengths of a layer's scan, from which the search sets out.
        sae: of the vectors' layer.
        gate_of: makes a gate by its name.
        sites: where vectors are applied.

    Raises:
        TrimtabError: a timing that touches no token of the prompts, or a vector that lacks what a rule needs.
    """

    @cache
    def gate(name: str, how: Application) -> Gate | None:
        # made once and not at each step of a search: a gate may be read from a dictionary
        return gate_of(how, vectors[name])

    def applied(name: str, how: Application, reach: float) -> Edits:
        return edits(vectors[name], how, reach, "absolute", UNSCALED, sae, gate(name, how), sites)

    found: dict[str, list[Solved]] = {name: [] for name in vectors}
    wanted: dict[tuple[Application, int, bool], list[Asked]] = {}
    for each in asked:
        made = vectors[each.vector]
        application = each.application(made.layer)
        # a gate may read before the vector's layer
        start = after(applied(each.vector, application, 1.0))
        wanted.setdefault((application, start, isinstance(made, OwnEdits)), []).append(each)
    for (application, start, own), group in wanted.items():
        check_touched(application.timing, prompts)
        ready = at_layer(start)

        def measure(
            pushes: Sequence[tuple[str, float]],
            application: Application = application,
            ready: CalibrationPrompts = ready,
        ) -> list[float]:
            return ready.kl([applied(name, application, each) for name, each in pushes])

        signs: dict[str, list[int]] = {}
        for each in group:
            ways = signs.setdefault(each.vector, [])
            ways += [sign for sign in (1 if each.target > 0 else -1,) if sign not in ways]
        scan_at = SHARES if own else reach(application.layer)
        known = {name: _known(vectors[name], application) for name in signs}
        scanned = scan(measure, signs, scan_at, known)
        for target in dict.fromkeys(each.target for each in group):
            asking = {each.vector: scanned[each.vector] for each in group if each.target == target}
            for name, solved in solve(measure, asking, target, max(scan_at), application).items():
                found[name].append(solved)
    return found


def _known(made: Vector | OwnEdits, application: Application) -> dict[float, float]:
    """KL by signed length of what was measured as it was made."""
    if application != made.plain:
        return {}
    scanned = {each.length: each.kl for each in made.record.dose_calibration}
    return scanned | {each.length: each.kl for each in made.record.kl_calibration if each.length is not None}


def check_touched(timing: str, prompts: Sequence[Prompt]) -> None:
    """
    Raises:
        TrimtabError: the timing touches no token of the prompts.
    """
    places = [place for prompt in prompts for segment in prompt for place in segment.places]
    if not bool(touched(timing, Places.of(torch.tensor(places))).any()):
        raise TrimtabError(
            f"config.yaml, rollouts.unit: kl, and timing {timing} touches no token of the calibration prompts, so that "
            "no length has a KL; expected another timing, or unit absolute"
        )
