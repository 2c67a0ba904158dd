"""Which conditions a config asks for of one trait, before the trait's layer is known.

The study, its controls and the blocks of the grid are walked here and nowhere else. The table of conditions
(`trimtab.rollouts.conditions`), the lengths that doses in nats need (`trimtab.vectors.applications`) and the vectors
that rollouts wait for are made from this one list. It is read when Snakemake starts and imports nothing heavy.
A condition has a vector, or edits, of its own trait, and may apply what was made for other traits or by other methods
as well.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from trimtab.agent.names import PROMPT, WITHOUT_VECTOR
from trimtab.settings.rollouts import ALWAYS, Design, GridBlock
from trimtab.steering.catalogue import AS_MADE, RULES
from trimtab.vectors.drawn import KINDS
from trimtab.vectors.methods import makes_edits
from trimtab.wording import Wording

STUDY, CONTROL, GRID = "study", "control", "grid"
"""Arms of the design: what a condition is there for."""

ADD = "add"
"""The rule in the table of conditions without a vector."""

TOGETHER = Wording(
    "applied together",
    "Some conditions apply other vectors and edits as well, each at its own layer or sites unless the condition names "
    "another, and at the dose that it has alone; of those that meet at one site, the condition's own comes first, and "
    "the others follow in the order in which the condition names them.",
)
"""What a condition does that says `also`."""


AFTER = re.compile(r"(?P<dose>[+-]?(\d+(\.\d+)?(e[+-]\d+)?|inf))(\.L(?P<layer>\d+))?(?P<words>(\.[a-z]\w*){0,2})")
"""What follows method and trait in the text of `Also`."""


@dataclass(frozen=True)
class Also:
    """What a condition applies besides its own vector: another trait's, or another of its own trait."""

    method: str
    """Folder of the vector; a random direction's has its draw."""
    trait: str
    dose: float
    layer: int | None = None
    """None for the vector's own."""
    own_rule: str = ""
    """As the config names it; empty for none."""
    gate: str = ""
    """Name in `rollouts.gates`; empty for none."""

    @classmethod
    def of(cls, text: str) -> "Also":
        """From `<method>.<trait>.<dose>[.L<layer>][.<rule>][.<gate>]`."""
        method, trait, rest = text.split(".", 2)
        found = AFTER.fullmatch(rest)
        if found is None:
            raise ValueError(text)
        words = [word for word in found["words"].split(".") if word]
        rule = words.pop(0) if words and words[0] in RULES else ""
        layer = None if found["layer"] is None else int(found["layer"])
        return cls(method, trait, float(found["dose"]), layer, rule, ".".join(words))

    def __str__(self) -> str:
        layer = [] if self.layer is None else [f"L{self.layer}"]
        parts = [self.method, self.trait, f"{self.dose:+g}", *layer, self.own_rule, self.gate]
        return ".".join(filter(None, parts))

    @property
    def rule(self) -> str:
        """Vectors are added where no other rule is named, edits are as made."""
        return rule_of(self.method, self.own_rule or ADD)


@dataclass(frozen=True)
class Planned:
    """A condition, but for the trait and its layer."""

    arm: str
    """STUDY, CONTROL or GRID."""
    method: str
    """What makes the vector, or one of `names.WITHOUT_VECTOR`."""
    dose: float
    rule: str
    """Of the config; a method that makes edits of its own has AS_MADE."""
    timing: str = "all"
    draw: int | None = None
    """Which of the trait's random directions of the method's kind; None for other methods."""
    layer: int | None = None
    """None for the trait's own."""
    gate: str = ""
    """Name in `rollouts.gates`; empty for none."""
    also: tuple[Also, ...] = ()
    """In the order in which they are applied."""

    @property
    def has_vector(self) -> bool:
        return self.method not in WITHOUT_VECTOR

    @property
    def vector_name(self) -> str:
        return vector_name(self.method, self.draw)


def vector_name(method: str, draw: int | None) -> str:
    """Folder of a vector: random directions have one a draw."""
    return method if draw is None else f"{method}_{draw}"


def rule_of(method: str, rule: str) -> str:
    """How a method is applied where the config says `rule`, which has no say over edits."""
    return AS_MADE if makes_edits(method) else rule


def planned(trait: str, design: Design) -> list[Planned]:
    """What is asked for of one trait, in the order of the table; a block of the grid may repeat what came before."""
    study, controls = design.study, design.controls
    own, dose = study.method, controls.dose
    rule = rule_of(own, design.rule)
    found = [Planned(STUDY, own, each, rule, timing) for timing in study.timings for each in study.doses]
    if study.decode_dose is not None:
        found.append(Planned(STUDY, own, study.decode_dose, rule, "decode"))
    if controls.negative:
        found.append(Planned(CONTROL, own, -dose, rule))
    found += [Planned(CONTROL, method, dose, rule_of(method, design.rule)) for method in controls.methods]
    for kind in controls.random_kinds:
        found += [Planned(CONTROL, kind, dose, design.rule, draw=draw) for draw in range(controls.random)]
    if controls.prompt:
        found.append(Planned(CONTROL, PROMPT, 0.0, ADD, "none"))
    for block in design.grid:
        if block.traits is None or trait in block.traits:
            found += combinations(block, design)
    return found


def combinations(block: GridBlock, design: Design) -> Iterator[Planned]:
    """Of a block of the grid; a list that it leaves out is the study's one choice."""
    also = tuple(map(Also.of, block.also or ()))
    for method, layer, timing, dose, rule, gate in product(
        block.methods or [design.study.method],
        block.layers or [None],
        block.timings or ["all"],
        block.doses or [design.controls.dose],
        block.rules or [design.rule],
        block.gates or [ALWAYS],
    ):
        behind = "" if gate == ALWAYS else gate
        for draw in range(design.controls.random) if method in KINDS else [None]:
            yield Planned(GRID, method, dose, rule_of(method, rule), timing, draw, layer, behind, also)
