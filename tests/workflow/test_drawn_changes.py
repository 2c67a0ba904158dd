"""A change drawn at random reruns the jobs that it really changes, what follows them, and nothing else.

Of a setting, these are the jobs whose commands it changes: what a command would be is asked of Snakemake with every job
forced, so that neither parameters nor recorded triggers have a say. Of a script or a package, they are the jobs whose
programs read it, by the programs' own text or the corpus' recipe; of a sentence in the resources, those whose bytes are
others afterwards. What follows what is read from the jobs' lists of files. `test_reruns.py` has chosen cases, with the
jobs written down by hand.
"""

import ast
import random
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from project import JOB, ROOT, SMALL, Project
from snakemake.utils import update_config
from test_reruns import changed

from trimtab.artifacts import files
from trimtab.config.check import check
from trimtab.errors import TrimtabError
from trimtab.jobs.origins import Origins

DRAWS = 2
AFTER_THE_CHECKPOINT = ("sae_again", "sae_agreement", "vectors_stability", "chance")
"""Rules whose files and commands name layers that are known when the probes are, and can't be asked for before."""
CHECKPOINT = "results/small/probes/layers.json"
CHANCE = re.compile(r"(?<= --chance )\S+(?: \S+)*?(?= --)")
"""Files of a job before it, whose names it knows with the layers; a dry run of all jobs has others in their place."""
ELSEWHERE = {"experiment", "resources", "model.source", "model.revision", "saes.second_seeds"}
"""Keys that stand for other files, other folders or jobs after the checkpoint."""

Key = tuple[str, ...]


class Job(NamedTuple):
    inputs: frozenset[str]
    outputs: frozenset[str]
    command: str


def experiment() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())
    update_config(config, yaml.safe_load((ROOT / SMALL).read_text()))
    # a folder that is there
    config["model"]["source"] = str(ROOT / "tests")
    return config


def leaves(section: dict[str, Any], above: Key = ()) -> Iterator[tuple[Key, Any]]:
    for name, value in section.items():
        if isinstance(value, dict):
            yield from leaves(value, (*above, name))
        elif ".".join((*above, name)) not in ELSEWHERE:
            yield (*above, name), value


def others(value: Any) -> list[Any]:
    """Values near one that a key has."""
    match value:
        case bool():
            return [not value]
        case int() | float():
            return [value + 1, value - 1, value * 2, value / 2]
        case [*_, _] if len(value) > 1:
            return [value[:-1], value[1:]]
        case _:
            return []


def drawn_change() -> tuple[Key, Any]:
    """A key and another value of it that the check takes, any of them as likely."""
    found = [(key, other) for key, value in leaves(experiment()) for other in others(value)]
    random.SystemRandom().shuffle(found)
    for key, other in found:
        config = experiment()
        update_config(config, nested(key, other))
        try:
            check(config, Origins())
        except TrimtabError:
            continue
        return key, other
    raise AssertionError("the check takes no change")


def nested(key: Key, value: Any) -> dict[str, Any]:
    for name in reversed(key):
        value = {name: value}
    return dict(value)


def jobs(project: Project, config: str) -> dict[str, Job]:
    """All jobs of the experiment by "rule wildcard ..."."""
    done = project.snakemake("--dry-run", "--forceall", "--printshellcmds", config=config)
    assert done.returncode == 0, done.stdout
    found = {}
    for rule, about, command in re.findall(JOB.pattern + r"(?:Shell command: (.*))?", done.stdout, re.MULTILINE):
        said = dict(re.findall(r"^    (input|output|wildcards): (.*)$", about, re.MULTILINE))
        values = [each.partition("=")[2] for each in said.get("wildcards", "").split(", ")]
        inputs, outputs = (frozenset(said.get(kind, "").split(", ")) - {""} for kind in ("input", "output"))
        if rule in AFTER_THE_CHECKPOINT:
            inputs, command = frozenset([CHECKPOINT]), ""
        found[" ".join([rule, *filter(None, values)])] = Job(settled(inputs), outputs, CHANCE.sub("", command))
    return found


def settled(inputs: Iterable[str]) -> frozenset[str]:
    """Inputs whose names are known before the checkpoint."""
    return frozenset(path for path in inputs if path != "<TBD>" and "/vectors/chance/" not in path)


def following(all_jobs: dict[str, Job], changes: Callable[[Job], bool]) -> set[str]:
    """Jobs that change, and what follows them; those after the checkpoint stand between others, and aren't compared."""
    found = {name for name, job in all_jobs.items() if name != "all" and changes(job)}
    while True:
        made = {path for name in found for path in all_jobs[name].outputs}
        more = {name for name, job in all_jobs.items() if job.inputs & made} - {*found, "all"}
        if not more:
            return {name for name in found if name.split()[0] not in AFTER_THE_CHECKPOINT}
        found |= more


def planned(project: Project, config: str = "") -> set[str]:
    return {job for job in project.planned(config) if job.split()[0] not in AFTER_THE_CHECKPOINT}


@pytest.mark.parametrize("draw", range(DRAWS))
def test_a_drawn_setting_reruns_the_jobs_whose_commands_it_changes(finished: Project, draw: int) -> None:
    key, value = drawn_change()
    config = yaml.safe_dump(nested(key, value))
    recorded = files.read_json(finished.results / "records.json")

    def changes_of(job: Job) -> bool:
        if not job.command:
            return False
        before = recorded.get(next(iter(job.outputs)))
        return (
            before is None
            or CHANCE.sub("", before["shellcmd"]) != job.command
            or settled(before["input"]) != job.inputs
        )

    wanted = following(jobs(finished, config), changes_of)
    assert planned(finished, config) == wanted, f"{'.'.join(key)}: {value}"


def programs(job: Job) -> list[str]:
    return re.findall(r"workflow/scripts/(\w+)\.py", job.command)


def test_a_drawn_script_reruns_its_jobs(finished: Project) -> None:
    all_jobs = jobs(finished, "")
    drawn = random.SystemRandom().choice(sorted({name for job in all_jobs.values() for name in programs(job)}))
    path = finished.folder / f"workflow/scripts/{drawn}.py"
    with changed(path, path.read_text() + "\nADDED = 1\n"):
        assert planned(finished) == following(all_jobs, lambda job: drawn in programs(job)), drawn


@cache
def imported(path: Path, library: Path) -> tuple[set[str], set[Path]]:
    """The top names that a file imports anywhere, and the library's own files among them."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    bases = {library.joinpath(*name.split(".")[:steps]) for name in names for steps in range(1, name.count(".") + 2)}
    own = {file for base in bases for file in (base / "__init__.py", base.with_suffix(".py")) if file.is_file()}
    return {name.partition(".")[0] for name in names}, own


def loaded(program: Path, library: Path) -> set[str]:
    """The top names that a program imports, itself or by what it imports of the library."""
    found, waiting, seen = set(), {program}, set()
    while waiting:
        seen |= waiting
        read = [imported(path, library) for path in waiting]
        found |= set().union(*(names for names, _ in read))
        waiting = set().union(*(own for _, own in read)) - seen
    return found


def test_a_drawn_package_reruns_the_jobs_that_import_it_or_quote_it(
    finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what makes vectors is named in the config
    library = finished.folder / "workflow"
    methods = [library / f"trimtab/vectors/methods/{name}.py" for name in experiment()["vectors"]["methods"]]
    imports = {path.stem: loaded(path, library) for path in library.glob("scripts/*.py")}
    imports["vectors_make"] |= set().union(*(loaded(path, library) for path in methods))
    # and what the corpus quotes, in its recipe
    recipe = yaml.safe_load((library / "resources/corpus.yaml").read_text())
    imports["prompts_corpus"] |= recipe["sources"]["documentation"]["packages"].keys()
    imports["prompts_corpus"] |= {each["package"] for each in recipe["sources"].values() if "package" in each}
    imports["rollouts_transcripts"].add(recipe["transcript_tasks"]["package"])
    # files of an installed package are given by name, so that the fork that runs the test has no other version either
    known = packages_distributions()
    names = sorted({name for found in imports.values() for name in found if name in known} - {"trimtab", "snakemake"})
    drawn = random.SystemRandom().choice(names)
    about = tmp_path / f"{known[drawn][0].replace('-', '_')}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Name: {known[drawn][0]}\nVersion: 99.0\n")
    all_jobs = jobs(finished, "")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    wanted = following(all_jobs, lambda job: any(drawn in imports[program] for program in programs(job)))
    assert planned(finished) == wanted, drawn


def sentences(section: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of a file's sentences."""
    inner = section.items() if isinstance(section, dict) else enumerate(section) if isinstance(section, list) else ()
    for name, value in inner:
        if isinstance(value, str) and value.count(" ") > 3:
            yield (*above, name)
        yield from sentences(value, (*above, name))


@pytest.mark.parametrize("file", ["traits", "scenarios", "tasks"])
def test_a_drawn_sentence_reruns_the_prompts_that_say_it(finished: Project, tmp_path: Path, file: str) -> None:
    """And of traits and scenarios no others; templates share their tasks."""
    project = Project(tmp_path / "project", finished.python)
    shutil.copytree(finished.folder, project.folder, symlinks=True)
    path = project.folder / f"workflow/resources/{file}.yaml"
    content = yaml.safe_load(path.read_text())
    *above, name = place = random.SystemRandom().choice(list(sentences(content)))
    section = content
    for step in above:
        section = section[step]
    section[name] += " Then stop."
    made = {f"contrast_trait {trait}": f"prompts/contrast/{trait}.jsonl" for trait in ("autonomy", "deference", "null")}
    made["scenarios"] = "prompts/scenarios.jsonl"
    before = {job: files.sha256(project.results / artifact) for job, artifact in made.items()}
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    found = made.keys() & project.planned()
    targets = [f"results/small/{artifact}" for artifact in made.values()]
    done = project.snakemake(*targets, "--forcerun", "contrast_trait", "scenarios")
    assert done.returncode == 0, done.stdout
    others = {job for job, artifact in made.items() if files.sha256(project.results / artifact) != before[job]}
    assert others == found if file != "tasks" else others <= found, place
