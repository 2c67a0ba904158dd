"""Whether a faster way through a model gives what the model alone gives: found by going both ways once, on few tokens.

What an architecture does with keys, masks and positions can't be told from its name, and a way that is wrong for it
often raises nothing. So a way is taken only after it has been seen to be right; a model for which it isn't goes
another way.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.errors import TrimtabError

TOLERANCE = {torch.bfloat16: 0.125, torch.float16: 0.02, torch.float32: 1e-4, torch.float64: 1e-4}
"""Largest relative difference that rounding may cause; a padding leak was seen to cause 0.3 (field notes). Norms and
angles of positions are float32 in a float64 model too."""

FAILURES = (AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a model may raise where it is fed in a way that it isn't made for; nothing else is expected there."""

LONGEST = 300
"""Characters quoted of what a model raises."""


@contextmanager
def alone(model: PreTrainedModel) -> Iterator[None]:
    """Context manager for a model's first pass, in the way that `transformers` itself feeds it.

    Raises:
        TrimtabError: the model raises something.
    """
    try:
        yield
    except FAILURES as error:
        told = " ".join(str(error).split())[:LONGEST]
        raise TrimtabError(
            f"{type(model).__name__}: can't read plain rows of tokens; {type(error).__name__} ({told})"
        ) from error


def relative(wanted: Float[Tensor, "*any"], got: Float[Tensor, "*any"]) -> float:
    """Root mean square of the difference over that of what is wanted; NaN where a number isn't finite."""
    wanted, got = wanted.float(), got.to(wanted.device).float()
    return float((wanted - got).square().mean().sqrt() / wanted.square().mean().sqrt())


def alike(
    model: PreTrainedModel, wanted: Sequence[Float[Tensor, "*any"]], got: Sequence[Float[Tensor, "*any"]]
) -> bool:
    """Whether two ways give the same but for rounding in the model's dtype."""
    pairs = list(zip(wanted, got, strict=True))
    # NaN is not below anything
    return all(a.shape == b.shape and relative(a, b) <= TOLERANCE[model.dtype] for a, b in pairs)


def rows_of_tokens(model: PreTrainedModel, lengths: Sequence[int]) -> list[list[int]]:
    """Token ids of rows of these lengths, all different where the vocabulary allows it."""
    vocabulary = min(1000, int(model.config.get_text_config(decoder=True).vocab_size))
    return [[(3 + 7 * at + 31 * row) % vocabulary for at in range(length)] for row, length in enumerate(lengths)]
