"""Vectors by name, and pushes as a model's name says them: `smollm2:lda.autonomy@0.1:kl:decode`.

A client that can't send fields of its own can always choose a model. What follows the dose is told apart by its word:
no unit, rule and timing share one.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from trimtab.artifacts.schemas import near, shown
from trimtab.config.complaints import lines
from trimtab.errors import TrimtabError
from trimtab.rollouts.loaded import Loaded
from trimtab.serve.asked import Push
from trimtab.settings.rollouts import ROLES, Rule, Unit
from trimtab.steering.catalogue import AS_MADE, FIRST, LENGTH, RULES
from trimtab.vectors import artifact
from trimtab.vectors.applications import SEARCHED
from trimtab.vectors.artifact import OwnEdits, Vector

Made = Vector | OwnEdits

DEFAULT_UNIT = Push.model_fields["unit"].default

FORM = "<vector>@<dose>, and more parts as :kl, :decode or :keep_norm"

IN_ANY = ("all", "prefill", "decode", "last_prompt", "prefill_but_last")
"""Timings that a plain text has too; thoughts, cues and calls are told apart in rollouts alone."""


class NoSuchModel(TrimtabError):
    """A name that no model and no vector here has."""


def read_vectors(paths: Iterable[Path], loaded: Loaded) -> dict[str, Made]:
    """What files and folders hold for a model, by method and trait.

    Raises:
        TrimtabError: there is no such file, none in a folder, one that can't be read or is of another model, or two of
            one name.
    """
    found: dict[str, Made] = {}
    for path in paths:
        files = sorted(path.rglob("*.safetensors")) if path.is_dir() else [path]
        if not files:
            raise TrimtabError(f"{path}: holds no file of vectors; expected a run's folder vectors, or files of it")
        made, _ = artifact.read_all(files)
        for each in made:
            name = f"{each.method}.{each.trait}"
            if name in found:
                raise TrimtabError(f"{each.path}: is {name} as {found[name].path} is; expected one file a name")
            loaded.require(each)
            found[name] = each
    return found


def asked_by(text: str, name: str) -> Push | None:
    """The push that a model's name asks for; None for the model as it is.

    Args:
        name: of the served model.

    Raises:
        NoSuchModel: it names another model.
        TrimtabError: it asks for a push in a way that can't be read.
    """
    if text == name:
        return None
    if not text.startswith(f"{name}:"):
        raise NoSuchModel(f"model: {shown(text)} is not served here; expected {name}, or {name}:{FORM}")
    wanted = text.removeprefix(f"{name}:")
    vector, at, rest = wanted.partition("@")
    dose, *words = rest.split(":")
    if not at or not dose:
        raise TrimtabError(f"model: {shown(text)} says no dose; expected {name}:{FORM}")
    said: dict[str, str | float] = {"vector": vector, "dose": _number(text, dose)}
    for word in words:
        key = "unit" if word in get_args(Unit) else "rule" if word in get_args(Rule) else "timing"
        if key in said:
            raise TrimtabError(f"model: {shown(text)} says {key} twice; expected {name}:{FORM}")
        said[key] = word
    try:
        return Push.model_validate(said)
    except ValidationError as error:
        raise TrimtabError(f"model, {next(lines(error, Push))}") from None


def _number(text: str, dose: str) -> float:
    try:
        found = float(dose)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise TrimtabError(f"model: {shown(text)} has dose {shown(dose)}; expected a finite number")
    return found


def vector_of(push: Push, vectors: Mapping[str, Made]) -> Made:
    """
    Raises:
        NoSuchModel: there is no such vector.
    """
    if push.vector not in vectors:
        guess = near(push.vector, vectors)
        hint = f"did you mean {guess}?" if guess else f"GET /v1/models names the {len(vectors)} that are"
        raise NoSuchModel(f"vector: {shown(push.vector)} is not served here; {hint}")
    return vectors[push.vector]


def check_timing(timing: str, is_chat: bool) -> None:
    """
    Raises:
        TrimtabError: no token of such a request is told apart by it.
    """
    known = [*IN_ANY, *(role for role in ROLES if is_chat and role != "tool")]
    if timing not in known and FIRST.fullmatch(timing) is None:
        what = "a chat" if is_chat else "a plain prompt"
        raise TrimtabError(f"timing: {shown(timing)} is none of {what}; expected {', '.join(known)} or decode_<number>")


def check_unit(push: Push, rule: str) -> None:
    """Pass a push whose unit and rule go together: the one that has no say would be left out in silence.

    Args:
        rule: the one that is applied.

    Raises:
        TrimtabError: they don't.
    """
    if push.unit == "probability":
        if push.rule is not None:
            raise TrimtabError(f"rule: {push.rule} with unit probability, which is a rule itself; expected none")
        if not 0 < push.dose < 1:
            raise TrimtabError(f"dose: {push.dose:g} with unit probability; expected a number between 0 and 1")
        return
    counts = RULES[rule].counts
    if counts != LENGTH and push.unit != DEFAULT_UNIT and not (rule == AS_MADE and push.unit in SEARCHED):
        raise TrimtabError(f"unit: {push.unit} with rule {rule}, whose dose is a {counts}; expected no unit")
