"""What tests share: checked shapes, no deadlines, the packaged model's frequent tokens, the agent's protocol."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import shapes
from hypothesis import settings

# as in a program (`trimtab.jobs.entry`), until all tests are imported
gc.disable()

# before anything of the library is imported
shapes.install()

# as Snakemake gives it to a job; with more threads, sums come in another order after an interruption than without one
os.environ["OMP_NUM_THREADS"] = "1"

# how long an example takes says how busy the machine is, and nothing about the code
settings.register_profile("trimtab", deadline=None)
settings.load_profile("trimtab")


# imported where they are asked for: most tests need neither torch nor transformers
@pytest.fixture(scope="session")
def tokenizer() -> Any:
    import packaged

    return packaged.frequent()


@pytest.fixture(scope="session")
def resource() -> Any:
    from trimtab.prompts import resources

    return resources.load(resources.RESOURCES / "few_shot.yaml")


@pytest.fixture(scope="session")
def protocol(resource: Any, tokenizer: Any) -> Any:
    from trimtab.agent.few_shot import FewShotProtocol, Texts

    return FewShotProtocol(Texts.of(resource), tokenizer)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of one test run have in common."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def quick_python() -> Iterator[Path]:
    """A Python for programs whose start no test is about."""
    from forked_python import started

    with started() as python:
        yield python


@pytest.fixture(scope="session")
def toy_model(shared: Path) -> Path:
    """The folder of a toy Llama, made once: reading the tokenizer takes seconds."""
    from project import make_model, once

    return once(shared / "tiny-llama", make_model)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        folder, file = item.path.parts[-2:]
        # the longest first, so that no process has a whole run left to do when the others are through
        if folder == "workflow":
            return 0
        # then what makes the runs of all tests of the report, else two processes come to them at once and one waits
        return 1 if file == "test_report.py" else 2

    items.sort(key=place)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()
