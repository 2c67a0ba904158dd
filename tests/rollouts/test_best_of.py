"""The best of n by a score: held to the expected maxima of normal draws, and to counting all choices."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch

from trimtab.agent.played import Played
from trimtab.rollouts.best_of import SCORE, chosen, score, table
from trimtab.steering.places import Places, cue, written
from trimtab.vectors.asked import OwnEpisode
from trimtab.vectors.contract import LinearProbe


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_the_chance_to_be_the_best_is_counted_over_all_choices(k):
    scores = np.array([0.3, -1.0, 2.0, 0.5, 0.1])
    all_of_them = [max(some, key=scores.__getitem__) for some in combinations(range(5), k)]
    expected = [all_of_them.count(at) / len(all_of_them) for at in range(5)]
    np.testing.assert_allclose(chosen(scores, k), expected)


def test_of_equal_scores_one_is_chosen_all_the_same():
    assert chosen(np.zeros(3), 3).tolist() == [0, 0, 1]


def measured(values):
    """An outcome of scenarios by episodes, whose rows come in another order."""
    rows = [
        {"scenario_id": f"s{at:04d}", "seed": run, "asks": value}
        for at, own in enumerate(values)
        for run, value in enumerate(own)
    ]
    return pd.DataFrame(rows[::-1])


@pytest.mark.slow
def test_expected_maxima_of_normal_draws():
    """One of n = 1 is the base; of two and of four, 0.5642 and 1.0294 (their order statistics' means)."""
    scores = np.random.default_rng(3).standard_normal((4000, 8))
    found = table({"autonomy": scores}, {"autonomy": ["asks"]}, measured(scores), 200, 0.95, 5)
    for name in (SCORE, "asks"):
        own = found[found["outcome"] == name].set_index("n")
        base = own["baseline_mean"]
        assert own.loc[1, ["estimate", "lower", "upper"]].tolist() == pytest.approx([0, 0, 0], abs=1e-12)
        for k, expected in ((2, 0.5642), (4, 1.0294)):
            assert own.loc[k, "estimate"] + base[k] == pytest.approx(expected, abs=0.02)
            assert own.loc[k, "lower"] < own.loc[k, "estimate"] < own.loc[k, "upper"]
        # what was drawn is the whole: the best of all is the largest of each
        assert own.loc[8, "estimate"] + base[8] == pytest.approx(scores.max(axis=1).mean())


def test_an_outcome_that_the_score_says_nothing_of_does_not_move():
    random = np.random.default_rng(4)
    scores, values = random.standard_normal((300, 4)), random.standard_normal((300, 4))
    found = table({"autonomy": scores}, {"autonomy": ["asks"]}, measured(values), 500, 0.95, 5)
    (own,) = found[(found["outcome"] == "asks") & (found["n"] == 4)].to_dict("records")
    assert own["lower"] < 0 < own["upper"]


def test_a_score_is_the_log_odds_before_calls_by_hand():
    probe = LinearProbe(torch.tensor([2.0, 6.0]), torch.tensor([1.0, 0.0]), torch.tensor([1.0, 2.0]), 0.5)
    at = [*cue(2, 0, ends_prompt=True, calls=True), *written(1), *cue(1, 1, ends_prompt=True, calls=True)]
    rows = torch.tensor([[9.0, 9.0], [1.0, 1.0], [9.0, 9.0], [2.0, 3.0]])
    episode = OwnEpisode(
        Played("s", 0, True, 2, [1, 2, 3, 4], at, [0] * 4), ["a"] * 4, Places.of(torch.tensor(at)), rows
    )
    # 2 (1 - 1) + 3 (1) + 0.5 and 2 (2 - 1) + 3 (3) + 0.5
    assert score(episode, probe) == pytest.approx((3.5 + 11.5) / 2)
    silent = episode._replace(places=Places.of(torch.tensor(written(4))), rows=rows[:1].expand(4, 2))
    assert score(silent, probe) == pytest.approx(2 * 8 + 3 * 9 + 0.5)
