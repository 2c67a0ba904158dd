"""Snakemake may work in any folder, under any locale, and have this workflow as a part of another one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from project import SMALL, copied
from snakemake.utils import update_config

NAME = "results/small/prompts/scenarios.jsonl"


@pytest.fixture(scope="module")
def checkout(toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a place")
    copied(folder)
    shutil.copytree(toy_model, folder / "m{run} x")
    shutil.copytree(folder / "workflow/resources", folder / "my {res}ources")
    small = folder / SMALL
    text = small.read_text().replace("source: tiny-llama", 'source: "m{run} x"')
    small.write_text(f'{text}\nresources: "my {{res}}ources"\n')
    return folder


def made(folder: Path, *words: str) -> bytes:
    """The scenarios, by a Snakemake whose environment isn't activated, under a locale that knows ASCII alone."""
    command = [sys.executable, "-m", "snakemake", "--cores", "1", NAME, *words]
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "encoding": "utf-8"}
    done = subprocess.run(command, cwd=folder, env=environment, **pipes)
    assert done.returncode == 0, done.stdout
    return (folder / NAME).read_bytes()


def test_in_another_folder(checkout: Path, whole_run: Path, tmp_path: Path) -> None:
    """With spaces and braces in the paths of checkout, model and resources, and without a home."""
    words = ["-s", str(checkout / "Snakefile"), "--configfile", str(checkout / SMALL)]
    assert made(tmp_path, *words) == (whole_run / NAME).read_bytes()


def test_as_a_module_of_another_workflow(checkout: Path, whole_run: Path, tmp_path: Path) -> None:
    config = yaml.safe_load((checkout / "config.yaml").read_text())
    update_config(config, yaml.safe_load((checkout / SMALL).read_text()))
    own = {"resources": str(checkout / "my {res}ources"), "model": {"source": str(checkout / "m{run} x")}}
    update_config(config, own)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    lines = [f'module t:\n    snakefile: "{checkout}/Snakefile"\n    config: config\n', "use rule * from t as t_*\n"]
    (tmp_path / "Snakefile").write_text("".join(lines))
    assert made(tmp_path, "--configfile", "config.yaml") == (whole_run / NAME).read_bytes()


def test_fetched_from_a_repository_without_its_library(checkout: Path, tmp_path: Path) -> None:
    """As snakedeploy has it: refused in a line."""
    shutil.copytree(checkout, tmp_path / "repository/inside", symlinks=True)
    known = {"cwd": tmp_path / "repository", "check": True, "capture_output": True}
    for words in (["init", "-b", "main"], ["add", "."], ["commit", "-m", "all"]):
        subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=n@n", *words], **known)
    address = f"git+file://{tmp_path}/repository/inside/Snakefile@main"
    lines = [f'module t:\n    snakefile: "{address}"\n    config: config\n', "use rule * from t as t_*\n"]
    (tmp_path / "Snakefile").write_text("".join(lines))
    words = [sys.executable, "-m", "snakemake", "--dry-run", "--configfile", str(checkout / "config.yaml")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(words, cwd=tmp_path, **pipes)
    assert done.returncode == 1
    assert "clone the repository and give the path of its Snakefile" in done.stdout
    assert "Traceback" not in done.stdout
