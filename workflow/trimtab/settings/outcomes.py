"""The names of all outcomes, from the file that counts them.

An outcome is one entry of `OUTCOMES` in `trimtab.rollouts.outcomes`, and whoever adds one names it there alone. That
room stands above this one, and loads what no start of the workflow should wait for, so the file is read here and not
run.
"""

import ast
from pathlib import Path

FILE = Path(__file__).parents[1] / "rollouts/outcomes.py"


def names() -> list[str]:
    """The keys of `OUTCOMES`, in the file's order."""
    tables = [
        node.value
        for node in ast.parse(FILE.read_bytes(), str(FILE)).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "OUTCOMES"
    ]
    return [str(ast.literal_eval(key)) for table in tables if isinstance(table, ast.Dict) for key in table.keys if key]
