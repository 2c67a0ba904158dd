"""A synthetic probing problem whose answer is known."""

import pytest
import torch


@pytest.fixture
def experiment():
    return make


def make(seed, templates=6, rows=8, features=10, strength=1.0):
    """Labels that the first feature of layer 1 follows, and template effects that it doesn't."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(templates * rows, dtype=torch.float64) % 2
    groups = [f"t{i // rows}" for i in range(templates * rows)]
    noise = torch.randn(2, len(labels), features, generator=generator, dtype=torch.float64)
    effect = torch.randn(templates, features, generator=generator, dtype=torch.float64).repeat_interleave(rows, 0)
    layers = {0: noise[0] + effect, 1: noise[1] + effect}
    layers[1][:, 0] += strength * 4 * labels
    return layers, labels, groups
