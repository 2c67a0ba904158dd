"""Transfer to what a fit has not seen and the wording alone."""

import pytest
import torch

from trimtab.probes.nested import score
from trimtab.probes.transfer import across, words


def rows(own=False, seed=0):
    """Four domains, six templates; the trait is one direction, or in each domain another."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.arange(192) % 2).double()
    domains = [f"d{(i // 2) % 4}" for i in range(192)]
    templates = [f"t{i // 32}" for i in range(192)]
    x = torch.randn(192, 8, generator=generator, dtype=torch.float64)
    for row, domain in enumerate(domains):
        x[row, int(domain[1]) if own else 5] += 4 * labels[row]
    return x, labels, domains, templates


def test_a_trait_that_all_domains_share_is_carried_over():
    x, labels, domains, templates = rows()
    assert score(across(x, labels, domains, templates, 1.0, 3, 0), labels).auc > 0.95


def test_a_trait_that_each_domain_has_its_own_way_is_not():
    x, labels, domains, templates = rows(own=True)
    assert score(across(x, labels, domains, templates, 1.0, 3, 0), labels).auc < 0.75


@pytest.mark.slow
@pytest.mark.parametrize("family", ["ridge", "logistic"])
def test_a_row_has_no_say_in_its_own_prediction_nor_have_its_domain_and_template(family):
    x, labels, domains, templates = rows()
    before = across(x, labels, domains, templates, 1.0, 3, 0, family)
    kin = torch.tensor([d == domains[0] or t == templates[0] for d, t in zip(domains, templates, strict=True)])
    spoilt = torch.where(kin[:, None], -30 * x, x)
    spoilt[0] = x[0]
    torch.testing.assert_close(across(spoilt, labels, domains, templates, 1.0, 3, 0, family)[0], before[0])


def test_a_single_domain_leaves_nothing_to_fit_on():
    x, labels, _, templates = rows()
    assert across(x, labels, ["d0"] * 192, templates, 1.0, 3, 0) is None


def test_words_are_counted():
    table = words(["Ask the user, ask!", "I'll do it"])
    assert table.tolist() == [[2, 0, 0, 0, 1, 1], [0, 1, 1, 1, 0, 0]]
