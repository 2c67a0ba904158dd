"""How names and numbers are written for a reader: one place, so that figures, tables and sentences agree.

What a choice of the config is called, and what it does, is written where the choice is defined (`trimtab.wording`);
this module looks it up and puts sentences together.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab import rollouts
from trimtab.agent.names import WITHOUT_VECTOR
from trimtab.artifacts.manifest import Manifest
from trimtab.rollouts.conditions import UNSTEERED_ID, Condition
from trimtab.rollouts.outcomes import OUTCOMES
from trimtab.statistics.study import TRAITS
from trimtab.statistics.summary import Verdict
from trimtab.steering import catalogue
from trimtab.steering.catalogue import LENGTH, RULES
from trimtab.vectors import methods
from trimtab.vectors.baselines import BASELINES
from trimtab.vectors.design import Also
from trimtab.vectors.methods import known
from trimtab.vectors.nulls import Verdict as Judged
from trimtab.vectors.units import UNITS
from trimtab.wording import Wording, of_file

DASH, MINUS = "\u2013", "\u2212"
NAMED = WITHOUT_VECTOR | BASELINES
"""What tables have in place of a vector's method."""


@dataclass(frozen=True)
class VerdictWords:
    label: str
    """In a table."""
    closing: str
    """The last sentence about a trait in the abstract."""
    meaning: str
    """What it claims, for somebody who meets it on the page."""


VERDICTS: dict[Verdict, VerdictWords] = {
    "moved": VerdictWords(
        "moved by its direction",
        "Moved, and by its direction.",
        "the outcome rose, more than under the same vector turned round, and by more than under random directions of "
        "the same dose",
    ),
    "reversed": VerdictWords(
        "moved the other way by its direction",
        "Moved against its own trait, and by its direction.",
        "the same, and the outcome fell",
    ),
    "pushed": VerdictWords(
        "changed, not shown to be by its direction",
        "Changed, and not shown to be by its direction.",
        "the outcome changed, and one of the two comparisons shows no more than that",
    ),
    "equivalent": VerdictWords(
        "no effect of interest",
        "Not shown to move, and an effect of interest is excluded.",
        "no change is shown, and one of the size above is excluded",
    ),
    "undecided": VerdictWords(
        "not shown",
        "Not shown to move, and an effect of interest is not excluded.",
        "neither a change is shown nor is one of the size above excluded, which is not “no effect”",
    ),
    "identical": VerdictWords("no change at all", "Not one scenario changed.", "every scenario came out as unsteered"),
}

AGAINST_NULLS: dict[Judged, VerdictWords] = {
    "own": VerdictWords(
        "more than random, and its own",
        "more than random directions and than its own null, so by its trait",
        "more than random directions of each kind, and more than each null made by the same method without the trait",
    ),
    "more": VerdictWords(
        "more than random, not shown its own",
        "more than random directions, and not shown to do more than its own null, so not shown to be by its trait",
        "more than random directions, and not shown to be more than the method's own null",
    ),
    "open": VerdictWords(
        "more than random, own null not made",
        "more than random directions, with no null of its own to say whether that is by its trait",
        "more than random directions, and no null of the method has draws enough",
    ),
    "opposite": VerdictWords(
        "the other way, more than random",
        "the opposite of its trait, by more than random directions do",
        "it lowers what it should raise, and by more than random directions do",
    ),
    "none": VerdictWords(
        "not shown more than random",
        "no more, as far as is shown, than random directions",
        "random directions do as much, or too few were drawn to say otherwise",
    ),
    "untested": VerdictWords(
        "too few random directions",
        "what nothing can be said of, as fewer than two random directions were drawn",
        "fewer than two random directions were drawn",
    ),
}
"""What a vector's first decisions are against nulls of the same KL; a closing goes on from “does”."""


SITES = {"mlp_out": "the MLP's output", "attention_out": "attention's output"}


def at_site(text: str, manifest: Manifest) -> str:
    """A sentence about the residual stream, said of what is read and steered in the manifest's model."""
    return text if manifest.site is None else text.replace("the residual stream", SITES[manifest.site.kind])


def read_at(manifest: Manifest) -> str:
    """Where the manifest's model is read and steered: a full sentence."""
    if manifest.site is None:
        return "The residual stream is read and steered after a decoder layer."
    site = SITES[manifest.site.kind]
    return f"{site[0].upper()}{site[1:]} is read and steered, as a decoder layer adds it to the residual stream."


def model(source: str) -> str:
    """A readable name from the config's model source."""
    return source.rpartition(":")[2].rpartition("/")[2].removesuffix(".gguf") or source


def trait(name: str) -> str:
    return TRAITS.get(name, name.replace("_", " ").capitalize())


def of_method(name: str) -> Wording:
    """Of a method, of one of its draws (`random_3`), or of a name that tables have in place of a method."""
    method, _, draw = name.rpartition("_")
    base = method if draw.isdecimal() and name not in known() else name
    return NAMED[base] if base in NAMED else methods.wording(base)


def method(name: str) -> str:
    return of_method(name).label


def timing(name: str) -> str:
    return catalogue.timing(name).label


def coupling(name: str) -> Wording:
    return of_file(Path(rollouts.__file__).with_name(f"{name}.py"))


def rule(name: str) -> str:
    return RULES[name].label


def outcome(name: str) -> str:
    """The outcome's name without its unit."""
    return OUTCOMES[name].label


def outcome_unit(name: str) -> str:
    """The outcome's name with its unit, for an axis or a heading."""
    found = OUTCOMES[name]
    return f"{found.label} ({found.unit})" if found.unit else found.label


def action(rule: str, unit: str) -> Wording:
    """What is done to the stream: the rule's wording, or the unit's where the unit is a rule by itself."""
    return UNITS[unit] if UNITS[unit].is_rule else RULES[rule]


def counted(rule: str, unit: str) -> str:
    """What a dose counts, for an axis or in brackets: the unit of a length, or the rule's own."""
    lengthy = UNITS[unit].is_rule or RULES[rule].counts == LENGTH
    return UNITS[unit].label if lengthy else RULES[rule].counts


def dose(rule: str, unit: str) -> str:
    """What a dose is under a rule and a unit, in sentences."""
    if UNITS[unit].is_rule:
        return UNITS[unit].sentence
    return f"{RULES[rule].dose} {UNITS[unit].sentence}" if RULES[rule].counts == LENGTH else RULES[rule].dose


def cited(wording: Wording) -> str:
    """The sentence with its source."""
    return f"{wording.sentence.removesuffix('.')} ({wording.source})." if wording.source else wording.sentence


def condition(one: Condition) -> str:
    """A condition in words."""
    if one.condition_id == UNSTEERED_ID:
        return "Unsteered"
    parts = [method(one.method)]
    if one.trait:
        parts.append(trait(one.trait))
    if one.draw is not None:
        parts.append(f"draw {one.draw}")
    if one.has_vector:
        parts.append(f"dose {given(one.dose)}, {timing(one.timing)}")
    if one.of_grid:
        parts.append(f"layer {one.layer}, {action(one.rule, one.unit).label}")
    if one.gate:
        parts.append(f"gate {one.gate}")
    return " · ".join([*parts, *(f"with {applied(other)}" for other in one.others)])


def applied(other: Also) -> str:
    """What a condition applies besides its own vector."""
    return f"{of_method(other.method).inside} of {trait(other.trait).lower()}, dose {given(other.dose)}"


def number(value: Any, digits: int = 2) -> str:
    """A number to `digits` decimals, with a real minus sign; a dash where it is undefined."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    text = f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def given(dose: float) -> str:
    """A dose with all the digits that it was given with, two decimals at least."""
    digits = next(digits for digits in range(2, 16) if math.isclose(dose, round(dose, digits), rel_tol=1e-9))
    return number(dose, digits)


def interval(lower: Any, upper: Any, digits: int = 2) -> str:
    return f"{number(lower, digits)} to {number(upper, digits)}"


def p_value(value: Any) -> str:
    """`p = 0.012` or `p < 0.001`."""
    if value is None or math.isnan(value):
        return "no p"
    if value < 0.001:
        return "p < 0.001"
    return f"p = {value:.3f}" if value < 0.1 else f"p = {value:.2f}"


def percent(value: Any) -> str:
    return DASH if value is None or math.isnan(value) else f"{100 * value:.0f} %"


def count(n: int, one: str, many: str | None = None) -> str:
    """`one scenario`, `5 scenarios`."""
    return f"{'one' if n == 1 else f'{n:,}' if n else 'no'} {one if n == 1 else many or one + 's'}"
