"""What else the vectors of an organism do, each at the same KL: what evaluators measure, and what a free turn is like.

Evaluators are made for experiments with a table of conditions. Here each method is one condition, at the length that
comes to the KL, and what evaluators go through is drawn from the organism's own language: whether what a vector does
outlasts words that state the opposite, whether it holds a layer away, at half and twice the strength and after other
thoughts, what it costs in text that no trait has a say in, and whether a turn that is written freely can be read.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from trimtab import seeds
from trimtab.agent.few_shot import ACTION, INPUT, THOUGHT
from trimtab.agent.names import FINISH, PROMPT, UNSTEERED
from trimtab.agent.points import OPENING
from trimtab.agent.scenario import Scenario
from trimtab.evaluations.contract import measure
from trimtab.evaluations.evaluators.held_out_text import surprise
from trimtab.evaluations.items import Passage
from trimtab.evaluations.steered import PromptsOf, Steered
from trimtab.evaluations.writing import written
from trimtab.organism.language import Language
from trimtab.organism.law import ACTIONS
from trimtab.organism.questions import BROKEN, MEASURED, SURPRISE
from trimtab.rollouts.conditions import Condition
from trimtab.rollouts.episode import Arm
from trimtab.steering import places
from trimtab.steering.edits import Edits
from trimtab.steering.places import Segment

READ, SCORED, WRITTEN = 12, 40, 16
"""Scenarios whose decisions are read again, inputs that are scored, and turns that are written, each under every
vector."""
TOKENS = 16
"""A turn's thought and action take about ten."""

DRAWN = ("scenarios", SURPRISE, BROKEN)
"""What is drawn, each with a seed of its own."""


def condition(method: str, trait: str, kl: float) -> Condition:
    """A method at the KL as evaluators know conditions."""
    return Condition(method, "grid", method, trait, None, kl, "kl", "all", -1, "add")


def measured(
    steered: Steered,
    language: Language,
    trait: str,
    edits: Mapping[str, Edits],
    request: str,
    kl: float,
    scenarios: Sequence[Scenario],
) -> pd.DataFrame:
    """One row a method, measure and item, of one trait's vectors, of asking in the prompt and of no steering.

    Args:
        steered: the model without conditions.
        edits: of each method, at the KL.
        request: what asks for the trait in the prompt.
        scenarios: of the experiment.
    """
    arms = [Arm(UNSTEERED), Arm(PROMPT, instruction=request), *(Arm(name, each) for name, each in edits.items())]
    held = replace(
        steered,
        conditions=[condition(arm.condition_id, trait, kl) for arm in arms],
        arms=arms,
        measured={trait: steered.measured[trait]},
        beside=_beside(language, trait),
    )
    # all traits meet the same items
    random = {name: np.random.default_rng(seeds.derive(steered.seed, "organism", name)) for name in DRAWN}
    some = [scenarios[at] for at in sorted(random["scenarios"].permutation(len(scenarios))[:READ])]
    parts = [_long(measure(name, held, some), trait) for name in ("robustness", "fragility")]
    found = {SURPRISE: _surprise(held, language, random[SURPRISE]), BROKEN: _broken(held, language, random[BROKEN])}
    return pd.concat([*parts, *(_rows(held, trait, name, values) for name, values in found.items())], ignore_index=True)


def _beside(language: Language, trait: str) -> dict[str, list[Passage]]:
    """Items in the organism's own words: sentences that state the trait's low pole, and thoughts that state nothing."""
    poles = language.law.poles
    low = {name: pair[1] for name, pair in poles[trait].items()}
    named = {each: next(iter(poles[each].values()))[0] for each in language.law.traits}
    return {
        "suffixes": [Passage(name, f"Be rather {word}.") for name, word in low.items()],
        "prefills": [Passage(name, f"I am rather {word}.") for name, word in low.items()],
        "thoughts": [Passage(each, f"The word is {word}.") for each, word in named.items()],
    }


def _surprise(steered: Steered, language: Language, random: np.random.Generator) -> Float[ndarray, "condition item"]:
    """Nats by which the model misses what goes with an action that is given."""
    given, follows = inputs(language, random)
    return np.asarray(steered.scored(_prompts(language, given, follows), {SURPRISE: surprise})[SURPRISE])


def inputs(language: Language, random: np.random.Generator) -> tuple[list[str], list[str]]:
    """Turns up to an action's input, tasks and actions drawn alike, and what goes there: which file, which search."""
    tasks = [str(task) for task in random.choice(language.tasks(), SCORED)]
    actions = [str(action) for action in random.choice([each for each in ACTIONS if each != FINISH], SCORED)]
    both = list(zip(tasks, actions, strict=True))
    given = [
        f"{language.protocol.task(task)}{THOUGHT} {OPENING}{ACTION} {language.name(action)}{INPUT}"
        for task, action in both
    ]
    return given, [f" {language.argument(action, task)}" for task, action in both]


def _broken(steered: Steered, language: Language, random: np.random.Generator) -> Float[ndarray, "condition item"]:
    """Whether a turn that is written token by token has no thought, or no action that there is."""
    tasks = [str(task) for task in random.choice(language.tasks(), WRITTEN)]
    given = [f"{language.protocol.task(task)}{THOUGHT}" for task in tasks]
    texts = written(steered, _prompts(language, given), TOKENS, temperature=1.0)
    return np.array([[not is_turn(language, text) for text in own] for own in texts], dtype=float)


def is_turn(language: Language, text: str) -> bool:
    """Whether a text that follows the cue of a thought holds a thought and then an action that there is."""
    names = "|".join(re.escape(language.name(action)) for action in ACTIONS)
    return re.match(rf" \S[^\n]*{ACTION} ({names})(\s|$)", text) is not None


def _prompts(language: Language, given: Sequence[str], follows: Sequence[str] = ()) -> PromptsOf:
    """Prompts of the organism's protocol, in which the trait is asked for where its agent is asked."""

    def prompts(instruction: str) -> list[list[Segment]]:
        header = Segment(language.protocol.header_tokens(instruction), written=False, role=places.SYSTEM)
        encode = language.protocol.encode
        own = [[Segment(encode(text), written=False, ends_prompt=True)] for text in given]
        scored = [[Segment(encode(text), written=True)] for text in follows] or [[] for _ in given]
        return [[header, *before, *after] for before, after in zip(own, scored, strict=True)]

    return prompts


def _long(table: pd.DataFrame, trait: str) -> pd.DataFrame:
    """An evaluator's rows, one a measure."""
    named = table.drop(columns="seed").rename(columns={"condition_id": "method", "scenario_id": "item"})
    long = named.melt(["method", "item"], var_name="measure", value_name="value")
    return long.assign(trait=trait)[MEASURED]


def _rows(steered: Steered, trait: str, name: str, values: Float[ndarray, "condition item"]) -> pd.DataFrame:
    places = [(each.method, trait, name, str(at)) for each in steered.conditions for at in range(values.shape[1])]
    return pd.DataFrame(places, columns=MEASURED[:-1]).assign(value=values.ravel())
