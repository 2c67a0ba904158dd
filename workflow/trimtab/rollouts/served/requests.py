"""What vLLM is asked for an episode: a field, or an action, after all that the episode has so far.

A request carries an order for the worker, as a text, since that is what vLLM passes on: how each token is drawn, and
where each stands in its episode, so that a push touches the same tokens however vLLM cuts, caches or repeats a prompt.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain, groupby
from typing import NamedTuple

from trimtab.artifacts.kept import parts
from trimtab.rollouts.chooser import Chooser
from trimtab.rollouts.episode import Choice
from trimtab.steering.edits import Edits
from trimtab.steering.gated import Opening


@dataclass(frozen=True)
class Order:
    """What the worker does for a request."""

    name: str
    """Among the requests that are asked together."""
    acts: bool
    """Whether an action is chosen, rather than tokens written."""
    draws: list[int | float]
    """The noise of each token that may be written, or of the action."""
    end: int
    """A token that ends what is written."""
    arm: str = ""
    """Name of the edits; empty for none."""
    gated: bool = False
    """Whether the edits have gates, which must see every token: nothing that was computed before is taken."""
    places: Sequence[int] = ()
    """Of the prompt's tokens and of those that may be written, where there are edits (`trimtab.steering.places`)."""
    keeps_logits: bool = False
    """Whether the logits of the first draw are kept, for checks."""
    rows_from: int | None = None
    """The first token of the prompt whose rows of the stream are kept; None for none."""

    def text(self) -> str:
        # places come in runs, hundreds long
        runs = [[place, len([*same])] for place, same in groupby(self.places)]
        return json.dumps(asdict(self) | {"places": runs})

    @classmethod
    def of(cls, text: str) -> "Order":
        found = json.loads(text)
        places = [*chain.from_iterable([place] * count for place, count in found["places"])]
        return cls(**found | {"places": places})


MOST_LIKELY = Chooser([0], [0.0], 1e-6, "inverse_cdf")
"""At so low a temperature, the most likely token is drawn by any number."""


class Request(NamedTuple):
    order: Order
    tokens: list[int]
    salt: str | None
    """Requests of one salt share what vLLM has computed of their prompts, and no others do; None is a salt too."""


class Reply(NamedTuple):
    choices: list[Choice | None]
    """None ends them where logits were not finite."""
    openings: list[Opening]
    """How the edits' gates stood at the tokens that were read."""


def salt(edits: Edits) -> str | None:
    """Of requests under edits, whose prompts have other keys and values than under any others."""
    if not edits:
        return None
    digest = hashlib.sha256()
    for part in parts(edits):
        digest.update(part)
    return digest.hexdigest()
