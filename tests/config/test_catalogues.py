"""The config offers what there is: names in the settings' types are those of the catalogues that say what each does."""

from contextlib import nullcontext
from typing import get_args

import pytest
from pydantic import ValidationError

from trimtab.agent.names import FIRST_ACTION
from trimtab.rollouts.outcomes import OUTCOMES
from trimtab.settings import gates, outcomes, rollouts, vectors
from trimtab.steering.catalogue import AS_MADE, FIRST, GATES, REMEMBERS, RULES
from trimtab.steering.catalogue import TIMINGS as TOLD
from trimtab.vectors.baselines import BASELINES
from trimtab.vectors.drawn import KINDS
from trimtab.vectors.units import UNITS

NEVER_ASKED = {"none", "last_cue", "all_but_last_cue"}
"""Timings of the project's own checks and of conditions without a vector."""


@pytest.mark.parametrize(
    ("choice", "catalogue"),
    [
        (rollouts.Rule, RULES.keys() - {AS_MADE}),
        (rollouts.Unit, UNITS),
        (rollouts.RandomKind, KINDS),
        (vectors.Baseline, BASELINES),
        (gates.GateKind, GATES),
        (gates.EditGate.model_fields["remembers"].annotation, REMEMBERS),
    ],
    ids=["rules", "units", "random directions", "baselines", "gates", "memories"],
)
def test_every_choice_is_told_and_nothing_else_is(choice, catalogue):
    assert len(get_args(choice)) == len(catalogue)
    assert set(get_args(choice)) == set(catalogue)


def test_the_outcomes_that_a_config_may_name_are_those_that_are_counted():
    assert outcomes.names() == list(OUTCOMES)


def test_timings_are_told_and_those_that_are_not_offered_are_named_here():
    assert set(rollouts.TIMINGS) == set(TOLD) - NEVER_ASKED - {"decode_<number>"}
    assert set(get_args(rollouts.StudyTiming)) < set(rollouts.TIMINGS)


@pytest.mark.parametrize(
    ("name", "known"), [("decode_4", True), ("decode_10", True), ("decode_0", False), ("decode_1\u0663", False)]
)
def test_a_number_of_tokens_is_read_alike(name, known):
    """\u0663 is a three, in Arabic digits."""
    block = {"timings": [name]}
    with nullcontext() if known else pytest.raises(ValidationError):
        rollouts.GridBlock.model_validate(block)
    assert (FIRST.fullmatch(name) is not None) == known


def test_only_outcomes_have_a_first_action():
    assert set(FIRST_ACTION) < set(OUTCOMES)


def test_every_protocol_says_what_its_agent_writes():
    limits = {key for key in rollouts.EpisodeSettings.model_fields if key.endswith("_tokens")}
    assert set(rollouts.WRITTEN) == set(get_args(rollouts.Protocol))
    assert {limit for some in rollouts.WRITTEN.values() for limit in some} == limits
