"""A batch of rollouts that dies while it writes down a step, for tests that let it go on."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from trimtab.rollouts.journal import Journal


@contextmanager
def killed_at(monkeypatch: pytest.MonkeyPatch, last: int) -> Iterator[None]:
    """The run inside ends before step `last` is kept."""
    write = Journal.write

    def killing(journal, batch, step, chosen):
        if step == last:
            raise KeyboardInterrupt
        write(journal, batch, step, chosen)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", killing)
        with pytest.raises(KeyboardInterrupt):
            yield
