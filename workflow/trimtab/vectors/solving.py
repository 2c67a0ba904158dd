"""The lengths that conditions need: each searched for under the very push that the condition applies.

The push is made by `trimtab.vectors.apply`, as for a rollout, so what is measured here is what is applied there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch

from trimtab.errors import TrimtabError
from trimtab.saes.sae import SAE
from trimtab.steering.places import Places, touched
from trimtab.steering.replay import Prompt
from trimtab.vectors.applications import Application, Asked
from trimtab.vectors.apply import push
from trimtab.vectors.artifact import Vector
from trimtab.vectors.calibrate import CalibrationPrompts, scan, solve
from trimtab.vectors.dose import Scale
from trimtab.vectors.record import Solved


def lengths(
    asked: Sequence[Asked],
    vectors: Mapping[str, Vector],
    prompts: Sequence[Prompt],
    at_layer: Callable[[int], CalibrationPrompts],
    reach: Callable[[int], Sequence[float]],
    sae: SAE,
) -> dict[str, list[Solved]]:
    """What was found for each vector, in the order asked.

    Args:
        vectors: by name, all of one layer.
        prompts: those that `at_layer` has ready for pushes at a layer.
        reach: lengths of a layer's scan, from which the search sets out.
        sae: of the vectors' layer.

    Raises:
        TrimtabError: a timing that touches no token of the prompts, or a vector that lacks what a rule needs.
    """
    found: dict[str, list[Solved]] = {name: [] for name in vectors}
    wanted: dict[Application, list[Asked]] = {}
    for each in asked:
        wanted.setdefault(each.application(vectors[each.vector].layer), []).append(each)
    for application, group in wanted.items():
        check_touched(application.timing, prompts)
        ready = at_layer(application.layer)

        def measure(
            pushes: Sequence[tuple[str, float]],
            application: Application = application,
            ready: CalibrationPrompts = ready,
        ) -> list[float]:
            made = [
                push(vectors[name], application.rule, each, "absolute", application.timing, UNSCALED, sae)
                for name, each in pushes
            ]
            return ready.kl([replace(each, layer=application.layer) for each in made])

        for target in dict.fromkeys(each.target for each in group):
            names = dict.fromkeys(each.vector for each in group if each.target == target)
            signs = dict.fromkeys(names, (1 if target > 0 else -1,))
            scanned = scan(measure, signs, reach(application.layer))
            for name, solved in solve(measure, scanned, target, application).items():
                found[name].append(solved)
    return found


UNSCALED = Scale("", 1.0, {})
"""For lengths, which are absolute."""


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
