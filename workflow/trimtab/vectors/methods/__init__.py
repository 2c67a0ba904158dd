"""Methods of steering, one a file: `make(material)` gives the direction of one trait at one layer, or edits.

A file also says what its method is called and does, in the constants of `trimtab.wording`. One that makes edits of
its own rather than a direction says `MAKES = "edits"`, and if these leave nothing along the vectors of another method,
`REMOVES` names that; one whose direction is latents decoded says `GIVES = "code"`; one that asks for more than the
trait's own rows says in `NEEDS` what (`NEEDS` here); one that is there for others to be compared with says in `NULL_OF`
whose null it is (`trimtab.vectors.nulls`). The workflow and the report ask for these, so files are read here and not
run.

The name of a vector may begin with transformations (`trimtab.vectors.transformations`), the last one first:
`specific_sae_pattern`, `specific_shuffled_sae_attributed`.

In the config the name of a group, which files name in `GROUPS` (`GROUPS` here), stands for its methods, and `all` for
all there are.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from trimtab.vectors import transformations
from trimtab.wording import Wording, constants, kinds, of_file

FOLDER = Path(__file__).parent
NEEDS = {
    "actions": "which first actions each trait's declared outcome counts (statistics.primary)",
    "prompts": "the contrast prompts of all traits",
    "rows": "rows of the contrast prompts of all traits",
    "corpus": "rows of the corpus",
    "episodes": "the agent's own unsteered episodes on development tasks",
    "twin": "a model of the same shape that was tuned from this one (vectors.twin)",
    "roles": "sentences that give the agent a role (roles.yaml)",
    "rules": "sentences that are rules for a trait (rules.yaml)",
}
"""What a method may ask for beyond the trait's own rows."""
EVERY = "all"
TRAINED = "trained"
"""The group of methods that are trained through the model."""
IMPORTED = "imported"
"""The method that reads its vectors from files, and is named by itself: no group holds it."""
GROUPS = {
    "means": "directions from the means and components of rows",
    "probes": "directions from what a probe's weights, or a discriminant's, say",
    "patterns": "directions from how rows vary with what a probe reads, or with what the agent does",
    "gradients": "directions that go by gradients of the agent's words or first actions",
    TRAINED: "what is learned through the model, by gradients (vectors.training)",
    "episodes": "what methods make of the agent's own episodes on development tasks",
    "edits": "methods that make edits of their own and no direction",
    "controls": "directions that have no aim, and show what chance or the choice of a method does",
}
"""Names that stand for several methods, and what these have in common."""


def known() -> list[str]:
    """The methods there are."""
    return [*kinds(FOLDER)]


def members(group: str) -> list[str]:
    """The methods of a group, or of `EVERY`."""
    return [name for name in known() if name != IMPORTED and group in (EVERY, *_groups(name))]


def _groups(method: str) -> list[str]:
    found = constants(FOLDER / f"{method}.py")
    return [*found.get("GROUPS", "").split(), *(["edits"] if found.get("MAKES") == "edits" else [])]


def expanded(given: Sequence[str]) -> Iterator[str]:
    """Names of a config, with the methods of a group in its place, but for those that are named or came before."""
    seen = set(given)
    for name in given:
        if name not in (EVERY, *GROUPS):
            yield name
            continue
        new = [each for each in members(name) if each not in seen]
        seen.update(new)
        yield from new


def split(name: str) -> tuple[list[str], str]:
    """A name's transformations, the last one first, and its method, which need not exist."""
    if name not in known():
        for transformation in transformations.known():
            if name.startswith(f"{transformation}_"):
                more, method = split(name.removeprefix(f"{transformation}_"))
                return [transformation, *more], method
    return [], name


def exists(name: str) -> bool:
    """Whether there is such a method, transformed or not; a draw of one isn't meant."""
    return split(name)[1] in known()


def files(name: str) -> list[Path]:
    """Files that say how a vector is made: the method's, then those of its transformations, the first one first."""
    changes, method = split(name)
    return [FOLDER / f"{method}.py", *(transformations.FOLDER / f"{each}.py" for each in reversed(changes))]


def makes_edits(name: str) -> bool:
    """Whether a method, or one of its transformations, makes edits, which are applied as made, and no direction that a
    rule applies."""
    return any(path.is_file() and constants(path).get("MAKES") == "edits" for path in files(name))


def gives_code(name: str) -> bool:
    """Whether a vector comes with the latents that it is decoded from, which rule `edit_code` edits."""
    plain, *changes = (constants(path) if path.is_file() else {} for path in files(name))
    return plain.get("GIVES") == "code" and all(each.get("KEEPS") == "code" for each in changes)


def is_trained(name: str) -> bool:
    """Whether a method, transformed or not, is trained through the model."""
    method = split(name)[1]
    return (FOLDER / f"{method}.py").is_file() and TRAINED in _groups(method)


def removes(method: str) -> str:
    """The method of whose vectors this one's edits, applied as made, leave nothing in the stream; empty for none."""
    path = FOLDER / f"{method}.py"
    return constants(path).get("REMOVES", "") if path.is_file() else ""


def needs(name: str) -> set[str]:
    """Which of `NEEDS` a vector is made from."""
    return {need for path in files(name) for need in constants(path).get("NEEDS", "").split()}


def wording(name: str) -> Wording:
    """What a method's file, and those of its transformations, say.

    Raises:
        TrimtabError: one doesn't say it.
    """
    plain, *changes = map(of_file, files(name))
    return Wording(
        label=", ".join([plain.label, *(each.label for each in changes)]),
        sentence=" ".join([plain.sentence, *(each.sentence for each in changes)]),
        source="; ".join(each.source for each in (plain, *changes) if each.source),
    )
