"""CASAL (2510.02324) with its own labels: what the agent can do and what it can't, by its own success.

Each development task is tried several times (`vectors.episodes`): known if seven in ten of its episodes reach the goal,
unknown if seven in ten don't, else left out. The vector is the mean row of unknown tasks less that of known ones, at
the last token of the task, before the agent goes on. As in `casal`, the layer's MLP learns to add it where its input
says that a task is unknown, and to take it away where known, so that the two lie farther apart. It knows no trait.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.forward.sites import Site
from trimtab.steering.edits import Edits
from trimtab.vectors.contract import Material
from trimtab.vectors.methods.casal import amortised
from trimtab.vectors.unmade import CannotBeMade

LABEL = "CASAL, known and unknown"
SENTENCE = (
    "The down-projection of the MLP at the probe's layer is changed by a matrix of rank one, so that development tasks "
    "that the agent mostly fails and those in which it mostly succeeds lie farther apart; it knows no trait."
)
SOURCE = "CASAL, 2510.02324"
MAKES = "edits"
NEEDS = "episodes"
GROUPS = "episodes"

SHARE = 0.7
"""Of a task's episodes that must end alike: the paper's seven of ten."""


@dataclass(frozen=True)
class Settings:
    module: str = "mlp.down_proj"
    """The linear module of a layer whose weight is changed, as that layer calls it."""


def make(material: Material) -> Edits:
    site = Site(material.layer, material.own(Settings).module)
    inputs, stream = _tasks(material, site.inputs), _tasks(material, material.sites.at(material.layer))
    unknown, known = (
        [task for task, (_, share) in inputs.items() if (share if good else 1 - share) >= SHARE]
        for good in (False, True)
    )
    if min(len(unknown), len(known)) < 2:
        raise CannotBeMade(
            f"CASAL of {material.trait}, by success: of {len(inputs)} development tasks, {len(known)} are known and "
            f"{len(unknown)} unknown to the agent; it needs two of each"
        )
    high, low = (torch.stack([inputs[task][0] for task in tasks]) for tasks in (unknown, known))
    vector = torch.stack([stream[task][0] for task in unknown]).mean(0)
    vector = vector - torch.stack([stream[task][0] for task in known]).mean(0)
    # every other task of a class chooses the penalty
    kept = torch.tensor([at % 2 == 1 for tasks in (unknown, known) for at in range(len(tasks))])
    return amortised(site, vector, high, low, kept)


def _tasks(material: Material, site: Site) -> dict[str, tuple[Float[Tensor, "width"], float]]:
    """Of each task, the row at its last token, and the share of episodes that reach its goal."""
    rows: dict[str, Tensor] = {}
    ends: dict[str, list[bool]] = {}
    for episode in material.readings.episodes(site):
        task = episode.played.scenario_id
        # what comes before is the same in all of a task's episodes
        last = int((~episode.places.written & episode.places.last).nonzero()[0])
        rows.setdefault(task, episode.rows[last].double())
        ends.setdefault(task, []).append(episode.played.success)
    return {task: (row, sum(ends[task]) / len(ends[task])) for task, row in rows.items()}
