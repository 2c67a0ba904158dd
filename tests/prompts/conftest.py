"""The project's own resources, read once."""

import pytest

from trimtab.prompts import resources
from trimtab.prompts.resources import Json


@pytest.fixture(scope="session")
def traits() -> dict[str, Json]:
    return resources.traits()


@pytest.fixture(scope="session")
def tasks() -> dict[str, dict[str, list[str]]]:
    return resources.tasks()


@pytest.fixture(scope="session")
def scenarios() -> list[Json]:
    return resources.scenarios()
