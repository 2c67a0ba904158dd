"""What a design can't answer, told before it is run: from the config alone.

A rank among few random directions has no small p, and a permutation test over few scenarios has none either; corrected
over traits, both may never reach the level of the tests. Whether the unsteered agent leaves outcomes room is told by
the model, in `trimtab.agent.room`.
"""

from collections.abc import Iterator

from trimtab.settings.experiment import Experiment
from trimtab.vectors.drawn import KINDS


def doubts(experiment: Experiment) -> Iterator[str]:
    """A line for each question that the design leaves open whatever comes out."""
    statistics, rollouts, vectors = experiment.statistics, experiment.rollouts, experiment.vectors
    traits, alpha = len(experiment.probes.traits), 1 - statistics.level
    # in rollouts ranks are among all traits' directions of one kind, in decisions among a trait's of both
    in_rollouts = traits * rollouts.controls.random
    in_decisions = sum(
        max(vectors.random_draws if kind in vectors.methods else 0, vectors.chance_draws) for kind in KINDS
    )
    for key, draws, tests in (
        ("rollouts.controls.random", in_rollouts, 1),
        ("vectors.chance_draws", in_decisions, traits),
    ):
        least = tests / (draws + 1)
        if least > alpha:
            among = f" over {tests} traits" if tests > 1 else ""
            yield (
                f"{key}: a rank among {draws} random direction(s) has a p of {least:.2g} at least, corrected{among}, "
                f"so no vector can be told from chance at {alpha:.2g}; expected {round(tests / alpha) - 1} or more"
            )
    # all signs of all scenarios' differences alike, two-sided
    least = traits * 2.0 ** (1 - experiment.prompts.scenarios)
    if least > alpha:
        yield (
            f"prompts.scenarios: over {experiment.prompts.scenarios} the permutation test has a p of {least:.2g} at "
            f"least, corrected over {traits} traits, so no effect can be shown at {alpha:.2g}"
        )
