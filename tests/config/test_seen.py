"""Which traits need an outcome that first actions show, and which have a measure of their own."""

from pathlib import Path

import pytest
import yaml

from trimtab.config.seen import unseen
from trimtab.settings.experiment import Experiment

DEFAULT = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())
HIDDEN = {**DEFAULT["statistics"], "primary": {**DEFAULT["statistics"]["primary"], "autonomy": "success"}}


def told(methods, unit="kl", statistics=HIDDEN, measured=()):
    changes = {
        "vectors": {**DEFAULT["vectors"], "methods": methods},
        "rollouts": {**DEFAULT["rollouts"], "unit": unit},
        "statistics": statistics,
    }
    return [*unseen(Experiment.model_validate(DEFAULT | changes), measured)]


@pytest.mark.parametrize(
    ("methods", "unit", "by"),
    [
        (["sae_probe", "gradient"], "kl", "gradient in vectors.methods"),
        (["specific_behaviour"], "kl", "specific_behaviour in vectors.methods"),
        (["sae_probe"], "chance", "rollouts.unit: chance"),
    ],
)
def test_an_outcome_that_no_first_action_shows_is_told_once(methods, unit, by):
    (line,) = told(methods, unit)
    assert line.startswith(
        f"statistics.primary.autonomy: success can't be told from an agent's first action, which {by} needs; expected "
        "an entry autonomy under `measures` of decisions.yaml, or one of asks, asked, "
    )


def test_nothing_is_told_where_nothing_goes_by_actions_or_they_show_the_trait():
    assert told(["sae_probe", "mean_difference"]) == []
    assert told(["behaviour"], statistics=DEFAULT["statistics"]) == []
    assert told(["behaviour"], measured=["autonomy"]) == []
