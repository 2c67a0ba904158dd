"""Code of rollouts makes no cache anew; vLLM's reader, which is imported by name, is there."""

from importlib import import_module
from pathlib import Path

import pytest

from trimtab.artifacts.digest import LIBRARY, modules
from trimtab.model.rows import SERVED

SCRIPTS = sorted((LIBRARY.parent / "scripts").glob("activations_*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_that_fills_a_cache_knows_nothing_of_rollouts(script):
    assert not [name for name in modules(script, LIBRARY) if name.startswith("trimtab.rollouts")]


def test_the_reader_of_vllm_is_where_the_rules_look_for_its_code():
    reader = import_module(SERVED)
    assert callable(reader.served)
    assert Path(reader.__file__) == LIBRARY / "rollouts/served/rows.py"
