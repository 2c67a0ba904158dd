"""The agent's drift along an axis: by hand, and where its episodes are of unlike length."""

import pandas as pd
import pytest
import torch
from material_of import generator

from trimtab.agent.played import Played
from trimtab.steering import places
from trimtab.steering.places import Places
from trimtab.vectors import drift
from trimtab.vectors.asked import OwnEpisode

E1 = torch.tensor([1.0, 0.0])


def episode(task, *told):
    """Of each turn one given token, which lies far off, and the agent's own at these places along the first axis."""
    where, turn, along = [], [], []
    for at, own in enumerate(told):
        where += [*places.given(places.USER, 1, ends_prompt=True), *places.written(len(own))]
        turn += [at] * (1 + len(own))
        along += [99.0, *own]
    rows = torch.stack([torch.tensor(along), torch.full((len(along),), 7.0)], dim=1)
    played = Played(task, 0, True, len(told), [*range(len(along))], where, turn)
    return OwnEpisode(played, [""] * len(along), Places.of(torch.tensor(where)), rows)


def table(*episodes, floor=2.0, draws=500):
    return drift.table(3, floor, [*drift.turns(episodes, E1, floor)], draws, 0.95, 0).set_index("turn")


def test_a_turn_is_told_by_the_agents_own_tokens():
    (first, second) = drift.turns([episode("a", [1.0, 3.0, 2.0], [4.0])], E1, 2.0)
    assert first == ("a", 0, 0, pytest.approx(2.0), pytest.approx(1 / 3))
    assert second == ("a", 0, 1, 4.0, 0.0)


def test_a_turn_is_compared_with_the_first_of_the_same_episodes():
    """Task a has two episodes, one of which ends at once, from 8; what goes on falls by 1 and by 3."""
    found = table(episode("a", [8.0]), episode("a", [5.0], [4.0]), episode("b", [1.0], [-2.0]))
    assert found["n_episodes"].tolist() == [3, 2]
    assert found["n_scenarios"].tolist() == [2, 2]
    # (6.5 + 1) / 2, then (4 - 2) / 2: a fall of 2.75, most of which is that an episode is gone
    assert found["projection"].tolist() == [3.75, 1.0]
    assert found["estimate"].tolist() == [0.0, -2.0]
    assert found["below"].tolist() == [0.5, 0.5]
    assert found.loc[1, ["lower", "upper"]].tolist() == [-3.0, -1.0]
    assert found.loc[0, ["lower", "upper"]].tolist() == [0.0, 0.0]
    assert found["layer"].unique().tolist() == [3]


def test_a_planted_fall_is_found_within_its_interval():
    noise = torch.randn(12, 3, 5, generator=generator(0))
    own = [episode(f"t{at}", *(each - 0.5 * turn for turn, each in enumerate(rows))) for at, rows in enumerate(noise)]
    found = table(*own)
    error = (2 / (12 * 5)) ** 0.5
    for turn in (1, 2):
        estimate, lower, upper = found.loc[turn, ["estimate", "lower", "upper"]]
        assert estimate == pytest.approx(-0.5 * turn, abs=3 * error)
        assert lower < estimate < upper
        assert upper - lower == pytest.approx(2 * 1.96 * error, rel=0.5)
    assert found.loc[2, "upper"] < 0


def test_columns_are_those_of_a_row():
    assert isinstance(table(episode("a", [1.0])), pd.DataFrame)
    assert drift.COLUMNS[-3:] == ["estimate", "lower", "upper"]
