"""The page of top activating examples, one self-contained file.

All text on it was written by a model or comes from the corpus, so the template escapes everything; a token's strength
reaches the page as a number between 0 and 1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.report.templates import fill
from trimtab.saes.agreement import ALIKE
from trimtab.wording import listed


def page(latents: Mapping[str, Sequence[Mapping[str, Any]]], model: str, again: Mapping[int, float]) -> str:
    """The page's text.

    Args:
        latents: trait -> its probe's latents; each has layer, latent, weight, density and examples, an example a
            prompt_id, position, activation and tokens (pairs of text and strength as a share of the latent's largest).
        again: the share of a layer's latents that a dictionary of another seed has too, where there is one.
    """
    layers = sorted({int(latent["layer"]) for each in latents.values() for latent in each})
    return fill("examples.html.j2", traits=latents, model=model, seeds=_seeds(layers, again))


def _seeds(layers: Sequence[int], again: Mapping[int, float]) -> str:
    """How far the latents shown are a matter of the dictionary's seed."""
    known = [f"layer {at} has {100 * again[at]:.2g} % of these latents again" for at in layers if at in again]
    once = [str(at) for at in layers if at not in again]
    texts = [f"With another seed the dictionary of {listed(known)} (cosine {ALIKE:g} or more)"] if known else []
    if once:
        texts.append(f"layer{'s' * (len(once) > 1)} {listed(once)} {'was' if len(once) == 1 else 'were'} trained once")
    text = "; ".join(texts)
    return text[:1].upper() + text[1:]
