"""The plan of ten thousand jobs: a dry run of the study blown up, and one of as many jobs that do nothing.

The study's design with ten times its traits, on three times its layers, in many shards and runs. The other contender
has as many jobs in two rules, one input and one output each, on the same Snakemake: what planning takes at least.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from rounds import Claim, race, write

from trimtab.artifacts import files

ROOT = Path(__file__).parents[1]
TRAITS, LAYERS, SHARDS, RUNS = 50, 30, 400, 182
ROUNDS = 2

LEAST = """
rule all:
    input: expand("b/{{i}}", i=range({pairs}))

rule a:
    output: "a/{{i}}"
    shell: "touch {{output}}"

rule b:
    input: "a/{{i}}"
    output: "b/{{i}}"
    params: half=lambda wildcards: int(wildcards.i) // 2
    shell: "cp {{input}} {{output}}"
"""


def study(folder: Path, traits: int, layers: int, shards: int, runs: int) -> Path:
    """A config in `folder`, with resources of its own: traits are the project's under new names."""
    resources = folder / "resources"
    resources.mkdir(parents=True)
    for path in (ROOT / "workflow/resources").glob("*.yaml"):
        (resources / path.name).write_text(path.read_text())
    blocks = yaml.safe_load((resources / "traits.yaml").read_text())
    known = list(blocks["traits"])
    names = [f"trait_{at}" for at in range(traits)]
    blocks["traits"] = {name: blocks["traits"][known[at % len(known)]] for at, name in enumerate(names)}
    (resources / "traits.yaml").write_text(yaml.safe_dump(blocks, sort_keys=False))
    config = {
        "experiment": "study",
        "resources": str(resources),
        "layers": list(range(layers)),
        "prompts": {"corpus": {"shards": shards}},
        "probes": {"traits": names},
        "rollouts": {"seeds": list(range(runs))},
        "statistics": {"primary": dict.fromkeys(names, "calls")},
    }
    files.write_json(folder / "config.json", config)
    return folder / "config.json"


def planned(folder: Path, snakefile: Path, *words: str) -> int:
    """Dry run in a folder without results; returns how many jobs there are."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--directory", str(folder)]
    command += ["--dry-run", "--quiet", "rules", *words]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    # a dry run counts its jobs at its beginning and at its end
    (total,) = {line.split()[1] for line in (done.stdout + done.stderr).splitlines() if line.startswith("total")}
    return int(total)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        ours, least = Path(name, "ours"), Path(name, "least")
        config = study(ours, TRAITS, LAYERS, SHARDS, RUNS)
        # what rules read beside their code, found from the folder that Snakemake works in
        (ours / "workflow").symlink_to(ROOT / "workflow")
        jobs = planned(ours, ROOT / "Snakefile", "--configfile", str(config))
        least.mkdir()
        (least / "Snakefile").write_text(LEAST.format(pairs=(jobs - 1) // 2))
        task, names = f"a plan of {jobs:,} jobs", ("Trimtab", "two rules that do nothing")
        contenders: dict[str, Any] = {
            names[0]: lambda: planned(ours, ROOT / "Snakefile", "--configfile", str(config)),
            names[1]: lambda: planned(least, least / "Snakefile"),
        }
        rates = race(task, "jobs/s", contenders, ROUNDS, lambda: sum(os.times()[2:4]))
    seconds = {f"seconds for all, {each.contender}": jobs / sorted(each.values)[ROUNDS // 2] for each in rates}
    write(
        "dag",
        "Planning the DAG",
        [
            f"A dry run where nothing is built: {TRAITS} traits, {LAYERS} layers, {SHARDS} shards of the corpus, "
            f"{RUNS} runs of every batch of rollouts. Processor time of the whole command."
        ],
        rates,
        [Claim(task, *names, None)],
        ["snakemake"],
        seconds,
    )


if __name__ == "__main__":
    main()
