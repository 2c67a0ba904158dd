"""One made-up run, taken through statistics, figures and page by the real scripts, for all tests here."""

import os
import subprocess
import sys
from pathlib import Path

import fake_run
import pytest
import yaml
from designs import SHARES
from project import once
from snakemake.utils import update_config

from trimtab.artifacts import files
from trimtab.report.run import WholeRun, read_whole_run
from trimtab.settings.experiment import Experiment

ROOT = Path(__file__).parents[2]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow is what asks for the run, whose statistics take a minute."""
    for item in items:
        if {"results", "null_run"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


def script(name: str, *arguments: str) -> None:
    """Run one of the project's scripts as a rule would."""
    command = [sys.executable, "-W", "error", str(ROOT / f"workflow/scripts/{name}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]


def config() -> Experiment:
    settings = yaml.safe_load((ROOT / "config.yaml").read_text())
    update_config(settings, SHARES)
    # the made-up run has doses of its own, whatever the default experiment's are
    declared = {"confirmatory": fake_run.STATISTICS["confirmatory"], "draws": 400}
    return Experiment.model_validate(settings | {"statistics": settings["statistics"] | declared})


def made(folder: Path, effect: float, scenarios: int) -> Path:
    """A run's artifacts up to its statistics."""
    fake_run.write_rollouts(folder, scenarios, effect)
    fake_run.write_parts(folder)
    tables = [str(folder / "rollouts" / name) for name in ("conditions.csv", "outcomes.parquet")]
    settings = files.canonical(config().statistics.record())
    turns = [str(path) for path in (folder / "rollouts/turns").glob("*.parquet")]
    sources = ["--turns", *turns, "--scores", str(folder / "probes/scores.csv")]
    script("statistics_effects", *tables, str(folder / "statistics"), *sources, "--settings", settings, "--seed", "1")
    return folder


@pytest.fixture(scope="session")
def results(shared: Path) -> Path:
    """A finished run in which three traits move, made once for all processes."""
    return once(shared / "moved", finish)


def finish(folder: Path) -> None:
    made(folder, effect=1.0, scenarios=30)
    whole, figures = config(), str(folder / "report/figures")
    used = {"seed": whole.seed, "statistics": whole.statistics.record(), "methods": whole.vectors.methods}
    settings = files.canonical(used | {"gates": whole.saes.gates.record()})
    script("report_figures", str(folder), figures, "--settings", settings)
    page, text = str(folder / "report/report.html"), files.canonical(whole.record())
    script("report_page", str(folder), page, "--figures", figures, "--config", text)


@pytest.fixture(scope="session")
def run(results: Path) -> WholeRun:
    return read_whole_run(results, config())


@pytest.fixture(scope="session")
def null_run(shared: Path) -> WholeRun:
    """A run in which nothing moves anything."""
    folder = once(shared / "null", lambda folder: made(folder, effect=0.0, scenarios=12))
    return read_whole_run(folder, config())
