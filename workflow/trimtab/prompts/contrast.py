"""Contrast prompts: two conversations that differ only in the pole of a trait.

Two kinds. In an `instruction` pair the system prompts differ, as in the study. In an `opening` pair the starts of the
assistant's own turn differ; a small model hardly reads its system prompt, but follows on from its own words.

Splits are by template: all pairs of a template, in every domain and on every task, are in the same split, so that no
split can profit from having seen another's wording. The same tasks serve all templates and both poles, and so carry no
information about the label. Reading the model at these prompts is the business of `trimtab.activations`.

Each trait also has lexical pairs, in the split `lexical`: they mention a pole's words and mean nothing by them.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from trimtab.prompts.resources import Json, templates_of
from trimtab.seeds import derive

SPLITS = ("fit", "fit", "fit", "select", "test", "calibrate", "fit", "select", "test", "fit")
"""Splits that the templates are dealt to, in turn: of ten, five fit, two select, one calibrate, two test."""

DEVELOPMENT, TEST = ("fit", "select"), ("test",)
"""Splits that probes and directions are made from, and the one that checks them on templates they have not seen."""

POLES = ("high", "low")

LEXICAL = "lexical"
"""Split, and sub-behaviour, of the pairs that only mention a trait's words."""


def rows(
    trait: str,
    block: Json,
    tasks: dict[str, list[str]],
    kinds: Sequence[str],
    parts: Sequence[str],
    fills: int,
    seed: int,
) -> list[Json]:
    """All rows of one trait: kind x template x domain x fill x pole, and lexical pairs with one fill.

    Args:
        parts: which templates, COMPOSITE or those of single sub-behaviours (config.yaml, `prompts.contrast.templates`).
    """
    made: list[Json] = []
    for kind in kinds:
        templates = templates_of(trait, block[kind], parts)
        split = splits(templates, seed, trait, kind)
        for number, template in enumerate(templates):
            made += _rows(trait, kind, template, number, tasks, fills, split[template["id"]])
        for number, mention in enumerate(block.get(LEXICAL, [])):
            template = {**mention, "id": f"{LEXICAL}_{mention['id']}", "sub_behaviour": LEXICAL}
            made += _rows(trait, kind, template, number, tasks, 1, LEXICAL)
    return made


def _rows(
    trait: str, kind: str, template: Json, number: int, tasks: dict[str, list[str]], fills: int, split: str
) -> Iterator[Json]:
    """All rows of one template."""
    for domain, some in tasks.items():
        for fill in range(fills):
            # the tasks go round, so that every template meets another selection of them
            task = some[(number * fills + fill) % len(some)]
            group = f"{trait}.{kind}.{template['id']}"
            pair = f"{group}.{domain}.{fill}"
            for pole in POLES:
                yield {
                    "id": f"{pair}.{pole}",
                    "kind": kind,
                    "messages": messages(kind, template[pole], task),
                    "trait": trait,
                    "sub_behaviour": template["sub_behaviour"],
                    "pole": pole,
                    "pair": pair,
                    "template": group,
                    "domain": domain,
                    "split": split,
                }


def messages(kind: str, words: str, task: str) -> list[dict[str, str]]:
    """The conversation in which a pole's words stand: before the task as instruction, after it as opening."""
    user = {"role": "user", "content": task}
    if kind == "instruction":
        return [{"role": "system", "content": words}, user]
    return [user, {"role": "assistant", "content": words}]


def splits(templates: Sequence[Json], seed: int, trait: str, kind: str) -> dict[str, str]:
    """The split of each template id: a random order within each sub-behaviour, then dealt in turn.

    Dealing by sub-behaviour keeps all of them in the larger splits.
    """
    draw = np.random.default_rng(derive(seed, "prompts", "split", trait, kind))
    hands: dict[str, list[str]] = {}
    for position in draw.permutation(len(templates)):
        template = templates[position]
        hands.setdefault(template["sub_behaviour"], []).append(template["id"])
    # the largest hand first, then by name, so that the order doesn't depend on the draw
    ordered = [hands[name] for name in sorted(hands, key=lambda name: (-len(hands[name]), name))]
    dealt = [hand[turn] for turn in range(max(map(len, ordered), default=0)) for hand in ordered if turn < len(hand)]
    return {template: SPLITS[place % len(SPLITS)] for place, template in enumerate(dealt)}
