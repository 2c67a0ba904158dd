"""Methods of making steering vectors, one a file: `make(material)` gives the direction of one trait at one layer."""

from pathlib import Path


def known() -> list[str]:
    """The methods there are. The workflow asks before its first job, so nothing heavy is imported here."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")
