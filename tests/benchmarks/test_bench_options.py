"""How benches are called: a GPU that isn't there is one line, and a smallest size writes nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def rounds():
    sys.path.insert(0, str(FOLDER))
    import rounds

    yield rounds
    sys.path.remove(str(FOLDER))


def test_a_gpu_that_is_not_here_is_one_line():
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    done = subprocess.run([sys.executable, FOLDER / "saes.py", "--device", "cuda"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"--device cuda: torch {torch.__version__} finds no GPU here; expected cpu\n"


def test_a_smallest_size_prints_its_section_and_writes_nothing(rounds, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(rounds, "FOLDER", tmp_path)
    rates = [rounds.Rates("read", name, "rows/s", [2.0]) for name in ("ours", "theirs")]
    claims = [rounds.Claim("read", "ours", "theirs", 0.5)]
    rounds.write("reading", "Reading", ["Few rows."], rates, claims, ["torch"], small=True)
    said = capsys.readouterr().out
    assert said.startswith("## Reading\n")
    assert "| read | ours / theirs | 1 | 0.5 or more: reached |" in said
    assert not [*tmp_path.iterdir()]
    rounds.write("reading", "Reading", ["Few rows."], rates, claims, ["torch"])
    (written,) = tmp_path.iterdir()
    assert json.loads(written.read_text())["title"] == "Reading"


def test_a_gpus_record_stands_beside_the_processors(rounds, tmp_path, monkeypatch):
    monkeypatch.setattr(rounds, "FOLDER", tmp_path)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "slide rule")
    rounds.write("reading", "Reading", [], [], [], ["torch"], device="cuda")
    record = json.loads((tmp_path / "reading-cuda.json").read_text())
    from table import section

    assert any(" and one slide rule." in line for line in section("reading-cuda", record))
