"""What README and docs/ say by name holds: files, targets of make, examples of config, floors, lines of errors."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config
from test_rooms import FLOORS

from trimtab.config.check import check
from trimtab.config.written import take_groups
from trimtab.errors import TrimtabError
from trimtab.jobs.origins import Origins

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
README = PAGES[0].read_text()
QUESTIONS = ROOT / "docs/questions.md"
FIRST_HOUR = ROOT / "docs/first-hour.md"
"""Whose files are written and used in tests/workflow/test_first_hour.py."""
FOLDERS = "benchmarks|docs|envs|tests|workflow"


WRITTEN = re.compile(r"^# (workflow/trimtab/vectors/(?:methods|transformations)/(\w+)\.py)$", re.MULTILINE)
"""A file that a page shows how to write."""


def blocks(page: Path, languages: str) -> list[str]:
    return re.findall(rf"^```(?:{languages})\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def complaints(example: str) -> list[str]:
    """What the check says of the default experiment with an example on top."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    update_config(config, yaml.safe_load(example))
    take_groups(config)
    try:
        check(config, Origins())
    except TrimtabError as error:
        return [line.removeprefix("config.yaml, ") for line in str(error).split("\n")]
    return []


EXAMPLES = [(page, block) for page in PAGES if page not in (QUESTIONS, FIRST_HOUR) for block in blocks(page, "yaml")]


@pytest.mark.parametrize(("page", "example"), EXAMPLES, ids=[page.stem for page, _ in EXAMPLES])
def test_an_example_of_config_passes(page, example, tmp_path, monkeypatch):
    # what a reader has and this checkout lacks: a folder with a model, and the methods that the page writes
    model = tmp_path / "Qwen3-0.6B"
    model.mkdir()
    example = example.replace("/models/Qwen3-0.6B", str(model))
    made = [name for _, name in WRITTEN.findall(page.read_text()) if name in example]
    expected = [f"vectors.methods: {name} is no file of workflow/trimtab/vectors/methods" for name in made]
    assert [line.partition(" (did you")[0].partition("; ")[0] for line in complaints(example)] == expected


ANSWERS = list(zip(blocks(QUESTIONS, "yaml"), blocks(QUESTIONS, "text"), strict=True))


@pytest.mark.parametrize(("example", "line"), ANSWERS, ids=[line.partition(":")[0] for _, line in ANSWERS])
def test_a_mistake_gives_the_line_that_the_page_shows(example, line):
    assert complaints(example) == [line.strip()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_that_are_named_exist(page):
    text = page.read_text()
    named = set(re.findall(rf"[` ]((?:{FOLDERS})/[\w./-]+\w)", text)) - {file for file, _ in WRITTEN.findall(text)}
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_targets_of_make_that_are_named_exist(page):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z][a-z-]*)", page.read_text(), flags=re.MULTILINE))
    assert named - targets == set()


@pytest.mark.parametrize(
    ("words", "done"), [([], "snakemake --cores all"), (["test"], "pytest -n 2")], ids=["", "test"]
)
def test_make_does_what_the_readme_says(words, done):
    assert " ".join(["make", *words]) in [line.partition("#")[0].strip() for line in README.splitlines()]
    # these tests may be run by make, whose own flags are none of the reader's
    own = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    command = ["make", "--dry-run", *words]
    said = subprocess.run(command, cwd=ROOT, env=own, check=True, capture_output=True, text=True).stdout
    assert said.splitlines()[-1].strip() == done


def test_the_houses_floors_are_those_of_the_test():
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", (ROOT / "docs/house.md").read_text(), flags=re.MULTILINE)
    assert {int(floor): set(re.findall(r"`(\w+)`", rooms)) for floor, rooms in rows} == dict(enumerate(FLOORS, 1))


def test_each_stage_has_its_folder_and_its_page():
    rows = dict(re.findall(r"^\| \[(\w+)\]\(workflow/trimtab/\1\) \| (.*) \|$", README, re.MULTILINE))
    assert f"    {' --> '.join(rows)}\n" in README
    assert [stage for stage, text in rows.items() if not re.search(r"\]\(docs/[\w-]+\.md\)", text)] == []


def test_the_readme_stays_short():
    assert len(README.splitlines()) <= 120
