"""Two dictionaries of one layer: the same one gives the same vector, another basis of the same rows another."""

from dataclasses import replace

import pytest
import torch

from trimtab.probes.contrast import Contrast
from trimtab.saes.sae import SAE, TopKActivation
from trimtab.settings.probes import FitSettings
from trimtab.vectors.stability import stability

SETTINGS = FitSettings(penalties=[1.0, 100.0], folds=3, shuffles=1)
D, PAIRS, TEMPLATES = 16, 6, 9


def dictionary(seed: int) -> SAE:
    """An orthonormal basis and its negative, all of them open: it loses nothing."""
    basis = torch.linalg.qr(torch.randn(D, D, generator=torch.Generator().manual_seed(seed)))[0]
    both = torch.cat([basis, -basis])
    return SAE(both.T.contiguous(), torch.zeros(2 * D), both, torch.zeros(D), TopKActivation(2 * D))


def contrast(sae: SAE) -> Contrast:
    """One layer whose first coordinate holds the trait, read by `sae`."""
    n = TEMPLATES * PAIRS * 2
    labels = torch.arange(n, dtype=torch.float64) % 2
    raw = torch.randn(n, D, generator=torch.Generator().manual_seed(0))
    raw[:, 0] += 3 * (labels - 0.5)
    templates = [f"t{i // (2 * PAIRS)}" for i in range(n)]
    split = {f"t{t}": "test" if t == 0 else "fit" for t in range(TEMPLATES)}
    latents = {4: sae.latents(raw).double()}
    return Contrast(
        labels=labels,
        pairs=[f"p{i // 2}" for i in range(n)],
        templates=templates,
        splits=[split[name] for name in templates],
        domains=["d"] * n,
        sub_behaviours=["s"] * n,
        texts=[""] * n,
        raw={4: raw.double()},
        latents=latents,
        untrained=latents,
    )


def test_the_same_dictionary_gives_the_same_vector():
    sae = dictionary(1)
    found = stability(4, contrast(sae), contrast(sae), (sae, sae), SETTINGS, seed=0)
    assert found.cosine == pytest.approx(1, abs=1e-12)
    assert found.agreement == pytest.approx(1, abs=1e-12)
    assert found.r2_first == found.r2_again > 0.3
    assert found.layer == 4


def test_two_bases_of_the_same_rows_predict_alike_and_point_elsewhere():
    one, other = dictionary(1), dictionary(2)
    found = stability(4, contrast(one), contrast(other), (one, other), SETTINGS, seed=0)
    assert found.agreement > 0.9
    assert found.r2_again > 0.3
    # kinks at zero lie elsewhere, so the directions differ a little; neither is far from the trait's
    assert 0.8 < found.cosine < 0.9999


def test_a_decoder_that_points_elsewhere_is_seen():
    """The same latents, and so the same probe, decoded by rows turned round."""
    sae = dictionary(1)
    turned = replace(sae, W_dec=-sae.W_dec)
    found = stability(4, contrast(sae), contrast(sae), (sae, turned), SETTINGS, seed=0)
    assert found.cosine == pytest.approx(-1, abs=1e-12)
    assert found.agreement == pytest.approx(1, abs=1e-12)
