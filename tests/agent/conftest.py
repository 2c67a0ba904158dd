"""Every scenario of the project's own."""

import pytest

from trimtab.prompts import resources
from trimtab.prompts.resources import Json


@pytest.fixture(scope="session")
def scenarios() -> list[Json]:
    return resources.scenarios()
