"""Pages made from the templates in `workflow/report`.

All that a page shows may be a model's text, so every value is escaped, and a value that is missing is an error.
"""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parents[2] / "report"


def fill(name: str, **values: Any) -> str:
    """The text of template `name` with `values` in it."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(**values)
