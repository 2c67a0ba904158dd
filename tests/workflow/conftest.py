"""The whole workflow on a toy model: run once, in a copy of the project, for all tests of this folder."""

from collections.abc import Callable

import pytest
from project import ROOT, Project, copied

__all__ = ["ROOT", "Project"]


@pytest.fixture(scope="session")
def new_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Project]:
    """Makes copies of the project."""
    return lambda: copied(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def finished(new_project: Callable[[], Project]) -> Project:
    """The small experiment after one whole run."""
    project = new_project()
    done = project.snakemake()
    assert done.returncode == 0, done.stdout
    return project
