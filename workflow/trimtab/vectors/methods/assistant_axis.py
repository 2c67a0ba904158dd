"""The Assistant Axis (2601.10387): rows are kept from drifting away from the assistant, at several layers.

The axis is the mean row of the assistant as it is, less the mean of the same agent in many roles (roles.yaml of the
resources). Where a row lies lower along it than a quarter of the assistant's own rows do, it is raised to there; all
other rows stay. The paper has hundreds of roles, and the rows of whole answers that a judge found to be in their role;
here they are of what is written in calibration prompts, a thought that leans nowhere, under each role's line, and the
layers are the hooked ones between 0.7 and 0.9 of the model's depth, as in the paper's two models. It knows no trait, so
that a trait's conditions say what keeping the persona does to it.
"""

from dataclasses import dataclass

import torch

from trimtab.forward.sites import Site
from trimtab.settings.base import Percent
from trimtab.steering.changes import Floor
from trimtab.steering.edits import Edit, Edits
from trimtab.vectors.contract import ROUNDING, Material
from trimtab.vectors.unmade import CannotBeMade

LABEL = "Assistant Axis"
SENTENCE = (
    "Rows that lie lower along the direction from roles to the default persona than a quarter of the assistant's own "
    "rows do are raised to there, at several layers; the method knows no trait."
)
SOURCE = "inspired by the Assistant Axis, 2601.10387"
MAKES = "edits"
NEEDS = "roles"

FROM, TO = 0.7, 0.9
"""Of the model's depth, where the paper's layers lie."""


@dataclass(frozen=True)
class Settings:
    percentile: Percent = 25.0
    """Of the assistant's own rows along the axis: where the floor lies."""


def make(material: Material) -> Edits:
    percentile = material.own(Settings).percentile
    depth, hooked = material.readings.layers, material.rows.layers
    layers = [layer for layer in hooked if FROM <= (layer + 1) / depth <= TO]
    # of a model with few hooked layers the one nearest to the middle of these
    layers = layers or [min(hooked, key=lambda layer: abs((layer + 1) / depth - (FROM + TO) / 2))]
    personas = material.readings.personas([Site(layer) for layer in layers])
    found = []
    for site, (assistant, roles) in personas.items():
        axis = assistant.double().mean(0) - roles.double().mean(0)
        norm = float(axis.norm())
        if norm <= ROUNDING * float(assistant.double().norm(dim=1).mean()):
            raise CannotBeMade(f"Assistant Axis, layer {site}: the assistant's mean row is that of the roles")
        along = assistant.double() @ axis / norm
        floor = float(torch.quantile(along, percentile / 100))
        found.append(Edit(site, Floor((axis / norm).float(), floor), 1.0))
    return tuple(found)
