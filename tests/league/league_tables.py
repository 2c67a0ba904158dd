"""Tables of organisms that nobody trained: every number drawn, so that a league of them can be computed by hand."""

import numpy as np
import pandas as pd

from trimtab.league.numbers import Tables
from trimtab.organism import questions
from trimtab.organism.law import ACTIONS, Law
from trimtab.prompts import resources

FOLDER = resources.RESOURCES / "organism"
VECTORS = ["mean_difference", "lda", "pca", "behaviour"]
NULLS = ["random_0", "random_1"]
METHODS = ["none", "prompt", *VECTORS, *NULLS]
CELLS = [*(f"moved_{name}" for name in ("layer_before", "layer_after", "half", "twice")), "moved_wording_1"]
SCENARIOS, ITEMS, DRAWS, DOSE = 4, 3, 6, 1.0
TRUTHS = ("five_axes", "one_axis")


def law(truth):
    return Law.read(FOLDER, truth)


def tables(truth, seed, left_out=()):
    """Of one organism; `left_out`: pairs of a method and trait that were not made."""
    random, traits = np.random.default_rng(seed), law(truth).traits
    made = [(method, trait) for trait in traits for method in METHODS if (method, trait) not in left_out]
    return Tables(
        decisions=_decisions(random, made),
        comparison=_comparison(random, made, traits),
        measured=_measured(random, made),
        answers=_answers(random, made, traits, truth),
        seconds=pd.DataFrame(
            [(method, trait, random.random()) for method, trait in made if method in VECTORS],
            columns=["method", "trait", "seconds"],
        ),
    )


def _decisions(random, made):
    rows = []
    for method, trait in made:
        for scenario in range(SCENARIOS):
            chances = random.dirichlet(np.ones(len(ACTIONS)))
            names = {f"p_{action}": chance for action, chance in zip(ACTIONS, chances, strict=True)}
            rows.append({"method": method, "trait": trait, "scenario_id": f"s{scenario}", "point": "start", **names})
    return pd.DataFrame(rows)


def _comparison(random, made, traits):
    rows = []
    names = [*(f"random_{draw}" for draw in range(2, DRAWS)), *(f"corpus_random_{draw}" for draw in range(DRAWS))]
    for method, trait in [*made, *((name, trait) for trait in traits for name in [*names, "random", "corpus_random"])]:
        if method == "none":
            continue
        for asked in traits:
            costs = random.integers(0, 9, 2) if method in VECTORS else [np.nan, np.nan]
            rows.append([method, trait, asked, random.normal(), *costs])
    return pd.DataFrame(rows, columns=["method", "trait", "measure", "estimate", "forwards", "backwards"])


def _measured(random, made):
    names = ["shift_plain", "shift_asked_off", "shift_prefilled", *CELLS, questions.SURPRISE, questions.BROKEN]
    rows = []
    for method, trait in made:
        for name in names:
            values = random.normal(size=ITEMS)
            if name == "moved_layer_after" and trait == "autonomy":
                values = [np.nan] * ITEMS
            rows += [(method, trait, name, f"i{at}", value) for at, value in enumerate(values)]
    return pd.DataFrame(rows, columns=questions.MEASURED)


def _answers(random, made, traits, truth):
    rows = []
    for trait in traits:
        targets = traits if truth == "five_axes" else ["act or ask"]
        for target in targets:
            sign = -1 if truth == "one_axis" and trait == "deference" else 1
            meant = 4.0 * sign if target in (trait, "act or ask") else 0.0
            rows.append((questions.MOVED, "persona", trait, target, None, None, meant + random.normal() / 9, meant))
    for method, trait in made:
        if method in (*VECTORS, *NULLS):
            rows.append((questions.SHARE, method, trait, None, "all", DOSE, random.normal(), None))
            rows.append((questions.READ, method, trait, trait, None, None, random.normal(), None))
            if truth == "five_axes":
                rows.append((questions.LEAK, method, trait, None, "all", DOSE, random.normal(), None))
    columns = ["question", "method", "trait", "target", "timing", "dose", "estimate", "truth"]
    return pd.DataFrame(rows, columns=columns)
