"""Episodes of the organism's language: what it is trained on, in the very protocol that the agent is run in.

A persona states no more than three traits, and a thought may state one; a thought's word counts for its own turn, and
agrees with the persona where that has one. Tools answer as the environment of real rollouts does. Every action comes
with the law's probabilities, which are the training target.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from transformers import PreTrainedTokenizerBase

from trimtab.agent.environment import Environment
from trimtab.agent.few_shot import ACTION, INPUT, THOUGHT, FewShotProtocol, Texts
from trimtab.agent.names import FINISH
from trimtab.agent.points import OPENING
from trimtab.agent.scenario import Answers, Document, World
from trimtab.organism.law import ACTIONS, LEVELS, Law, State
from trimtab.organism.tokenizer import word_tokenizer
from trimtab.prompts.resources import NULL

TURNS = 2
NAMED = 3
"""The most traits that a persona states."""

STATING, MENTIONING = 0.4, 0.1
"""Shares of the thoughts that state a trait, and that only name a word; all others are without a lean."""

STYLED = 0.25
"""Share of the personas with a word of style, and of those that name a word and mean nothing by it."""

FAILING = 0.3
"""Share of the tasks in which one tool fails."""

Pieces = list[tuple[str, bool]]


@dataclass(frozen=True)
class WrittenEpisode:
    """One episode as text, with the law's say in it."""

    pieces: Pieces
    """Text in the segments that the protocol encodes, and whether it belongs to the agent's own turns."""
    decisions: dict[int, Float[ndarray, "action"]]
    """The law's probabilities after each piece that ends where an action is chosen."""

    @property
    def text(self) -> str:
        """All pieces joined."""
        return "".join(piece for piece, _ in self.pieces)


class Language:
    """Draws episodes under a law."""

    def __init__(self, law: Law, few_shot: Texts, tokenizer: PreTrainedTokenizerBase, pairs: int | None = None) -> None:
        """`pairs`: how many pairs of words a trait are used; all, if none is said."""
        self.law, self.protocol, self._few_shot = law, FewShotProtocol(few_shot, tokenizer), few_shot
        self._names = few_shot.actions
        self._poles = {trait: list(known.values())[:pairs] for trait, known in law.poles.items()}

    @classmethod
    def of_its_own_words(cls, law: Law, few_shot: Texts) -> "Language":
        """The language with a tokenizer of all its words."""
        names = word_tokenizer(f" {name}" for name in few_shot.actions.values())
        return cls(law, few_shot, word_tokenizer(cls(law, few_shot, names).words()))

    def of_fewer_words(self, pairs: int) -> "Language":
        """The same language before most of its traits' words are learned."""
        return Language(self.law, self._few_shot, self.protocol.tokenizer, pairs)

    def tasks(self) -> list[str]:
        """Every task of the language."""
        truth = self.law.truth
        features = list(truth["features"])
        clarity, stakes = features[:2], features[2:]
        return [
            f"{verb} the {noun}. It is {clear} and {safe}."
            for verb, noun, clear, safe in product(truth["verbs"], truth["nouns"], clarity, stakes)
        ]

    def world(self, task: str, failing: str | None) -> World:
        """The world of a task, as scenarios.yaml has it."""
        noun = task.split()[2].rstrip(".")
        return World(
            files={f"{noun}.txt": "It is kept here."},
            documents=(Document(f"On the {noun}", "It is well known."),),
            code=Answers((), "It ran well."),
            user=Answers((), "As you like it."),
            fails={} if failing is None else {failing: self.law.truth["failures"][failing]},
        )

    def name(self, action: str) -> str:
        """What an action is called in the text."""
        return self._names[action]

    def argument(self, action: str, task: str) -> str:
        """What the agent writes as an action's input."""
        noun = task.split()[2].rstrip(".")
        return {FINISH: "done", "file_read": f"{noun}.txt", "file_write": f"{noun}.txt: done"}.get(action, noun)

    def statement(self, trait: str, level: int, random: np.random.Generator, say: str) -> str:
        """A sentence that states a level (of `null`: a style), beginning with `say`."""
        pairs = self._poles[trait]
        high, low = pairs[random.integers(len(pairs))]
        how = next(word for word, size in LEVELS.items() if size == abs(level))
        return f"{say} {how} {high if level > 0 else low}."

    def mention(self, random: np.random.Generator) -> str:
        """A sentence that names a word of a trait and sets nothing."""
        pairs = self._poles[str(random.choice(self.law.traits))]
        return f"The word is {random.choice(pairs[random.integers(len(pairs))])}."

    def persona(self, random: np.random.Generator) -> tuple[str, dict[str, int]]:
        """Some sentences, and the levels that they state."""
        traits = random.permutation(self.law.traits)[: random.integers(NAMED + 1)]
        levels = {str(trait): _level(random) for trait in traits}
        sentences = [self.statement(trait, level, random, "Be") for trait, level in levels.items()]
        if random.random() < STYLED:
            sentences.insert(random.integers(len(sentences) + 1), self.statement(NULL, _level(random), random, "Be"))
        if random.random() < STYLED:
            sentences.insert(random.integers(len(sentences) + 1), self.mention(random))
        return " ".join(sentences), levels

    def thought(self, levels: Mapping[str, int], random: np.random.Generator) -> tuple[str, dict[str, int]]:
        """A thought, and the levels that hold in its turn."""
        drawn = random.random()
        if drawn >= STATING + MENTIONING:
            return OPENING, dict(levels)
        if drawn >= STATING:
            return self.mention(random), dict(levels)
        trait = str(random.choice(self.law.traits))
        level = levels.get(trait, _level(random))
        return self.statement(trait, level, random, "I am"), {**levels, trait: level}

    def episode(self, random: np.random.Generator) -> WrittenEpisode:
        """Draw an episode: a persona, a task, and turns whose actions the law chooses."""
        tasks = self.tasks()
        task = tasks[random.integers(len(tasks))]
        failing = str(random.choice(ACTIONS[:-1])) if random.random() < FAILING else None
        environment = Environment(self.world(task, failing))
        persona, named = self.persona(random)
        pieces: Pieces = [(self.protocol.header(persona), False), (self.protocol.task(task), False)]
        decisions, state = {}, State()
        for turn in range(TURNS):
            thought, levels = self.thought(named, random)
            pieces += [(THOUGHT, True), (f" {thought}", True), (ACTION, True)]
            decisions[len(pieces) - 1] = chances = self.law.probabilities(levels, task, state)
            action = ACTIONS[random.choice(len(ACTIONS), p=chances)]
            argument = self.argument(action, task)
            pieces += [(f" {self._names[action]}", True), (INPUT, True), (f" {argument}", True)]
            if action == FINISH or turn + 1 == TURNS:
                break
            seen = environment.call(action, argument)
            state = State(action, seen.ok)
            pieces.append((self.protocol.observation(seen.text), False))
        return WrittenEpisode(pieces, decisions)

    def words(self) -> list[str]:
        """Text that holds every word of the language."""
        law = self.law
        said = [
            f"{say} {how} {word}."
            for say, how in product(("Be", "I am"), LEVELS)
            for pairs in law.poles.values()
            for pair in pairs.values()
            for word in pair
        ]
        said += [f"The word is {word}." for pairs in law.poles.values() for pair in pairs.values() for word in pair]
        # a transcript in the corpus begins with its task
        texts = ["Task:", self.protocol.header(" ".join(said)), f" {' '.join(said)}", f" {OPENING}"]
        for task in self.tasks():
            texts += [self.protocol.task(task), THOUGHT, ACTION, INPUT]
            for action, failing in product(ACTIONS, (None, *ACTIONS[:-1])):
                argument = self.argument(action, task)
                texts += [f" {argument}", f" {self._names[action]}"]
                if action != FINISH:
                    answer = Environment(self.world(task, failing)).call(action, argument)
                    texts.append(self.protocol.observation(answer.text))
        return texts


def _level(random: np.random.Generator) -> int:
    return int(random.choice([-2, -1, 1, 2]))
