"""The truth: how an agent of the organism's language chooses its action.

Words set latent traits to levels from -2 to 2, a task calls for a tool and is clear or vague, safe or risky, and the
action follows a softmax of a stated sum of scores (workflow/resources/organism/truth.yaml). There are two truths: in
`five_axes` each trait moves another action, in `one_axis` all traits move the same one. What episodes look like as
text is in `trimtab.organism.language`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from trimtab.agent.names import CALLS, FINISH
from trimtab.errors import TrimtabError
from trimtab.prompts import resources

ACTIONS = (*CALLS, FINISH)
"""In the order of every array here; few_shot.yaml has the same."""

LEVELS = {"very": 2, "rather": 1}
"""How far a word turns its trait up or down, by the word before it."""

Levels = Mapping[str, int]


@dataclass(frozen=True)
class State:
    """What has happened in an episode before an action."""

    last: str | None = None
    """The action before, if any."""
    ok: bool = True
    """Whether it returned what was asked for."""


class Law:
    """The probabilities of the actions, given levels, task and state."""

    def __init__(self, truth: Mapping[str, Any], traits: Mapping[str, Mapping[str, Any]], name: str) -> None:
        """
        Args:
            truth: content of truth.yaml.
            traits: content of traits.yaml.
            name: which of the two truths.

        Raises:
            TrimtabError: an unknown truth, or one of other traits than traits.yaml has.
        """
        resources.check_truth(truth, name)
        self.traits = [trait for trait in traits if trait != resources.NULL]
        if sorted(truth["traits"][name]) != sorted(self.traits):
            raise TrimtabError(f"truth.yaml, traits.{name}: expected {', '.join(self.traits)}, as in traits.yaml")
        self._truth = truth
        self.gains = np.stack([_scores(truth["traits"][name][trait]) for trait in self.traits])
        """What one level of each trait adds to each action's score."""
        self.poles: dict[str, dict[str, tuple[str, str]]] = {
            trait: {one["id"]: (_word(one["high"]), _word(one["low"])) for one in traits[trait]["instruction"]}
            for trait in traits
        }
        """The pairs of words of every trait, and of `null`."""
        self._sign = {
            word: (trait, sign)
            for trait in self.traits
            for pair in self.poles[trait].values()
            for word, sign in zip(pair, (1, -1), strict=True)
        }

    @classmethod
    def read(cls, folder: Path, name: str) -> "Law":
        """The law of one truth (`five_axes` or `one_axis`), from the folder of the organism's resources."""
        return cls(resources.load(folder / "truth.yaml"), resources.traits(folder / "traits.yaml"), name)

    @property
    def truth(self) -> Mapping[str, Any]:
        return self._truth

    def own_action(self, trait: str) -> int:
        """The action that the trait moves most."""
        return int(np.abs(self.gains[self.traits.index(trait)]).argmax())

    def stated(self, text: str) -> dict[str, int]:
        """Levels that a persona or a thought states; of two sentences about a trait the later one counts."""
        words = text.replace(".", " ").split()
        found = {}
        for before, word in pairwise(words):
            if before in LEVELS and word in self._sign:
                trait, sign = self._sign[word]
                found[trait] = sign * LEVELS[before]
        return found

    def scores(self, levels: Levels, task: str, state: State) -> Float[ndarray, "action"]:
        """Score of each action, before the softmax."""
        words = task.replace(".", " ").split()
        scores = np.array([levels.get(trait, 0) for trait in self.traits]) @ self.gains
        scores[ACTIONS.index(self._truth["verbs"][words[0]])] += self._truth["need"]
        for word, added in self._truth["features"].items():
            if word in words:
                scores += _scores(added)
        if state.last is not None:
            history = self._truth["history"]
            scores += _scores(history["done" if state.ok else "failed"])
            scores[ACTIONS.index(state.last)] += history["repeated"]
        return np.asarray(scores)

    def probabilities(self, levels: Levels, task: str, state: State) -> Float[ndarray, "action"]:
        """Chance of each action."""
        scores = np.exp(self.scores(levels, task, state))
        return np.asarray(scores / scores.sum())


def _scores(added: Mapping[str, float]) -> Float[ndarray, "action"]:
    return np.array([added.get(action, 0.0) for action in ACTIONS])


def _word(sentence: str) -> str:
    return sentence.rstrip(".").split()[-1]
