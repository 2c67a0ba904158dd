"""Methods of steering, one a file: `make(material)` gives the direction of one trait at one layer, or edits.

A file also says what its method is called and does, in the constants of `trimtab.wording`. One that makes edits of
its own rather than a direction says `MAKES = "edits"`, and if these leave nothing along the vectors of another method,
`REMOVES` names that. The workflow and the report ask for these, so files are read here and not run.
"""

from pathlib import Path

from trimtab.wording import Wording, constants, of_file

FOLDER = Path(__file__).parent


def known() -> list[str]:
    """The methods there are."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def makes_edits(method: str) -> bool:
    """Whether a method makes edits of its own, which are applied as made, and no direction that a rule applies."""
    path = FOLDER / f"{method}.py"
    return path.is_file() and constants(path).get("MAKES") == "edits"


def removes(method: str) -> str:
    """The method of whose vectors this one's edits, applied as made, leave nothing in the stream; empty for none."""
    path = FOLDER / f"{method}.py"
    return constants(path).get("REMOVES", "") if path.is_file() else ""


def wording(method: str) -> Wording:
    """What a method's file says of it.

    Raises:
        TrimtabError: it doesn't say it.
    """
    return of_file(FOLDER / f"{method}.py")
