"""The page's example runs as it stands there, and its table has the fields that there are."""

import re
from pathlib import Path

import pytest

from trimtab.serve.asked import Push
from trimtab.serve.named import DEFAULT_UNIT, IN_ANY
from trimtab.settings.rollouts import Rule, Unit
from trimtab.steering.catalogue import RULES, TIMINGS
from trimtab.vectors.units import UNITS

PAGE = (Path(__file__).parents[2] / "docs/serve.md").read_text()


@pytest.mark.slow
def test_the_example_asks_a_plain_and_a_steered_model(client):
    (example,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    for there, here in (
        ("http://127.0.0.1:8000/v1", client.address),
        ("behaviour.autonomy", "raptor.autonomy"),
        ('"smollm2', '"tiny'),
    ):
        assert there in example
        example = example.replace(there, here)
    found = {}
    exec(example, found)
    assert found["steered"] == found["same"] != found["plain"]


def test_what_the_page_says_of_fields_holds():
    rows = re.findall(r"^\| `[@:]\S+` \| `(\w+)` \| `?(\w+)", PAGE, re.MULTILINE)
    assert {field for field, _ in rows} == set(Push.model_fields) - {"vector"}
    assert dict(rows)["unit"] == DEFAULT_UNIT
    assert dict(rows)["timing"] == Push.model_fields["timing"].default
    assert all(f"`{timing}`" in PAGE for timing in IN_ANY)


def test_words_of_a_name_are_told_apart():
    names = [*UNITS, *RULES, *TIMINGS]
    assert len(names) == len(set(names))
    assert set(Unit.__args__) == set(UNITS)
    assert set(Rule.__args__) <= set(RULES)
