"""The page of top activating examples, one self-contained file.

All text on it was written by a model or comes from the corpus, so the template escapes everything; a token's strength
reaches the page as a number between 0 and 1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.report.templates import fill


def page(latents: Mapping[str, Sequence[Mapping[str, Any]]], model: str) -> str:
    """The page's text.

    Args:
        latents: trait -> its probe's latents; each has layer, latent, weight, density and examples, an example a
            prompt_id, position, activation and tokens (pairs of text and strength as a share of the latent's largest).
    """
    return fill("examples.html.j2", traits=latents, model=model)
