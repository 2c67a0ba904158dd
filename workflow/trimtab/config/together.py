"""What a block of the grid may apply at once (`also`), checked before the first job.

All that is named must be made, each once, and no part may undo another. Which parts do is known here by their names
alone; the rollouts' jobs look at the tensors (`trimtab.steering.exclusion`).
"""

import math
from collections.abc import Iterator

from trimtab.settings.experiment import Experiment
from trimtab.settings.rollouts import GridBlock
from trimtab.steering.catalogue import ALONG, EDIT_CODE, FITTED_AT_ONE_LAYER
from trimtab.vectors.design import Also, combinations
from trimtab.vectors.drawn import KINDS
from trimtab.vectors.methods import gives_code, makes_edits, removes


def refusals(key: str, block: GridBlock, experiment: Experiment) -> Iterator[str]:
    """A line for each thing that can't be applied as well.

    Args:
        key: of the block's `also`.
    """
    others = [Also.of(text) for text in block.also or ()]
    found = [line for other in others for line in _of_one(other, experiment)]
    if experiment.rollouts.unit == "probability":
        found.append(f"{', '.join(block.also or ())} with rollouts.unit probability, which one vector alone is set by")
    # only what is made can meet; draws that are not made are refused elsewhere, and may be too many to be gone through
    if not found and experiment.rollouts.controls.random <= experiment.vectors.random_draws:
        found = [*dict.fromkeys(_meeting(block, experiment))]
    yield from (f"{key}: {line}" for line in found)


def _of_one(other: Also, experiment: Experiment) -> Iterator[str]:
    made, traits, draws = experiment.vectors.methods, experiment.probes.traits, experiment.vectors.random_draws
    kinds = [kind for kind in KINDS if kind in made]
    kind, _, draw = other.method.rpartition("_")
    if other.method in kinds:
        yield f"{other}: random directions are named with their draw, {other.method}_0 to {other.method}_{draws - 1}"
    elif kind in kinds and draw.isdecimal():
        if int(draw) >= draws or other.method != f"{kind}_{int(draw)}":
            yield f"{other}: draw {draw} is none of the {draws} {kind} direction(s) made (vectors.random_draws)"
    elif other.method not in made:
        yield f"{other}: {other.method} is not among vectors.methods ({', '.join(made)})"
    if other.trait not in traits:
        yield f"{other}: {other.trait} is not among probes.traits ({', '.join(traits)})"
    if other.gate and other.gate not in experiment.rollouts.gates:
        yield f"{other}: {other.gate} is no rule, nor among rollouts.gates ({', '.join(experiment.rollouts.gates)})"
    if other.layer is not None and other.layer not in experiment.layers:
        yield f"{other}: {other.layer} is not among layers ({', '.join(map(str, experiment.layers))})"
    if makes_edits(other.method) and (other.layer is not None or other.own_rule):
        yield f"{other}: {other.method} makes edits of its own, which have their layers and rules"
    elif other.own_rule == EDIT_CODE and other.method in made and not gives_code(other.method):
        yield f"{other}: rule {EDIT_CODE} edits the latents that a vector is decoded from, and {other.method} has none"
    if other.layer is not None and other.own_rule in FITTED_AT_ONE_LAYER:
        yield f"{other}: rule {other.own_rule} needs what is known of a vector's own layer; leave the layer out"
    if other.dose == 0:
        yield f"{other}: a dose of 0 applies nothing; leave it out"
    # an id must name the dose
    elif not math.isfinite(other.dose) or Also.of(str(other)).dose != other.dose:
        yield f"{other}: a dose has six digits at most"


def _meeting(block: GridBlock, experiment: Experiment) -> Iterator[str]:
    """What parts of one condition do to one another."""
    for trait in block.traits or experiment.probes.traits:
        for each in combinations(block, experiment.rollouts):
            own = Also(each.vector_name, trait, each.dose)
            parts = [(own, each.rule), *((other, other.rule) for other in each.also)]
            for at, (later, _) in enumerate(parts):
                for earlier, rule in parts[:at]:
                    if (later.method, later.trait) == (earlier.method, earlier.trait):
                        yield (
                            f"{later.method}.{later.trait} is applied twice, at {earlier.dose:g} and at "
                            f"{later.dose:g}; expected each vector once"
                        )
                    elif _undoes(later, earlier, rule):
                        yield f"{later} leaves nothing of {earlier}, which is applied before it"


def _undoes(later: Also, earlier: Also, rule: str) -> bool:
    """Whether edits take away all that a vector of the same trait does before them, wherever it does it."""
    removed = "" if later.gate else removes(later.method)
    return (later.trait, later.dose) == (earlier.trait, 1) and rule in ALONG and removed == earlier.method
