"""The small experiment, dictionaries from a stream: the same artifacts, less on disk, and no kill changes a byte."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ending import ended_and_started_again
from project import Project

from trimtab.artifacts import files
from trimtab.jobs import stopping

STREAM = "saes: {source: stream}"
LAYERS = ("0", "2")


@pytest.fixture(scope="module")
def streamed(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The experiment's first half from a stream, beside what its other stages made."""
    folder = tmp_path_factory.mktemp("streamed") / "project"
    shutil.copytree(finished.folder, folder, symlinks=True)
    shutil.rmtree(folder / "results/small/saes")
    shutil.rmtree(folder / "results/small/activations/corpus")
    project = Project(folder, finished.python)
    targets = (f"results/small/saes/{name}" for name in ("examples.html", "agreement.csv", "quality.csv"))
    done = project.snakemake(*targets, config=STREAM)
    assert done.returncode == 0, done.stdout
    return project


def test_it_makes_the_same_artifacts_and_stores_one_shard(finished, streamed):
    def under(project: Project, stage: str) -> set[str]:
        # other dictionaries, and perhaps another layer that the probes choose for the second seed
        names = (re.sub(r"^saes/\d+/again/", "saes/again/", name) for name in project.artifacts())
        return {name for name in names if name.startswith(stage)}

    assert under(streamed, "saes/") == under(finished, "saes/")
    assert under(streamed, "activations/corpus/") == {"activations/corpus/000.h5"}
    first = "activations/corpus/000.h5"
    assert files.sha256(streamed.results / first) == files.sha256(finished.results / first)


def test_dictionaries_learn_as_from_a_cache(finished, streamed):
    for layer in LAYERS:
        cached, stream = (pd.read_csv(each.results / f"saes/{layer}/training.csv") for each in (finished, streamed))
        assert list(stream["step"]) == list(cached["step"])
        last, before = stream["explained_variance"].iloc[-1], stream["explained_variance"].iloc[0]
        assert last > before
        assert last == pytest.approx(cached["explained_variance"].iloc[-1], abs=0.1)


@pytest.fixture(scope="module")
def command(streamed: Project) -> Callable[[Path], list[str]]:
    """The rule's script by hand, with a checkpoint at every look, since the workflow's own are two minutes apart."""
    results = streamed.results
    log = next(line for line in (results / "logs/saes/stream.log").read_text().splitlines() if "steps: " in line)
    assert "SAEs of 2 layers" in log
    settings = files.read_json(results / "saes/0/provenance.json")["settings"]
    own = settings.pop("layers")
    layers = [json.dumps(own[layer] | {"tokens": 40_000}) for layer in LAYERS]
    words = [sys.executable, "workflow/scripts/saes_stream.py", "results/small/model/manifest.json"]
    words += ["results/small/prompts/corpus.jsonl", "workflow/resources/few_shot.yaml", "--layers", *LAYERS]
    words += ["--max-tokens", "128", "--capture", json.dumps(settings), "--settings", *layers]
    words += ["--device", "cpu", "--seed", "1", "--repeat", "0", "--checkpoint-seconds", "0", "--folders"]
    return lambda folder: [*words, *(str(folder / layer) for layer in LAYERS)]


@pytest.fixture(scope="module")
def known(streamed: Project) -> dict[str, Any]:
    """Where the script runs, and its environment."""
    return {"cwd": streamed.folder, "env": {**os.environ, "PYTHONPATH": "workflow", "OMP_NUM_THREADS": "1"}}


@pytest.fixture(scope="module")
def whole(command, known, tmp_path_factory) -> Path:
    """What a training that nothing happens to leaves."""
    folder = tmp_path_factory.mktemp("whole")
    subprocess.run(command(folder), **known, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("how", [signal.SIGKILL, stopping.SIGNAL])
def test_ended_and_started_again_the_same_bytes(command, known, whole, tmp_path, how):
    ended_and_started_again(command(tmp_path), tmp_path / "0", how, **known)
    made = {path.relative_to(whole): path for path in whole.rglob("*") if path.is_file()}
    assert len(made) == 8
    for name, path in made.items():
        assert (tmp_path / name).read_bytes() == path.read_bytes()
