"""Where a noisy score that rises passes a target: probabilistic bisection.

A distribution over the places is held, its median is tried, and what is seen there changes it. Endogenous Resistance
(2602.06941) finds the boosts of its latents so, and lets a score s of one trial say that the place lies below with the
probability that a Beta(1/2 + 5 s, 1/2 + 5 (1 - s)) variable lies above the target, as if it were five answers. Near the
place, where the bisection soon is, that narrows the distribution as fast as anywhere, though answers there say nothing:
of 200 simulated places, with five answers a trial, nine tenths of it held 61 in a hundred. So here the score is
believed to be a logistic curve of unknown place and steepness, and a trial counts as so many answers of yes or no with
the curve's chance of yes, of which nine tenths held 90.
"""

import math

import torch

PLACES = 400
"""Of the grid, between 0 and 1."""
STEEPNESS = torch.logspace(-1, 2, 16, dtype=torch.float64)
"""By how many log-odds a curve may rise from 0 to 1; each is as likely as the others before anything is seen."""
INTERVAL = 0.9
"""How much of the distribution lies between `lower` and `upper`."""


class Bisection:
    """What is known of the place between 0 and 1 where a score between 0 and 1, which rises, is `target`."""

    def __init__(self, target: float) -> None:
        self._places = (torch.arange(PLACES, dtype=torch.float64) + 0.5) / PLACES
        self._at_place = math.log(target / (1 - target))
        self._log_weight = torch.zeros(len(STEEPNESS), PLACES, dtype=torch.float64)

    def see(self, tried: float, score: float, answers: int) -> None:
        """Take in the mean score of so many answers at a place.

        Trials near the target can't tell a flat curve from a steep one, so both ends are to be seen first.
        """
        odds = self._at_place + STEEPNESS[:, None] * (tried - self._places)
        yes, no = (torch.nn.functional.logsigmoid(each) for each in (odds, -odds))
        self._log_weight += answers * (score * yes + (1 - score) * no)

    @property
    def median(self) -> float:
        """The estimate, and the place to try next."""
        return self._quantile(0.5)

    @property
    def interval(self) -> tuple[float, float]:
        """Where the place lies with probability `INTERVAL`."""
        return self._quantile((1 - INTERVAL) / 2), self._quantile((1 + INTERVAL) / 2)

    def _quantile(self, share: float) -> float:
        weight = self._log_weight.flatten().softmax(0).reshape(self._log_weight.shape).sum(0)
        # rounding may leave the whole a little below 1
        above = (weight.cumsum(0) >= share * weight.sum()).nonzero()
        return float(self._places[int(above[0, 0])])
