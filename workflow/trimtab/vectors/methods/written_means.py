"""Mean difference over all that the agent wrote, and not at the last token alone (persona vectors, 2507.21509).

Each prompt counts once, by the mean of its written tokens' rows, however many these are. In contrast prompts of kind
`opening` that is the start of the agent's turn; those of kind `instruction` end before it.
"""

import torch

from trimtab.vectors.contract import Direction, Material, normalised
from trimtab.vectors.unmade import CannotBeMade

LABEL = "Mean difference, written tokens"
SENTENCE = (
    "The vector is the mean difference of the poles, where each contrast prompt counts by the mean row of the tokens "
    "that the agent wrote."
)
SOURCE = "persona vectors, 2507.21509"
GROUPS = "means"


def make(material: Material) -> Direction:
    pairs, width = material.high.shape
    sums = torch.zeros(2 * pairs, width, dtype=torch.float64)
    counts = torch.zeros(2 * pairs, dtype=torch.float64)
    for part in material.readings.tokens(material.sites.at(material.layer)):
        prompt = (part.pair + pairs * ~part.high)[part.written]
        sums.index_add_(0, prompt, part.rows[part.written].double())
        counts += torch.bincount(prompt, minlength=2 * pairs)
    if not bool(counts.all()):
        raise CannotBeMade(f"written means of {material.trait}: a contrast prompt ends before the agent's own words")
    high, low = (sums / counts[:, None]).reshape(2, pairs, width)
    return normalised(high.mean(0) - low.mean(0), "written means")
