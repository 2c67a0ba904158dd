"""Which vectors are nulls, of what, and how many draws each has: known by their names, without a model.

Two questions are kept apart. Does a vector do more than a direction drawn at random? Plain random directions answer
that, of several kinds: of the sphere, as the corpus varies, at right angles to a probe. And is what it does the
trait's own? That is answered by what the same method makes without the trait: shuffled labels, or a random code,
through the same choice by the same gradient on the same data. A method's file says whose null it is in the constant
`NULL_OF`, or that it is a plain random direction (`ANY`); a transformation's file says that it makes a null of the
method that it is given (`ITSELF`).
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import Literal

from trimtab.settings.vectors import MethodSettings
from trimtab.vectors import methods, transformations
from trimtab.vectors.drawn import KINDS
from trimtab.wording import constants

ANY, ITSELF = "any", "itself"
DRAW = re.compile(r"(.+)_(\d+)")

Verdict = Literal["own", "more", "open", "opposite", "none", "untested"]
"""own: more than random directions of each kind made, and more than each null of its own. more: more than random ones,
and not shown to be more than its own null. open: more than random ones, without a null of its own. opposite: it moves
the trait the other way by more than random ones do. none: not shown to do more than random ones. untested: fewer than
two random directions."""


@cache
def plain(name: str) -> str:
    """A vector's name without the number of its draw: `random` of `random_3`."""
    drawn = None if methods.exists(name) else DRAW.fullmatch(name)
    return drawn[1] if drawn else name


def is_draw(name: str) -> bool:
    """Whether this is one of several draws, of which each is a vector of its own."""
    return plain(name) != name


@cache
def is_random(name: str) -> bool:
    """Whether this is a plain random direction, or their name."""
    return _says(methods.split(plain(name))[1]) == ANY


@cache
def null_of(name: str) -> str:
    """The vector that this one is made like, but without the trait; empty for one that is no such null."""
    changes, method = methods.split(plain(name))
    own = _says(method)
    files = {each: transformations.FOLDER / f"{each}.py" for each in changes}
    kept = [each for each in changes if constants(files[each]).get("NULL_OF") != ITSELF]
    if own == ANY or not (own or len(kept) < len(changes)):
        return ""
    return "_".join([*kept, own or method])


def _says(method: str) -> str:
    """What a method's file says of whose null it is; nothing for a name of tables that is no method."""
    path = methods.FOLDER / f"{method}.py"
    return constants(path).get("NULL_OF", "") if path.is_file() else ""


def is_null(name: str) -> bool:
    """Whether a vector has no aim, but is there for others to be compared with."""
    return is_random(name) or null_of(name) != ""


def families(names: Iterable[str]) -> dict[str, list[str]]:
    """The draws of each null among some vectors, by its plain name."""
    found: dict[str, list[str]] = {}
    for name in names:
        if is_null(name):
            found.setdefault(plain(name), []).append(name)
    return found


def draws(method: str, settings: MethodSettings) -> int:
    """How many vectors of one trait a method makes."""
    if method in KINDS:
        return settings.random_draws
    return settings.null_draws if is_null(method) else 1


def vector_names(settings: MethodSettings) -> list[str]:
    """All vectors of one trait, in the order of the methods: random directions have numbers, and of other nulls the
    first draw has the plain name."""
    return [name for method in settings.methods for name in _names(method, draws(method, settings))]


def _names(method: str, count: int) -> Iterable[str]:
    numbered = [f"{method}_{draw}" for draw in range(count)]
    return numbered if method in KINDS else [method, *numbered[1:]][:count]
