"""Refusals of gates: each by itself, and those of a block of the grid beside what the block steers.

What only a job can know (a latent of somebody's own dictionary, the layer where a probe sits) is told there
(`trimtab.vectors.gates`).
"""

import re
from collections.abc import Iterator

from trimtab.settings.experiment import Experiment
from trimtab.settings.gates import NEEDS, EditGate
from trimtab.settings.rollouts import ALWAYS, GridBlock, Rollouts
from trimtab.vectors.methods import makes_edits

GATE_NAME = re.compile(r"[a-z][a-z0-9_]*")


def refusals(key: str, gate: EditGate, experiment: Experiment) -> Iterator[str]:
    """Each kind needs its own keys and takes no others."""
    name, layers, saes = key.rpartition(".")[2], experiment.layers, experiment.saes
    if name == ALWAYS or not GATE_NAME.fullmatch(name):
        yield f"{key}: {name} is no name for a gate; expected small letters, digits and _, and not {ALWAYS}"
    given, needed = gate.record(), ", ".join(NEEDS[gate.kind])
    for name in NEEDS[gate.kind]:
        if given.get(name) is None:
            yield f"{key}.{name}: missing; a gate of kind {gate.kind} needs {needed}"
    for name in given.keys() - {"kind", "remembers", *NEEDS[gate.kind]}:
        yield f"{key}.{name}: {given[name]}, and a gate of kind {gate.kind} has {needed}"
    if gate.layer is not None and gate.layer not in layers:
        yield f"{key}.layer: {gate.layer} is not among layers ({', '.join(map(str, layers))})"
    elif gate.layer is not None and gate.latent is not None and not saes.pretrained:
        latents = saes.of_layer(gate.layer).latents
        if gate.latent >= latents:
            yield f"{key}.latent: {gate.latent}; the dictionary of layer {gate.layer} has {latents}"
    if gate.kind == "probe" and gate.above is not None and not 0 < gate.above < 1:
        yield f"{key}.above: {gate.above} is no probability between 0 and 1"


def of_block(key: str, block: GridBlock, rollouts: Rollouts) -> Iterator[str]:
    """Gates that there are, that read no later layer than is steered, and along vectors where these are."""
    own = [method for method in block.methods or (rollouts.study.method,) if makes_edits(method)]
    for name in block.gates or ():
        if name == ALWAYS:
            continue
        gate = rollouts.gates.get(name)
        if gate is None:
            known = ", ".join((ALWAYS, *rollouts.gates))
            yield f"{key}.gates: {name} is not among rollouts.gates ({known})"
            continue
        for layer in block.layers or ():
            if gate.layer is not None and gate.layer > layer:
                yield (
                    f"{key}.gates: {name} reads after layer {gate.layer}, and {key}.layers has {layer}; a gate reads "
                    "where it steers or before"
                )
        for method in own if gate.kind == "projection" else ():
            yield f"{key}.gates: {name}, and {method} makes edits and no vector, along which rows could lie"
