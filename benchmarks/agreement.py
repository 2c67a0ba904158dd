"""How much of what two engines played is the same, and how near a draw was where it isn't.

An episode is compared up to its first miss: what comes after reads another text. At a miss the other choice's logit is
raised until the same noise draws it; a miss is explained where the engines' own logits differ by as much.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from engines import Played, Taken
from jaxtyping import Float
from rounds import Table
from torch import Tensor

from trimtab.rollouts.chooser import Ask, Chooser

FIELDS = ("thought", "tool", "argument")
HALVINGS = 30


class Miss(NamedTuple):
    """The first choice of an episode that isn't the same."""

    episode: str
    choice: int
    """Which of the episode's."""
    ours: Taken
    theirs: Taken


class Shares(NamedTuple):
    """How many are the same, of how many."""

    fields: Mapping[str, tuple[int, int]]
    """Of those that were asked for after the same text."""
    first_thoughts: tuple[int, int]
    first_actions: tuple[int, int]
    """Of all episodes."""
    episodes: tuple[int, int]
    """To their end."""
    choices: tuple[int, int]
    """Tokens and actions, up to the first miss of an episode, which counts."""


def shares(ours: Played, theirs: Played, misses: Sequence[Miss]) -> Shares:
    mine, others = by_episode(ours.turns), by_episode(theirs.turns)
    same = {name: [0, 0] for name in FIELDS}
    whole = sum(_alike(own, others[key], same) for key, own in mine.items())
    first = {
        name: sum(own[0][name] == others[key][0][name] for key, own in mine.items()) for name in ("thought", "tool")
    }
    asked = sum(map(len, ours.taken.values()))
    unasked = sum(len(ours.taken[miss.episode]) - miss.choice - 1 for miss in misses)
    return Shares(
        {name: (equal, of) for name, (equal, of) in same.items()},
        (first["thought"], len(mine)),
        (first["tool"], len(mine)),
        (whole, len(mine)),
        (asked - unasked - len(misses), asked - unasked),
    )


def by_episode(turns: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for turn in turns:
        found.setdefault((turn["condition_id"], turn["scenario_id"]), []).append(turn)
    return found


def _alike(mine: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]], same: dict[str, list[int]]) -> bool:
    """Whether an episode is the same to its end; its fields are counted up to the first that isn't."""
    for one, other in zip(mine, theirs, strict=False):
        for name, counted in same.items():
            counted[1] += 1
            if one[name] != other[name]:
                return False
            counted[0] += 1
    return True


def misses_of(ours: Played, theirs: Played) -> list[Miss]:
    found = []
    for episode, own in ours.taken.items():
        for at, (one, other) in enumerate(zip(own, theirs.taken[episode], strict=False)):
            if one.number != other.number:
                found.append(Miss(episode, at, one, other))
                break
    return found


class Reason(NamedTuple):
    """Why two engines chose otherwise, in logits at the place, each computed alone there."""

    drawn_again: bool
    """Whether either engine's logits give again what it chose in the batch."""
    short: float
    """By how much the other's choice fell short in ours: its logit, so much larger, is drawn."""
    apart: float
    """By how much the engines' logits differ in favour of the other's choice over ours."""
    most: float
    """By how much any logit differs, the mean difference apart."""


def reason(
    chooser: Chooser, miss: Miss, ours: Float[Tensor, "vocabulary"], theirs: Float[Tensor, "vocabulary"]
) -> Reason:
    one, other = miss.ours.number, miss.theirs.number
    ask = Ask(miss.ours.acts, miss.ours.draw)
    tokens = chooser.firsts if ask.acts else range(len(ours))
    own = (_chosen(chooser, ask, ours), _chosen(chooser, ask, theirs))
    difference = (theirs - ours).double()
    apart = float(difference[tokens[other]] - difference[tokens[one]])
    most = float((difference - difference.mean()).abs().max())
    return Reason(own == (one, other), _short(chooser, ask, ours, tokens[other], other), apart, most)


def _chosen(chooser: Chooser, ask: Ask, logits: Float[Tensor, "vocabulary"]) -> int:
    [choice] = chooser.choices(logits[None], [ask])
    assert choice is not None
    return choice.number


def _short(chooser: Chooser, ask: Ask, logits: Float[Tensor, "vocabulary"], token: int, wanted: int) -> float:
    """How much larger the logit of `token` must be for `wanted` to be drawn by the same noise."""
    exact = logits.double()

    def drawn(more: float) -> bool:
        raised = exact.clone()
        raised[token] += more
        return _chosen(chooser, ask, raised) == wanted

    if drawn(0.0):
        return 0.0
    low, high = 0.0, 1e-6
    while not drawn(high):
        low, high = high, 2 * high
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if drawn(middle) else (middle, high)
    return high


class Compared(NamedTuple):
    """What both engines played of a run, beside one another."""

    about: str
    shares: Shares
    misses: list[Miss]
    reasons: list[Reason]
    """Of the first of them."""
    words: list[tuple[str, str]]
    """What either chose there."""


def same_table(found: Mapping[str, Compared]) -> Table:
    """A row a kind of what is the same, a column a dtype."""
    rows: dict[str, list[str]] = {}
    for each in found.values():
        told = each.shares
        rows.setdefault("rollouts", []).append(each.about)
        counts = {
            "first thoughts that are the same": told.first_thoughts,
            "first actions": told.first_actions,
            **{f"{name}s, of those asked after the same text": count for name, count in told.fields.items()},
            "choices (tokens and actions), up to an episode's first miss": told.choices,
            "episodes to their end": told.episodes,
        }
        for name, (equal, of) in counts.items():
            rows.setdefault(name, []).append(f"{equal} of {of} ({equal / of:.2%})")
        rows.setdefault("misses looked into, at the same text computed alone", []).append(str(len(each.reasons)))
        for name, value in reasons_told(each.reasons).items():
            rows.setdefault(name, []).append(value)
    return Table(["", *found], [[name, *values] for name, values in rows.items()])


def reasons_told(reasons: Sequence[Reason]) -> dict[str, str]:
    if not reasons:
        return {}
    explained = sum(each.short <= each.apart for each in reasons)
    again = sum(each.drawn_again for each in reasons)

    def spread(values: Sequence[float]) -> str:
        return f"{median(values):.1e} ({min(values):.1e} to {max(values):.1e})"

    return {
        "of these, draws repeated by either's logits": str(again),
        "of these, the choice of vLLM fell short by less than the engines' logits differ": str(explained),
        "by how much it fell short, in logits": spread([each.short for each in reasons]),
        "by how much the logits of the two choices differ": spread([each.apart for each in reasons]),
        "by how much any logit differs": spread([each.most for each in reasons]),
    }


def miss_table(dtype: str, found: Compared) -> Table:
    rows = [
        [miss.episode, str(miss.choice + 1), *words, f"{why.short:.1e}", f"{why.apart:.1e}", f"{why.most:.1e}"]
        for miss, why, words in zip(found.misses, found.reasons, found.words, strict=False)
    ]
    heads = ["choice", "Trimtab", "vLLM", "fell short by", "logits of both differ by", "any logit differs by"]
    return Table([f"miss in {dtype}", *heads], rows)
