"""The commit that artifacts name is the project's own, and asking for it disturbs nobody."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[2] / "workflow/trimtab"
OWN = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


def git(folder: Path, *words: str) -> str:
    known = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@y", *words]
    return subprocess.run(known, capture_output=True, text=True, check=True, env=OWN).stdout.strip()


def commit(project: Path, **environment: str) -> str:
    """What a job of the project at this place would name."""
    code = "from trimtab.artifacts.provenance import commit; print(commit())"
    env = OWN | {"PYTHONPATH": str(project / "workflow")} | environment
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outer") / "project"
    shutil.copytree(LIBRARY, folder / "workflow/trimtab", ignore=shutil.ignore_patterns("__pycache__"))
    # what Python compiles is no change
    shutil.copy(LIBRARY.parents[1] / ".gitignore", folder)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "all")
    return folder


@pytest.mark.slow
def test_the_commit_is_the_checkouts_with_a_mark_for_changes(project):
    head = git(project, "rev-parse", "HEAD")
    assert commit(project) == head
    (project / "workflow/note.txt").write_text("x")
    assert commit(project) == f"{head}+changes"
    (project / "workflow/note.txt").unlink()


@pytest.mark.slow
def test_a_repository_that_the_shell_speaks_of_is_not_the_projects(project, tmp_path):
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-qm", "other", "--allow-empty")
    assert commit(project, GIT_DIR=str(tmp_path / ".git")) == git(project, "rev-parse", "HEAD")


@pytest.mark.slow
def test_a_copy_inside_somebodys_repository_has_no_commit(project, tmp_path):
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-qm", "other", "--allow-empty")
    shutil.copytree(project, tmp_path / "copy", ignore=shutil.ignore_patterns(".git"))
    assert commit(tmp_path / "copy") == "unknown (not a git checkout)"


@pytest.mark.slow
def test_asking_leaves_gits_index_alone(project):
    """`git status` writes the index anew when files' times changed, and holds its lock while it does."""
    index = project / ".git/index"
    before = index.stat().st_mtime_ns, index.read_bytes()
    os.utime(project / "workflow/trimtab/seeds.py")
    commit(project)
    assert (index.stat().st_mtime_ns, index.read_bytes()) == before
    # without the precaution it would have been written
    git(project, "status")
    assert index.read_bytes() != before[1]
