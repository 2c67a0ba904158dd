"""Which latents go with a trait: the study's association score, with the chance of one as large and its correction.

Chance is measured by turning round the poles: of single pairs, as if pairs were independent, and of whole templates,
which are what was sampled. A latent is named by templates; the chance by pairs is kept beside it for comparison with
other work. Few templates can't give small chances (seven: 1 in 64 at least), and say so rather than hide it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from statsmodels.stats.multitest import multipletests
from torch import Tensor

from trimtab.probes.controls import association

DRAWS = 10_000
EXACT = 12
"""Up to this many templates, all ways of turning them are counted instead of drawn."""


def table(gaps: Mapping[int, Float[Tensor, "pair _"]], templates: Sequence[str], seed: int) -> pd.DataFrame:
    """One row a layer and latent: score, both chances, and the false discovery rate by each within the layer.

    `q_templates` is the one to go by. `q_pairs` takes pairs for independent: where templates differ, a third of latents
    without any trait has a `p_pairs` below .05.

    Args:
        gaps: high minus low of each pair, by layer.
        templates: of each pair.
    """
    generator = torch.Generator().manual_seed(seed)
    pairs = 2.0 * torch.randint(2, (DRAWS, len(templates)), generator=generator).double() - 1
    wholes = _template_signs(templates, generator)
    parts = []
    for layer, rows in gaps.items():
        # most latents are silent in all pairs, and a latent without a gap has a chance of 1
        alive = (rows != 0).any(0)
        p, whole = (torch.ones(rows.shape[1], dtype=torch.float64) for _ in range(2))
        p[alive] = chance(rows[:, alive], pairs, observed_counts=True)
        whole[alive] = chance(rows[:, alive], wholes, observed_counts=len(set(templates)) > EXACT)
        parts.append(
            pd.DataFrame(
                {
                    "layer": layer,
                    "latent": np.arange(rows.shape[1]),
                    "mean_gap": rows.mean(0).numpy(),
                    "association": association(rows).numpy(),
                    "p_pairs": p.numpy(),
                    "q_pairs": multipletests(p.numpy(), method="fdr_bh")[1],
                    "p_templates": whole.numpy(),
                    "q_templates": multipletests(whole.numpy(), method="fdr_bh")[1],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def chance(
    gaps: Float[Tensor, "pair latent"], signs: Float[Tensor, "draw pair"], observed_counts: bool
) -> Float[Tensor, "latent"]:
    """Share of sign changes whose mean gap is as far from 0 as the one seen (two-sided).

    Turned round or not, a latent's gaps have the same squares, so the order of means is that of association scores.

    Args:
        observed_counts: signs are drawn, so what was seen counts as one more draw; all sign changes hold it already.
    """
    seen = gaps.sum(0).abs()
    # rounding must not tell a draw from the very same sum
    as_large = ((signs @ gaps).abs() >= seen * (1 - 1e-12) - 1e-300).double().sum(0)
    return (as_large + observed_counts) / (len(signs) + observed_counts)


def _template_signs(templates: Sequence[str], generator: torch.Generator) -> Float[Tensor, "draw pair"]:
    names = sorted(set(templates))
    if len(names) <= EXACT:
        bits = torch.arange(2 ** len(names))[:, None] >> torch.arange(len(names)) & 1
    else:
        bits = torch.randint(2, (DRAWS, len(names)), generator=generator)
    return (2.0 * bits.double() - 1)[:, [names.index(template) for template in templates]]
