"""Verdicts on traits: how often does the study's declared family claim what isn't so, or miss what is?"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from scipy import stats
from statsmodels.stats.multitest import multipletests

from simulations.agents import ASK, CHANGE, LEVEL, LOOK, episodes, rollouts
from simulations.frame import SEED, Part, Row, experiments, mean, share
from trimtab.agent.names import RANDOM
from trimtab.rollouts.conditions import Condition, as_table, common_conditions, trait_conditions
from trimtab.seeds import derive
from trimtab.settings.rollouts import Design
from trimtab.settings.statistics import Statistics
from trimtab.statistics.contrasts import between_conditions
from trimtab.statistics.corrections import corrected
from trimtab.statistics.declared import BASELINE, Contrast, Plan
from trimtab.statistics.effects import effects
from trimtab.statistics.findings import findings
from trimtab.statistics.significance import sign_flip

CONFIG: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text(encoding="utf-8"))
SCENARIOS, DRAWS, ALPHA = 50, 199, 0.05
"""So few draws make p-values coarse, never too small: Holm's strictest step, .01, is a whole number of them."""
ACTING = np.zeros(len(LEVEL))
ACTING[[ASK, LOOK, CHANGE]] = -1, 1, 1
"""What a push adds to the logits: less asking, more acting."""
VERDICTS = ("identical", "undecided", "equivalent", "pushed", "moved", "reversed")
PRIMARY: dict[str, str] = CONFIG["statistics"]["primary"]
COUNTED = [*dict.fromkeys(PRIMARY.values()), "breakage"]


class Case(NamedTuple):
    """How a world is made."""

    own: float = 0.7
    """SD of what each condition does to a scenario's logits for no reason."""
    by_sign: float = 0.0
    """Push of a vector that turns round with it."""
    both_ways: float = 0.0
    """Push of a vector that doesn't."""
    random: float = 0.0
    """Push of random directions."""


NOTHING = "nothing does anything"
CASES = {
    NOTHING: Case(own=1.5),
    "the same, scenarios hardly change": Case(own=0.15),
    "every push, random ones too, does the same": Case(both_ways=0.8, random=0.8),
    "a vector does the same both ways, random ones nothing": Case(both_ways=0.8),
    "a vector does the opposite when turned round": Case(by_sign=0.8),
}


def _design() -> list[Condition]:
    """What verdicts read of the default design: each trait's vector both ways, random directions, the unsteered one."""
    study = CONFIG["rollouts"]["study"] | {"doses": [CONFIG["statistics"]["confirmatory"]["dose"]]}
    study |= {"timings": ["all"], "decode_dose": None}
    controls = CONFIG["rollouts"]["controls"] | {"methods": [], "zero": False, "prompt": False}
    section = CONFIG["rollouts"] | {"study": study, "controls": controls}
    design = Design.model_validate({key: section[key] for key in Design.keys(section)})
    return [*common_conditions(0, design), *(c for trait in PRIMARY for c in trait_conditions(trait, 0, design))]


def _push(condition: Condition, case: Case) -> np.ndarray:
    if not condition.has_vector:
        return 0 * ACTING
    if condition.method == RANDOM:
        return case.random * ACTING
    return (case.by_sign * np.sign(condition.dose) + case.both_ways) * ACTING


def _right(case: Case) -> list[str]:
    """The direction of each trait's outcome that is so, from 20,000 scenarios; none where it isn't the vector's own."""
    if not case.by_sign:
        return [""] * len(PRIMARY)
    push = np.stack([0 * ACTING, case.by_sign * ACTING])
    values = episodes(np.random.default_rng(SEED), push, 20_000, 1, 1, case.own)
    rises = {name: np.diff(values[name][0].mean(axis=(1, 2)))[0] > 0 for name in PRIMARY.values()}
    return ["moved" if rises[name] else "reversed" for name in PRIMARY.values()]


def verdicts(times: float) -> list[Row]:
    rows, design = [], _design()
    settings = Statistics.model_validate(CONFIG["statistics"] | {"draws": DRAWS})
    table, names = as_table(design), [condition.condition_id for condition in design]
    for name, case in CASES.items():
        n = experiments(80 if name == NOTHING else 30, times)
        seed, given, push = derive(SEED, "verdicts", name), [], np.stack([_push(each, case) for each in design])
        rng = np.random.default_rng(seed)
        for copy in range(n):
            made = rollouts(episodes(rng, push, SCENARIOS, 1, 1, case.own), names, 0, COUNTED)
            plan = Plan.of(settings, derive(seed, copy))
            tidy = effects(made, table, plan)
            traits = findings(made, tidy, between_conditions(made, table, plan), table, plan).traits
            given.append([trait.verdict for trait in traits.values()])
        said = np.array(given)
        none, wrong = not any(case[1:]), np.isin(said, ["moved", "reversed"]) & (said != np.array(_right(case)))
        claimed = np.isin(said, ["pushed", "moved", "reversed"]).any(axis=1)
        rows.append(
            {
                "truth": name,
                "any effect claimed": share(claimed, most=ALPHA if none else np.inf),
                "any direction claimed wrongly": share(wrong.any(axis=1), most=ALPHA),
                **{verdict: mean((said == verdict).mean(axis=1)) for verdict in VERDICTS},
                "experiments": str(n),
            }
        )
    return rows


def familywise(times: float) -> list[Row]:
    """The declared tests alone, which are what verdicts correct for."""
    n, rows = experiments(1000, times), []
    names = [BASELINE, *PRIMARY]
    contrasts = [Contrast(trait, BASELINE, outcome) for trait, outcome in PRIMARY.items()]
    for own, scenarios in ((1.5, 50), (0.7, 50), (0.15, 50), (1.5, 10)):
        seed, found = derive(SEED, "familywise", f"{own:g}", scenarios), []
        values = episodes(np.random.default_rng(seed), np.zeros((len(names), len(LEVEL))), scenarios, 1, n, own)
        for copy in range(n):
            difference = rollouts(values, names, copy, COUNTED).pairs(contrasts).difference
            p, _ = sign_flip(difference, 999, derive(seed, copy))
            varied = difference[:, difference.std(axis=0) > 0]
            student = stats.ttest_1samp(varied, 0.0).pvalue if varied.size else np.ones(1)
            both = corrected(p, "holm"), multipletests(student, method="holm")[1]
            found.append([p.min() <= ALPHA, *(each.min() <= ALPHA for each in both)])
        single, holm, student = np.array(found).T
        rows.append(
            {
                "scenarios": str(scenarios),
                "they change by": f"{own:g}",
                "any p ≤ .05": share(single),
                "any p ≤ .05 after Holm": share(holm, most=ALPHA),
                "the same of Student's t": share(student),
                "experiments": str(n),
            }
        )
    return rows


PARTS = [
    Part(
        "familywise",
        "Five declared tests where nothing does anything",
        "Five traits' vectors share one unsteered baseline and are judged by five coupled outcomes. After correction, "
        "5 % of experiments at most should have any p ≤ .05. Beside it stands SciPy's paired t test with statsmodels' "
        "correction. “They change by” is the SD of what a condition does to a scenario's logits for no reason.",
        familywise,
    ),
    Part(
        "verdicts",
        "Verdicts on five traits",
        "The same with all that a verdict needs: each vector turned round, and twenty random directions. In 5 % of "
        "experiments at most should any effect be claimed where there is none, or any direction (moved, reversed) that "
        "isn't so. A push that does the same both ways should be called pushed. The columns of verdicts are shares of "
        "traits.",
        verdicts,
    ),
]
