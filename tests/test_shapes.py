"""A shape or dtype that isn't the annotation's is an error in every test: of functions, dataclasses, named tuples."""

import pytest
import torch
from jaxtyping import TypeCheckError

from trimtab.forward.attention import Mask
from trimtab.probes.ridge import Standardiser
from trimtab.steering.edits import added
from trimtab.steering.places import Places

ROWS = torch.randn(5, 3)


def test_of_a_parameter():
    Standardiser.of(ROWS)
    with pytest.raises(TypeCheckError, match="rows"):
        Standardiser.of(ROWS[0])


def test_of_a_returned_value():
    """One column meets the spread of three, and broadcasting makes three of it."""
    with pytest.raises(TypeCheckError, match="return value"):
        Standardiser.of(ROWS)(ROWS[:, :1])


def test_of_a_field_of_a_dataclass():
    with pytest.raises(TypeCheckError, match="direction"):
        added(1, ROWS, 1.0, "all")


def test_of_a_field_of_a_named_tuple():
    with pytest.raises(TypeCheckError, match="written"):
        Places(torch.zeros(2), *torch.zeros(3, 2, dtype=torch.long), *torch.zeros(2, 2, dtype=torch.bool))
    with pytest.raises(TypeCheckError, match="blind"):
        Mask(torch.zeros(2, 1, 3, 4), torch.zeros(2, 1, 3))
