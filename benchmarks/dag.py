"""The plan of ten thousand jobs: a dry run of the study blown up, and one of as many jobs that do nothing.

The study's design with ten times its traits, on three times its layers, in many shards and runs. The others have as
many jobs in two rules, on the same Snakemake: one input and one output each, which is what planning takes at least; and
as many inputs a job as the study's, which is what planning such a graph takes whatever its rules say.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import options
import yaml
from rounds import Claim, race, write

from trimtab.artifacts import files

ROOT = Path(__file__).parents[1]


class Size(NamedTuple):
    traits: int
    layers: int
    shards: int
    runs: int
    rounds: int


WHOLE, SMALL = Size(50, 30, 400, 182, 2), Size(1, 1, 1, 1, 1)

NOTHING = """
rule all:
    input: expand("b/{{i}}", i=range({pairs}))

rule a:
    output: "a/{{i}}"
    shell: "touch {{output}}"

rule b:
    input: lambda wildcards: [f"a/{{(int(wildcards.i) + at) % {pairs}}}" for at in range({inputs})]
    output: "b/{{i}}"
    params: half=lambda wildcards: int(wildcards.i) // 2
    shell: "cp {{input}} {{output}}"
"""


def study(folder: Path, size: Size) -> Path:
    """A config in `folder`, with resources of its own: traits are the project's under new names."""
    resources = folder / "resources"
    resources.mkdir(parents=True)
    for path in (ROOT / "workflow/resources").glob("*.yaml"):
        (resources / path.name).write_text(path.read_text())
    blocks = yaml.safe_load((resources / "traits.yaml").read_text())
    known = list(blocks["traits"])
    names = [f"trait_{at}" for at in range(size.traits)]
    blocks["traits"] = {name: blocks["traits"][known[at % len(known)]] for at, name in enumerate(names)}
    (resources / "traits.yaml").write_text(yaml.safe_dump(blocks, sort_keys=False))
    config = {
        "experiment": "study",
        "resources": str(resources),
        "layers": list(range(size.layers)),
        "prompts": {"corpus": {"shards": size.shards}},
        "probes": {"traits": names},
        "rollouts": {"seeds": list(range(size.runs))},
        "statistics": {"primary": dict.fromkeys(names, "calls")},
    }
    files.write_json(folder / "config.json", config)
    return folder / "config.json"


def planned(folder: Path, snakefile: Path, *words: str) -> int:
    """Dry run in a folder without results; returns how many jobs there are."""
    return total(said(folder, snakefile, "--quiet", "rules", *words))


def said(folder: Path, snakefile: Path, *words: str) -> list[str]:
    """The lines of a dry run."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--directory", str(folder)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command += ["--dry-run", *words]
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return (done.stdout + done.stderr).splitlines()


def total(lines: Iterable[str]) -> int:
    """Jobs of a dry run, which counts them at its beginning and at its end."""
    (counted,) = {line.split()[1] for line in lines if line.startswith("total")}
    return int(counted)


def inputs(lines: Iterable[str]) -> int:
    """Inputs of all jobs that a dry run lists."""
    return sum(line.count(", ") + 1 for line in lines if line.startswith("    input: "))


def nothing(folder: Path, pairs: int, inputs: int) -> Path:
    """A Snakefile of `pairs` jobs of each of two rules, those of the second with `inputs` inputs each."""
    folder.mkdir()
    (folder / "Snakefile").write_text(NOTHING.format(pairs=pairs, inputs=inputs))
    return folder / "Snakefile"


def main() -> None:
    small = options.small(__doc__)
    size = SMALL if small else WHOLE
    with tempfile.TemporaryDirectory() as name:
        ours, least, wide = (Path(name, each) for each in ("ours", "least", "wide"))
        config = study(ours, size)
        # what rules read beside their code, found from the folder that Snakemake works in
        (ours / "workflow").symlink_to(ROOT / "workflow")
        lines = said(ours, ROOT / "Snakefile", "--configfile", str(config))
        jobs, each = total(lines), inputs(lines) / total(lines)
        # half of them have none
        snakefiles = {least: nothing(least, jobs // 2, 1), wide: nothing(wide, jobs // 2, round(2 * each))}
        task = f"a plan of {jobs:,} jobs"
        names = ("Trimtab", "two rules that do nothing", "two rules that do nothing, with as many inputs")
        contenders: dict[str, Any] = {
            names[0]: lambda: planned(ours, ROOT / "Snakefile", "--configfile", str(config)),
            names[1]: lambda: planned(least, snakefiles[least]),
            names[2]: lambda: planned(wide, snakefiles[wide]),
        }
        rates = race(task, "jobs/s", contenders, size.rounds, lambda: sum(os.times()[2:4]))
    seconds = {f"seconds for all, {one.contender}": jobs / sorted(one.values)[size.rounds // 2] for one in rates}
    write(
        "dag",
        "Planning the DAG",
        [
            f"A dry run where nothing is built: {size.traits} traits, {size.layers} layers, {size.shards} shards of "
            f"the corpus, {size.runs} runs of every batch of rollouts; {each:.1f} inputs a job. Processor time of the "
            "whole command."
        ],
        rates,
        # 1.6 times what planning takes at least
        [Claim(task, names[0], names[1], 1 / 1.6), Claim(task, names[0], names[2], None)],
        ["snakemake"],
        seconds,
        small=small,
    )


if __name__ == "__main__":
    main()
