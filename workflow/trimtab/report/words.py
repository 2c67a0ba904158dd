"""How names and numbers are written for a reader: one place, so that figures, tables and sentences agree.

What a choice of the config is called and does stands where the choice is defined (`trimtab.wording`); here it is looked
up and put together.
"""

import math
from collections.abc import Mapping
from typing import Any

from trimtab.agent.names import UNSTEERED, WITHOUT_VECTOR
from trimtab.rollouts.outcomes import OUTCOMES
from trimtab.statistics.study import TRAITS
from trimtab.steering import catalogue
from trimtab.steering.catalogue import LENGTH, RULES
from trimtab.vectors import methods
from trimtab.vectors.methods import known
from trimtab.vectors.units import UNITS
from trimtab.wording import Wording

DASH, MINUS = "\u2013", "\u2212"


def model(source: str) -> str:
    """A readable name from the config's model source."""
    return source.rpartition(":")[2].rpartition("/")[2].removesuffix(".gguf") or source


def trait(name: str) -> str:
    return TRAITS.get(name, name.replace("_", " ").capitalize())


def of_method(name: str) -> Wording:
    """Of a method, of one of its draws (`random_3`), or of what stands for a method without a vector."""
    method, _, draw = name.rpartition("_")
    base = method if draw.isdecimal() and name not in known() else name
    return WITHOUT_VECTOR[base] if base in WITHOUT_VECTOR else methods.wording(base)


def method(name: str) -> str:
    return of_method(name).label


def timing(name: str) -> str:
    return catalogue.timing(name).label


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


def condition(row: Mapping[str, Any]) -> str:
    """A condition's row of `rollouts/conditions.csv` in words."""
    if row["method"] == UNSTEERED:
        return "Unsteered"
    parts = [method(row["method"])]
    if row["trait"]:
        parts.append(trait(row["trait"]))
    if row["method"] == "random":
        parts.append(f"draw {row['draw']:g}")
    if row["method"] not in WITHOUT_VECTOR:
        parts.append(f"dose {number(row['dose'])}, {timing(row['timing'])}")
    if row["arm"] == "grid":
        parts.append(f"layer {row['layer']}, {action(row['rule'], row['unit']).label}")
    return " · ".join(parts)


def number(value: Any, digits: int = 2) -> str:
    """A number to so many decimals, with a real minus sign; what is undefined is a dash."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    text = f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


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


def listed(items: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""
