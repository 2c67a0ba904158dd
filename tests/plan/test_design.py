"""What a config can't answer, by hand."""

from pathlib import Path

import pytest
import yaml

from trimtab.plan.design import doubts
from trimtab.settings.experiment import Experiment

DEFAULT = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())


def told(**changes):
    return list(doubts(Experiment.model_validate(DEFAULT | changes)))


def able(**changes):
    design = {
        "vectors": DEFAULT["vectors"] | {"chance_draws": 50, "random_draws": 4},
        "rollouts": DEFAULT["rollouts"] | {"controls": DEFAULT["rollouts"]["controls"] | {"random": 4}},
    }
    return told(**design | changes)


def test_the_default_design_can_answer():
    assert told() == []


def test_a_design_that_can_answer_is_told_nothing():
    # five traits: 20 directions in rollouts, of which a rank has 1 / 21; in decisions 50 of each kind a trait: 5 / 101
    assert able() == []


def test_ranks_among_few_directions():
    few = DEFAULT["rollouts"]["controls"] | {"random": 3}
    found = told(
        vectors=DEFAULT["vectors"] | {"chance_draws": 49, "random_draws": 4},
        rollouts=DEFAULT["rollouts"] | {"controls": few},
    )
    assert [line.split(":")[0] for line in found] == ["rollouts.controls.random", "vectors.chance_draws"]
    assert "among 15 random direction(s) has a p of 0.062 at least, corrected, so" in found[0]
    assert "expected 19 or more" in found[0]
    assert "p of 0.051 at least, corrected over 5 traits" in found[1]
    assert "expected 99 or more" in found[1]


def test_ranks_in_decisions_are_among_directions_of_both_kinds():
    """98: what 49 of each come to, or 92 vectors of one kind and 6 of the other."""
    changed = {"chance_draws": 6, "random_draws": 92}
    (line,) = able(vectors=DEFAULT["vectors"] | changed | {"methods": ["behaviour", "random"]})
    assert line.startswith("vectors.chance_draws: a rank among 98 random direction(s)")
    assert able(vectors=DEFAULT["vectors"] | changed) == []


@pytest.mark.parametrize(("scenarios", "lines"), [(7, 1), (8, 0)])
def test_few_scenarios(scenarios, lines):
    """Of seven the least p is 2 / 2^7, five times that 0.078; of eight it is 0.039."""
    found = able(prompts=DEFAULT["prompts"] | {"scenarios": scenarios})
    assert len(found) == lines
