"""Directional ablation (Arditi et al. 2024) as weights: no matrix that writes to the stream can write the direction.

`W' = W - u (u W)` for the last matrix of each attention and MLP. Embeddings lose it in the stream before the first
layer, which is the same, biases what they hold of it, and what is no one matrix, as a mixture of experts is, at its
output, so all together compute what `ablation_everywhere` computes. With setting `whole: false` the matrices alone are
left, which leave as an adapter or an edited model; what all else writes of the direction stays.
"""

from dataclasses import dataclass

from trimtab.steering.changes import Add, LowRank, ProjectOut
from trimtab.steering.edits import Edit, Edits
from trimtab.vectors import ablated
from trimtab.vectors.contract import Material

LABEL = "Orthogonalised weights"
SENTENCE = (
    "The matrices that write to the stream are made orthogonal to the mean difference of the poles at one layer, which "
    "is chosen as for directional ablation, so that none can write it."
)
SOURCE = "Arditi et al. 2024"
MAKES = "edits"
NEEDS = "actions"


@dataclass(frozen=True)
class Settings:
    whole: bool = True
    """Whether what is no matrix loses the direction as well: embeddings, biases, mixtures of experts."""


def make(material: Material) -> Edits:
    _, unit = ablated.chosen(material)
    readings, wide = material.readings, unit.double()
    weights, rest = [], list(ablated.everywhere(unit, readings)[:1])
    for writer in readings.writers:
        if not writer.inputs:
            rest.append(Edit(writer.site, ProjectOut(unit), 1.0))
            continue
        reads = wide @ readings.weight(writer.site).double()
        weights.append(Edit(writer.site, LowRank(-unit[:, None], reads[None].float()), 1.0))
        if along := float(wide @ readings.bias(writer.site).double()):
            rest.append(Edit(writer.site, Add(unit), -along))
    return (*rest, *weights) if material.own(Settings).whole else tuple(weights)
