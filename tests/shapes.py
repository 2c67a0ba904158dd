"""Checks the shapes and dtypes that the library's annotations state, whenever a test calls what states them.

mypy proves the other types without running anything, and sees only that a tensor is a tensor. What it can't see is left
to beartype here: hints that hold a jaxtyping type, in parameters, returns, and fields of dataclasses and named tuples.
Processes that tests start run without it.
"""

from collections.abc import Callable
from functools import partial
from inspect import isclass
from typing import Any, get_args

import jaxtyping
from beartype import beartype

_jaxtyped = jaxtyping.jaxtyped


def install() -> None:
    """Check all of the library that is imported from here on."""
    # jaxtyping's hook writes `@jaxtyping.jaxtyped(...)` over every function and class
    jaxtyping.jaxtyped = decorator
    jaxtyping.install_import_hook("trimtab", "shapes.checked")


def decorator(*, typechecker: Callable[..., Any]) -> Callable[[Any], Any]:
    return partial(decorated, typechecker=typechecker)


def decorated(subject: Any, typechecker: Callable[..., Any]) -> Any:
    """What jaxtyping makes of a function or dataclass, and a named tuple alike; untouched where no shape is stated."""
    if isclass(subject) and issubclass(subject, tuple) and hasattr(subject, "_fields"):
        subject.__new__ = staticmethod(decorated(subject.__new__, typechecker))
        return subject
    hints = getattr(subject, "__annotations__", {}).values()
    if hasattr(subject, "__code__") and not any(isinstance(hint, str) or shaped(hint) for hint in hints):
        return subject
    return _jaxtyped(subject, typechecker=typechecker)


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, which raises where an argument or what it returns has another shape or dtype than it says."""
    function.__annotations__ = {name: hint for name, hint in function.__annotations__.items() if shaped(hint)}
    return beartype(function)


def shaped(hint: object) -> bool:
    return (isclass(hint) and issubclass(hint, jaxtyping.AbstractArray)) or any(map(shaped, get_args(hint)))
