"""Transformations of any method that gives a direction, one a file: `make(recipe, material)` gives another direction,
or edits that apply it elsewhere, and then says `MAKES = "edits"`, as a method's file does. One that takes methods that
make edits, too, says `TAKES = "edits"`, and one that leaves a vector decoded from latents `KEEPS = "code"`.

`recipe` is the method's own `make`, so that a transformation may change what the method is given or what it gave. Its
name in the config stands before the method's: `specific_mean_difference`. Like a method's file, it says in constants
what it is called and does; its label stands behind the method's, and its sentence after the method's.
"""

from pathlib import Path

from trimtab.wording import constants, kinds

FOLDER = Path(__file__).parent


def known() -> list[str]:
    """The transformations there are."""
    return [*kinds(FOLDER)]


def takes_edits(name: str) -> bool:
    """Whether a transformation takes methods that make edits, and not directions alone."""
    return constants(FOLDER / f"{name}.py").get("TAKES") == "edits"
