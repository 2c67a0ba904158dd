"""Every scenario of the project's own."""

import pytest

from trimtab.agent.scenario import Scenario
from trimtab.prompts import resources


@pytest.fixture(scope="session")
def scenarios() -> list[Scenario]:
    return [*map(Scenario.of, resources.scenarios())]
