"""Training of what methods learn through the model: one loop for all of them, with one budget.

A method says what it learns and by which loss (`trimtab.vectors.objective`); `learned` trains it and gives what it had
where its loss on pairs kept for choosing was lowest. Pairs of split fit alone are trained on, and no scenario is
anywhere near. All trainings have the same budget of prompts that are read with a gradient, so one that reads more of
them a pair has fewer steps. A step's gradient is a mean over its pairs, which are summed in a fixed order part by part,
so that the parts that a batch is cut into change only the last digits. Adam's rate rises over the first steps and falls
as a cosine. The state is kept on disk (`trimtab.saes.checkpoint`): a killed job goes on at the step where it was, with
the same bits.
"""

import logging
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from trimtab import seeds
from trimtab.jobs.progress import track
from trimtab.saes.checkpoint import Saved
from trimtab.vectors.contract import Material
from trimtab.vectors.cost import Cost
from trimtab.vectors.curves import Looked
from trimtab.vectors.objective import Course, Learned, Objective, Plan
from trimtab.vectors.unmade import CannotBeMade

LOG = logging.getLogger(__name__)

WARM_SHARE = 0.1
"""Share of the steps over which the rate rises."""


def learned(material: Material, objective: Objective) -> dict[str, Tensor]:
    """What an objective comes to, at the material's site and on its pairs.

    Raises:
        CannotBeMade: there are no pairs to train on or none to choose by, nothing is written in them, or a loss is not
            finite.
    """
    if all(material.selecting) or not any(material.selecting):
        raise CannotBeMade(f"training for {material.trait}: it needs pairs in both splits fit and select")
    found = material.readings.train(objective, material.training, material.selecting, material.seed)
    material.training.trained.append(found)
    return found.own


def order(pairs: Sequence[int], size: int, seed: int) -> list[list[int]]:
    """Pairs, dealt to batches of a size; the last one holds what is left."""
    drawn = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seeds.derive(seed, "batches"))).tolist()
    return [[pairs[at] for at in drawn[first : first + size]] for first in range(0, len(pairs), size)]


def drawn(pairs: Sequence[int], most: int, seed: int) -> list[int]:
    """Some of the pairs, in their order; all where there are no more than `most`."""
    return sorted(order(pairs, most, seed)[0])


def train(objective: Objective, course: Course, plan: Plan, seed: int, aimless: bool = False) -> Learned:
    """Train on the batches, all of them in another order each time, until the budget is spent or nothing is gained.

    Args:
        aimless: labels are shuffled, so that the start, which is nothing, is likely best: what is left is of a later
            look.

    Raises:
        CannotBeMade: a loss is not finite.
        Stopped: the job was asked to stop; the state is kept.
    """
    number = len(plan.trained)
    checkpoint = plan.checkpoint(number) if plan.checkpoint else None
    run = _Run(objective, course, plan, seed, number, aimless)
    if checkpoint and (saved := checkpoint.read()):
        run.restore(saved)
    for _ in track(range(run.step, run.steps + 1), run.steps + 1 - run.step, "training"):
        if run.done or run.looked():
            break
        run.take()
        if checkpoint and checkpoint.due():
            checkpoint.write(run.step, run.state, run.rows)
    if checkpoint:
        # trainings after this one begin from here
        checkpoint.write(run.step, run.state, run.rows)
    return run.left()


class _Run:
    """A training under way."""

    def __init__(self, objective: Objective, course: Course, plan: Plan, seed: int, number: int, aimless: bool) -> None:
        self._objective, self._course, self._plan, self._seed, self._number = objective, course, plan, seed, number
        self._aimless = aimless
        pairs = [sum(part.pairs for part in batch) for batch in course.batches]
        self._passes = [objective.passes * each for each in pairs]
        self.steps = self._affordable(plan.passes)
        self.step = self._spent = 0
        self.own = {name: value.detach().float().clone().requires_grad_() for name, value in objective.start.items()}
        self._best = {name: value.detach().clone() for name, value in self.own.items()}
        self._adam = torch.optim.AdamW(
            list(self.own.values()), objective.rate, weight_decay=objective.decay, foreach=False
        )
        self._since = torch.zeros(2, dtype=torch.float64)
        """Sum of the losses since the last look, and of how many steps."""
        self.curve: list[Looked] = []
        self.done = False

    def _affordable(self, budget: int) -> int:
        """Steps that the budget has, one at least."""
        steps = spent = 0
        while (spent := spent + self._passes[self._batch(steps)]) <= budget:
            steps += 1
        return max(1, steps)

    def _batch(self, step: int) -> int:
        """Which batch a step is of."""
        round_, place = divmod(step, len(self._passes))
        drawn = torch.Generator().manual_seed(seeds.derive(self._seed, "round", round_))
        return int(torch.randperm(len(self._passes), generator=drawn)[place])

    def _rate(self) -> float:
        """Of the step to come, as a share of the objective's."""
        warm = max(1, math.ceil(WARM_SHARE * self.steps))
        return min(1.0, (self.step + 1) / warm) * (1 + math.cos(math.pi * self.step / self.steps)) / 2

    def take(self) -> None:
        """One step."""
        drawn = torch.Generator().manual_seed(seeds.derive(self._seed, "strength", self.step))
        at, rate = self._batch(self.step), self._rate() * self._objective.rate
        strength = self._objective.strength(drawn)
        with torch.enable_grad():
            loss, slopes = self._objective.slopes(self.own, self._course.batches[at], strength)
        self._check(loss)
        for name, value in self.own.items():
            value.grad = slopes[name]
        for group in self._adam.param_groups:
            group["lr"] = rate
        self._adam.step()
        with torch.no_grad():
            for name, value in self._objective.settled(self.own, rate).items():
                self.own[name].copy_(value)
        self._since += torch.tensor([loss, 1.0], dtype=torch.float64)
        self._spent += self._passes[at]
        self.step += 1

    def looked(self) -> bool:
        """Look, if it is time, and say whether this was the end."""
        every = max(1, math.ceil(self.steps / self._plan.looks))
        if self.step % every and self.step < self.steps:
            return False
        own = {name: value.detach() for name, value in self.own.items()}
        select = self._objective.loss(own, self._course.kept)
        self._check(select)
        before = self.curve[1:] if self._aimless else self.curve
        if not before or select < min(each.select for each in before):
            self._best = {name: value.detach().clone() for name, value in self.own.items()}
        total, steps = self._since.tolist()
        whole = torch.cat([value.detach().flatten() for value in self.own.values()])
        self.curve.append(
            Looked(
                self._number,
                self.step,
                self._spent,
                total / steps if steps else None,
                select,
                float(whole.norm()),
                int((whole != 0).sum()),
            )
        )
        self._since.zero_()
        lowest = min(range(len(self.curve)), key=lambda at: self.curve[at].select)
        self.done = self.step == self.steps or len(self.curve) - 1 - lowest >= self._plan.patience
        return self.done

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise CannotBeMade(f"training: the loss is {loss} at step {self.step}; expected a lower rate")

    @property
    def rows(self) -> list[list[Any]]:
        """The curve, for the checkpoint."""
        return [[*vars(each).values()] for each in self.curve]

    @property
    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on."""
        found = {f"own.{name}": value.detach() for name, value in self.own.items()}
        found |= {f"best.{name}": value for name, value in self._best.items()}
        for name, value in self.own.items():
            found |= {f"adam.{name}.{key}": kept for key, kept in self._adam.state[value].items()}
        return found | {"since": self._since, "count": torch.tensor([self._spent, int(self.done)])}

    def restore(self, saved: Saved) -> None:
        """Take up a state that another process left."""
        self.step, kept = saved.step, saved.tensors
        self._spent, self.done = int(kept["count"][0]), bool(kept["count"][1])
        self._since.copy_(kept["since"])
        self.curve = [Looked(*row) for row in saved.curve]
        with torch.no_grad():
            for name, value in self.own.items():
                value.copy_(kept[f"own.{name}"])
                self._best[name].copy_(kept[f"best.{name}"])
                about = f"adam.{name}."
                moments = {key.removeprefix(about): each for key, each in kept.items() if key.startswith(about)}
                self._adam.state[value] = {
                    key: each if key == "step" else each.to(value.device) for key, each in moments.items()
                }

    def left(self) -> Learned:
        """What the training leaves; its cost counts what a run that was never killed reads."""
        own = len(self._objective.poles)
        looks = len(self.curve) * sum(part.pairs for part in self._course.kept) * self._objective.passes
        every = [*(part for batch in self._course.batches for part in batch), *self._course.kept]
        once = own * sum(part.pairs for part in every) if self._objective.unsteered else 0
        LOG.info("training: %d of %d steps, %s", self.step, self.steps, self.curve[-1])
        return Learned(dict(self._best), self.curve, Cost(self._spent + looks + once, self._spent))
