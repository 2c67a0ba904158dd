"""Random directions: their kinds, which are vectors of their own, and which are read in decisions alone.

It is read when Snakemake starts and imports nothing heavy; how the latter are drawn is in `trimtab.vectors.chance`.
"""

from collections.abc import Iterable, Mapping, Sequence

from trimtab.agent.names import RANDOM
from trimtab.wording import listed

CORPUS_RANDOM = "corpus_random"
KINDS = {RANDOM: "of the sphere", CORPUS_RANDOM: "as the corpus varies"}
"""Methods of these names, of which a trait has several draws, and how sentences tell them apart: from the sphere, and
with the covariance of the corpus' rows."""


def of_kinds(counts: Mapping[str, int]) -> str:
    """What follows a number of random directions where not all are of the sphere: so many of each kind.

    Args:
        counts: by kind, those that there are.
    """
    if [*counts] in ([], [RANDOM]):
        return ""
    return f" ({listed([f'{count} {KINDS[kind]}' for kind, count in counts.items()])})"


def labels(kinds: Iterable[str]) -> dict[str, str]:
    """What each of some kinds is called, where these are all there are."""
    there = [*kinds]
    return {kind: "random directions" if there == [RANDOM] else f"random directions {KINDS[kind]}" for kind in there}


def beyond(kind: str, draws: int, vectors: Sequence[str]) -> list[str]:
    """Names of a kind's directions after those that are vectors of their own, so that there are `draws` in all.

    Args:
        vectors: names of the vectors, such as random_0.
    """
    own = [name for name in vectors if name.removeprefix(f"{kind}_").isdecimal()]
    return [f"{kind}_{number}" for number in range(len(own), draws)]
