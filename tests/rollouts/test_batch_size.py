"""Batches that fit the memory that the config grants, by a count that is done by hand here."""

import pytest

from trimtab.forward.memory import bytes_a_token
from trimtab.rollouts.batch_size import bytes_a_row, rows_together
from trimtab.settings.rollouts import BatchSettings

FIRST, LONGEST = 20, 100


def granted(model, megabytes, conditions="auto", together=50, scenarios=50):
    # not checked: a whole megabyte is more than a row of so small a model takes
    settings = BatchSettings.model_construct(batch_conditions=conditions, batch_scenarios=together, memory_mb=megabytes)
    return tuple(rows_together(settings, model, scenarios, FIRST, LONGEST))


@pytest.mark.slow
def test_a_row_is_its_keys_and_values_its_task_and_its_logits(model):
    """float64: 8 bytes a number; keys and values of all layers for 100 tokens; logits as they come and in float32."""
    config = model.config
    numbers = 2 * config.num_key_value_heads * config.head_dim * config.num_hidden_layers
    assert bytes_a_row(model, FIRST, LONGEST) == (
        8 * numbers * LONGEST + FIRST * bytes_a_token(model, 0, LONGEST) + config.vocab_size * (8 + 4)
    )


@pytest.mark.parametrize(("rows", "found"), [(250, (5, 50)), (249, (4, 50)), (50, (1, 50)), (49, (1, 49)), (0, (1, 1))])
def test_conditions_are_as_many_as_have_room_and_scenarios_give_way_last(model, rows, found):
    assert granted(model, (rows + 0.5) * bytes_a_row(model, FIRST, LONGEST) / 1e6) == found


def test_fewer_scenarios_leave_room_for_more_conditions(model):
    enough = 100.5 * bytes_a_row(model, FIRST, LONGEST) / 1e6
    assert granted(model, enough, scenarios=10) == (10, 10)
    assert granted(model, enough, together=20) == (5, 20)


def test_a_number_is_taken_as_it_is(model):
    assert granted(model, 1, conditions=7) == (7, 50)
