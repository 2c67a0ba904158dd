"""Traits that first actions must show, for methods and units that go by the agent's next action.

What counts for a trait there is its declared outcome, or its own measure in the resources (decisions.yaml), so this is
asked when resources have been read; all that a config says by itself is `trimtab.config.check`'s.
"""

from collections.abc import Collection, Iterator

from trimtab.agent.names import FIRST_ACTION
from trimtab.artifacts.schemas import listed
from trimtab.settings.experiment import Experiment
from trimtab.vectors.methods import needs


def unseen(experiment: Experiment, measured: Collection[str]) -> Iterator[str]:
    """One line a trait that none of the agent's next actions shows, where something goes by them.

    Args:
        measured: traits that have a measure in decisions.yaml.
    """
    vectors, primary = experiment.vectors, experiment.statistics.primary
    by = [f"{method} in vectors.methods" for method in vectors.methods if "actions" in needs(method)]
    by += ["rollouts.unit: chance"] if experiment.rollouts.unit == "chance" else []
    hidden = [
        trait for trait in experiment.probes.traits if trait not in measured and primary[trait] not in FIRST_ACTION
    ]
    for trait in hidden if by else []:
        yield (
            f"statistics.primary.{trait}: {primary[trait]} can't be told from an agent's first action, which {by[0]} "
            f"needs; expected an entry {trait} under `measures` of decisions.yaml, or one of {listed(FIRST_ACTION)}"
        )
