"""All choices of the config in one table, docs/choices.md. Write it anew: python tests/report/choices.py"""

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from trimtab.agent.names import WITHOUT_VECTOR
from trimtab.report import words
from trimtab.rollouts.outcomes import OUTCOMES
from trimtab.settings.rollouts import Coupling
from trimtab.steering.catalogue import GATES, REMEMBERS, RULES, TIMINGS
from trimtab.vectors import methods, transformations
from trimtab.vectors.baselines import BASELINES
from trimtab.vectors.units import UNITS
from trimtab.wording import Wording, of_file

PAGE = Path(__file__).parents[2] / "docs/choices.md"
KINDS: dict[str, tuple[str, Mapping[str, Wording]]] = {
    "method": (
        "Methods of making vectors (`vectors.methods`; a file each in `workflow/trimtab/vectors/methods`)",
        {name: methods.wording(name) for name in methods.known()},
    ),
    "transformation": (
        "Transformations of methods (`<transformation>_<method>` in `vectors.methods`; a file each in "
        "`workflow/trimtab/vectors/transformations`)",
        {name: of_file(transformations.FOLDER / f"{name}.py") for name in transformations.known()},
    ),
    "baseline": ("Baselines of decoding (`vectors.decoding`; `workflow/trimtab/vectors/baselines.py`)", BASELINES),
    "control": ("Conditions without a vector (`rollouts.controls`)", WITHOUT_VECTOR),
    "rule": ("Rules (`rollouts.rule`, `rollouts.grid`; `workflow/trimtab/steering/catalogue.py`)", RULES),
    "unit": ("Units of a dose (`rollouts.unit`; `workflow/trimtab/vectors/units.py`)", UNITS),
    "coupling": (
        "Couplings of conditions that share noise (`rollouts.coupling`; a file each in `workflow/trimtab/rollouts`)",
        {name: words.coupling(name) for name in get_args(Coupling)},
    ),
    "timing": (
        "Timings (`rollouts.study.timings`, `rollouts.grid`; `workflow/trimtab/steering/catalogue.py`)",
        TIMINGS,
    ),
    "gate": ("Gates (`rollouts.gates`; `workflow/trimtab/vectors/gates.py`)", GATES),
    "memory": ("What gates remember (`rollouts.gates`, key `remembers`)", REMEMBERS),
    "outcome": ("Outcomes (`statistics.primary`; `workflow/trimtab/rollouts/outcomes.py`)", OUTCOMES),
}


def page() -> str:
    parts = [
        "# Choices\n",
        "What the report calls each choice of the config, what it says of it, and where a formula is from. Made by "
        "`python tests/report/choices.py` from the labels and sentences next to each choice's code; don't edit.\n",
    ]
    for title, entries in KINDS.values():
        parts.append(f"## {title}\n")
        parts.append("| name | label | what it does | source |\n|---|---|---|---|")
        parts += [f"| `{name}` | {one.label} | {_told(one)} | {one.source} |" for name, one in entries.items()]
        parts.append("")
    return "\n".join(parts)


def _told(one: Wording) -> str:
    """The sentence, and of a rule what a dose is."""
    return f"{one.sentence} {getattr(one, 'dose', '')}".strip()


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
