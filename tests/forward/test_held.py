"""What a batch holds goes with it: nothing of it waits for Python to look for cycles."""

import gc
import weakref

import pytest
import torch
from tiny import ARCHITECTURES, llama

from trimtab.forward.hooks import capture
from trimtab.forward.packed import PackedRows
from trimtab.forward.recurrent import RecurrentRows


@pytest.fixture(autouse=True)
def no_search_for_cycles():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(
    "make", [lambda: PackedRows(llama(), 2), lambda: RecurrentRows(ARCHITECTURES["falcon_h1"](), 2)]
)
def test_rows_go_when_nobody_has_them(make):
    rows = make()
    cache, held = rows.cache, weakref.ref(rows)
    assert cache.layers
    del rows
    assert held() is None


def test_what_was_read_goes_with_its_reader():
    found = capture(llama(), [1, 2], input_ids=torch.tensor([[5, 6, 7]]))
    held = [weakref.ref(stream) for stream in found.values()]
    del found
    assert [each() for each in held] == [None, None]
