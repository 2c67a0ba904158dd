"""Methods of making steering vectors, one a file: `make(material)` gives the direction of one trait at one layer.

A file also says what its method is called and does, in the constants of `trimtab.wording`. The workflow and the report
ask for those, so nothing heavy is imported here.
"""

from pathlib import Path

from trimtab.wording import Wording, of_file

FOLDER = Path(__file__).parent


def known() -> list[str]:
    """The methods there are."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def wording(method: str) -> Wording:
    """What a method's file says of it.

    Raises:
        TrimtabError: it doesn't say it.
    """
    return of_file(FOLDER / f"{method}.py")
