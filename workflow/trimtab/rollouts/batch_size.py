"""How many episodes share a batch of the model, from its shape and the memory that the config grants.

As with captured batches (`trimtab.forward.memory`), free memory would be a finer measure, but who shares a batch
moves the last bits of numbers in half precision, so it must follow from what the provenance states.
"""

from typing import NamedTuple

import torch
from transformers import PreTrainedModel

from trimtab.forward.memory import bytes_a_token, key_value
from trimtab.settings.rollouts import BatchSettings

FLOAT32 = 4


class Rows(NamedTuple):
    """A batch of the model."""

    conditions: int
    scenarios: int
    """Of each condition."""


def rows_together(settings: BatchSettings, model: PreTrainedModel, scenarios: int, first: int, longest: int) -> Rows:
    """The most conditions and scenarios of a batch.

    Args:
        scenarios: how many there are.
        first: tokens of the longest task, which all rows are fed in one pass.
        longest: tokens of the longest episode, the header apart.
    """
    scenarios = min(scenarios, settings.batch_scenarios)
    if isinstance(settings.batch_conditions, int):
        return Rows(settings.batch_conditions, scenarios)
    # a config that says auto has it
    assert settings.memory_mb is not None
    affordable = max(1, int(settings.memory_mb * 1e6) // bytes_a_row(model, first, longest))
    return Rows(max(1, affordable // scenarios), min(scenarios, affordable))


def bytes_a_row(model: PreTrainedModel, first: int, longest: int) -> int:
    """Upper bound on the bytes one episode needs. Weights and the shared header are not counted."""
    config = model.config.get_text_config(decoder=True)
    size = torch.finfo(model.dtype).bits // 8
    # a recurrent layer's state is smaller than the keys and values of an episode; it is counted as if it were these
    kept = key_value(config) * int(config.num_hidden_layers) * size * longest
    # logits twice: as the model gives them, and as float32
    return kept + first * bytes_a_token(model, 0, longest) + int(config.vocab_size) * (size + FLOAT32)
