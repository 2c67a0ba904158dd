"""Snakemake may work in any folder, under any locale, and have this workflow as a part of another one."""

import shutil
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml
from other_tools import TOOLS, beside_tools
from project import SMALL, copied
from snakemake.utils import update_config

from trimtab.artifacts import files

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


def snakemake(folder: Path, *words: str, **more: str) -> str:
    """What a Snakemake says whose environment isn't activated, under a locale that knows ASCII alone."""
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *words]
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    environment |= more
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "encoding": "utf-8"}
    done = subprocess.run(command, cwd=folder, env=environment, **pipes)
    assert done.returncode == 0, done.stdout
    return str(done.stdout)


def made(folder: Path, *words: str, **more: str) -> bytes:
    """The scenarios that Snakemake makes."""
    snakemake(folder, NAME, *words, **more)
    return (folder / NAME).read_bytes()


def test_in_another_folder(checkout: Path, whole_run: Path, tmp_path: Path) -> None:
    """With spaces and braces in the paths of checkout, model and resources, and without a home."""
    words = ["-s", str(checkout / "Snakefile"), "--configfile", str(checkout / SMALL)]
    assert made(tmp_path, *words) == (whole_run / NAME).read_bytes()


def test_as_a_module_of_another_workflow(checkout: Path, whole_run: Path, tmp_path: Path) -> None:
    """Twice, of two experiments; each gives what differs from the default, as a file of the command line would."""
    config = yaml.safe_load((checkout / SMALL).read_text())
    own = {"resources": str(checkout / "my {res}ources"), "model": {"source": str(checkout / "m{run} x")}}
    update_config(config, own)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    other = NAME.replace("small", "other")
    lines = []
    for name, given in {"t": "config", "u": "{**config, 'experiment': 'other'}"}.items():
        lines += [f'module {name}:\n    snakefile: "{checkout}/Snakefile"\n    config: {given}\n']
        lines += [f"use rule * from {name} as {name}_*\n"]
    (tmp_path / "Snakefile").write_text("".join(lines))
    assert made(tmp_path, other, "--configfile", "config.yaml") == (whole_run / NAME).read_bytes()
    assert (tmp_path / other).read_bytes() == (whole_run / NAME).read_bytes()
    # what the main Snakefile's own handlers do for an experiment is done for a module's
    for name in (NAME, other):
        assert name in files.read_json((tmp_path / name).parents[1] / "records.json")


APPTAINER = """\
#!/bin/bash
# in place of a runtime of images, which not every machine has: what is called runs here, under the image's own Python
if [ "$1" = --version ]; then echo apptainer version 1.3.4; exit; fi
until [ "$1" = {image} ]; do shift; done; shift
PATH={inside}:$PATH exec "$@"
"""
PYTHON = """\
#!/bin/sh
echo "$1" >> {inside}/programs
exec {python} "$@"
"""


def test_in_an_image(checkout: Path, whole_run: Path, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    for name, text in {"apptainer": APPTAINER, "inside/python": PYTHON}.items():
        (tmp_path / name).write_text(text.format(image="mine.sif", inside=inside, python=sys.executable))
        (tmp_path / name).chmod(0o755)
    words = ["-s", str(checkout / "Snakefile"), "--configfile", str(checkout / SMALL)]
    words += ["--sdm", "apptainer", "--config", "container=mine.sif"]
    # another image in its place makes all anew
    for version in ("1", "2"):
        (tmp_path / "mine.sif").write_text(version)
        assert made(tmp_path, *words, PATH=f"{tmp_path}:/usr/bin:/bin") == (whole_run / NAME).read_bytes()
    programs = (inside / "programs").read_text().splitlines()
    assert [Path(name).name for name in programs] == ["prompts_scenarios.py"] * 2


@pytest.fixture(scope="module")
def repository(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of two versions, of which the first is v1.0."""
    folder = tmp_path_factory.mktemp("repository")
    shutil.copytree(checkout, folder, symlinks=True, dirs_exist_ok=True)
    known = {"cwd": folder, "check": True, "capture_output": True}
    git = ["git", "-c", "user.name=n", "-c", "user.email=n@n"]
    for words in (["init", "-b", "main"], ["add", "."], ["commit", "-m", "all"], ["tag", "v1.0"]):
        subprocess.run([*git, *words], **known)
    scenarios = folder / "workflow/resources/scenarios.yaml"
    scenarios.write_text(scenarios.read_text().replace("task: ", "task: Kindly, ", 1))
    subprocess.run([*git, "commit", "-am", "another task"], **known)
    return folder


def head(folder: Path, name: str) -> str:
    done = subprocess.run(["git", "rev-parse", name], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


ADDRESS = "https://github.com/somebody/trimtab"
SNAKEDEPLOY = TOOLS / "bin/snakedeploy"


@pytest.mark.skipif(not SNAKEDEPLOY.exists(), reason=f"no {SNAKEDEPLOY}, which make test installs")
def test_deployed_by_snakedeploy(repository: Path, checkout: Path, whole_run: Path, tmp_path: Path) -> None:
    """Which leaves a Snakefile and a config to fill: Snakemake clones the repository, the library is that commit's."""
    environment = {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        # whatever is cloned from there is cloned from here
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{repository}.insteadOf",
        "GIT_CONFIG_VALUE_0": ADDRESS,
    }
    folder = tmp_path / "mine"

    def deploy(*version: str) -> None:
        done = beside_tools(SNAKEDEPLOY, "deploy-workflow", ADDRESS, folder, *version, **environment)
        assert done.returncode == 0, done.stderr

    deploy("--tag", "v1.0")
    assert (folder / "config/config.yaml").read_text() == ""
    config = yaml.safe_load((checkout / SMALL).read_text())
    config["model"]["source"] = str(checkout / "m{run} x")
    del config["resources"]
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config))
    assert made(folder, **environment) == (whole_run / NAME).read_bytes()
    record = files.read_json(folder / NAME.replace(".jsonl", ".provenance.json"))
    assert record["commit"] == head(repository, "v1.0")
    planned = snakemake(folder, "--dry-run", **environment)
    assert "report_page" in planned
    assert "prompts_scenarios" not in planned
    # another version is fetched to the same place, so that what it changes reruns
    deploy("--commit", head(repository, "main"), "--force")
    assert b"Kindly, " in made(folder, **environment)


def test_rules_from_where_nothing_else_can_be_fetched(checkout: Path, tmp_path: Path) -> None:
    """Refused in a line."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(checkout))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/Snakefile"
        lines = [f'module t:\n    snakefile: "{address}"\n    config: {{}}\n', "use rule * from t as t_*\n"]
        (tmp_path / "Snakefile").write_text("".join(lines))
        words = [sys.executable, "-m", "snakemake", "--dry-run"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        done = subprocess.run(words, cwd=tmp_path, **pipes)
        server.shutdown()
    assert done.returncode == 1
    assert "name it by github(...), gitlab(...) or git+file://, or give a clone's path" in done.stdout
    assert "Traceback" not in done.stdout
