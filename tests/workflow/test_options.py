"""What Snakemake's options do here: each row of docs/snakemake-options.md is a run on the finished small experiment."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from project import JOB, ROOT, Project

PAGE = ROOT / "docs/snakemake-options.md"
HEAD = """\
# Snakemake's options

What Snakemake's rarer options do to an experiment, as `tests/workflow/test_options.py` tried each of them on a finished
one. `--profile` is told in `workflow/profiles/slurm`; with `--retries`, a job that fails is tried again, but for a
mistake in the config, which ends in its line at once (`tests/jobs/test_running.py`). `--archive` asks for conda. Words
that follow `-q`, `--config`, `--forcerun` and other options that take several are read as theirs: write targets first.

Written by `pytest tests/workflow/test_options.py` where it is missing.
"""


@dataclass(frozen=True)
class Row:
    """One call of Snakemake, and what came of it."""

    words: str
    said: str
    """For the page."""
    holds: Callable[[Project, str], bool]
    """Whether that is so, by the copy of the project and Snakemake's output."""
    status: int = 0
    config: str = ""


def rules(output: str) -> set[str]:
    return {rule for rule, _ in JOB.findall(output)} - {"all"}


def refuses(name: str) -> Callable[[Project, str], bool]:
    """A target that the experiment doesn't have is in nobody's way and left unmade."""
    return lambda project, output: f"No rule to produce {name}" in output and not (project.folder / name).exists()


def all_would_be_deleted(project: Project, output: str) -> bool:
    named = {Path(line).relative_to("results/small") for line in re.findall(r"Would delete (.*)", output)}
    return {str(path) for path in named} == project.artifacts()


ROWS = [
    Row(
        "status --quiet",
        "In ten lines at most: what is made, what is running, what failed and which log says why. It may be asked "
        "while a run is at work.",
        lambda project, output: (
            "results/small: the last run is through, " in output
            and re.search(r"^made: model 2 of 2, prompts \d+ of \d+, ", output, re.MULTILINE) is not None
        ),
    ),
    Row(
        "results/small/probes/scores.csv --forcerun probe_scores --dry-run",
        "A file as target: what it needs and nothing after it. `--forcerun` runs a rule again that has nothing to do; "
        "rollouts take finished conditions from `rollouts/.cells`, which you may delete.",
        lambda project, output: rules(output) == {"probe_scores"},
    ),
    Row(
        "results/small/probes/courage.json",
        "A trait that the experiment doesn't have: refused, and no file is made.",
        refuses("results/small/probes/courage.json"),
        1,
    ),
    Row(
        "results/small/activations/corpus/7.h5",
        "So is a layer, shard, batch or run.",
        refuses("results/small/activations/corpus/7.h5"),
        1,
    ),
    Row(
        "--until probe --forcerun manifest --dry-run",
        "Up to a rule, whatever follows.",
        lambda project, output: "probe" in rules(output) and not rules(output) & {"vectors", "rollouts", "report_page"},
    ),
    Row(
        "--omit-from rollouts --forcerun manifest --dry-run",
        "All but a rule and what follows it.",
        lambda project, output: (
            "vectors" in rules(output) and not rules(output) & {"rollouts", "outcomes", "report_page"}
        ),
    ),
    Row(
        "--dry-run -q rules",
        "A slip in the config is told all the same, in one line.",
        lambda project, output: "mine.yaml, saes.kk: unknown key" in output and "Traceback" not in output,
        1,
        "saes: {kk: 4}",
    ),
    Row(
        "--delete-all-output --dry-run",
        "All artifacts, and nothing else: logs, benchmarks, records and what rollouts keep stay. Without `--dry-run` "
        "it deletes.",
        lambda project, output: all_would_be_deleted(project, output) and "report/report.html" in project.artifacts(),
    ),
    Row(
        "--report run.html",
        "Snakemake's own report of the run, beside the experiment's.",
        lambda project, output: "saes/quality.csv" in (project.folder / "run.html").read_text(),
    ),
    Row(
        "--dry-run --logger nosuch",
        "A logger that isn't installed is refused; none is needed.",
        lambda project, output: "argument --logger: invalid choice: 'nosuch'" in output,
        2,
    ),
    Row(
        "--touch",
        "All artifacts are taken as the settings of this call would make them, and nothing is made: for changes that "
        "you know to change nothing.",
        lambda project, output: project.planned("saes: {k: 4}") == set() and rules(output) != set(),
        config="saes: {k: 4}",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.words)
def test_an_option_does_what_the_page_says(finished: Project, row: Row) -> None:
    done = finished.snakemake(*row.words.split(), config=row.config)
    assert done.returncode == row.status, done.stdout
    assert row.holds(finished, done.stdout), done.stdout


def test_the_page_says_what_was_tried() -> None:
    lines = [HEAD, "| `snakemake ...` | what it does |", "|---|---|"]
    lines += [f"| `{row.words}`{f' (`{row.config}`)' if row.config else ''} | {row.said} |" for row in ROWS]
    page = "\n".join(lines) + "\n"
    if not PAGE.is_file():
        PAGE.write_text(page)
    assert PAGE.read_text() == page, f"{PAGE.name} is stale: remove it, run this test, and commit it"
