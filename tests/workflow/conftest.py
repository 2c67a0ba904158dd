"""The whole workflow on a toy model: run once, in a copy of the project, for all tests of this folder."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from project import Project, copied, once


@pytest.fixture(scope="session")
def new_project(toy_model: Path, quick_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Project]:
    """Makes copies of the project."""
    return lambda: copied(tmp_path_factory.mktemp("project"), toy_model, quick_python)


@pytest.fixture(scope="session")
def whole_run(toy_model: Path, shared: Path, quick_python: Path) -> Path:
    """The folder of the small experiment after one whole run, which all processes that test copy."""

    def make(folder: Path) -> None:
        done = copied(folder, toy_model, quick_python).snakemake()
        assert done.returncode == 0, done.stdout

    return once(shared / "whole-run", make)


@pytest.fixture(scope="module")
def finished(whole_run: Path, quick_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The finished small experiment in a copy for one file's tests, which may change it while others read theirs."""
    folder = tmp_path_factory.mktemp("finished") / "project"
    shutil.copytree(whole_run, folder, symlinks=True)
    return Project(folder, quick_python)
