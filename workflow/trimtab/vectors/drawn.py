"""Names of random directions: which are vectors of their own, and which are read in decisions alone.

It is read when Snakemake starts and imports nothing heavy; how the latter are drawn is in `trimtab.vectors.chance`.
"""

from collections.abc import Sequence

from trimtab.agent.names import RANDOM

CORPUS_RANDOM = "corpus_random"
KINDS = (RANDOM, CORPUS_RANDOM)
"""From the sphere, and with the covariance of the corpus' rows: methods of these names."""


def beyond(kind: str, draws: int, vectors: Sequence[str]) -> list[str]:
    """Names of a kind's directions after those that are vectors of their own, so that there are `draws` in all.

    Args:
        vectors: names of the vectors, such as random_0.
    """
    own = [name for name in vectors if name == kind or name.removeprefix(f"{kind}_").isdecimal()]
    return [f"{kind}_{number}" for number in range(len(own), draws)]
