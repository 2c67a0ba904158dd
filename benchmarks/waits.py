"""What users wait for: the default experiment as a whole and by its dearest parts, small changes to it, and starts.

It reads what a finished default run wrote of itself, and runs Snakemake in a copy of it, so it needs one: of this
checkout (`make`), or of another whose folder is given (`--run`). Words name the parts to measure; what an earlier call
measured stays for the others. `dose` and `template` make all that such a change makes anew, which takes most of what
the run took, so they are measured by name alone; what their jobs took in the run is always told (`plans`). The smallest
size is one round of the parts that are named, or of the one that needs no run.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import costs
import options
import yaml
from copies import copies
from pyarrow import parquet
from rounds import FOLDER, machine
from spare import NOTHING, snakemake, spare

ROOT = FOLDER.parent
ROUNDS = 5
START = "vectors_decisions"
"""A script that needs the model and most of what others need."""
QUALITY = ("from_manifest", "load", "of_layers", "held_out", "measure", "silent_of_layers")
"""What the script of the dictionaries' quality calls, in this order."""
BARE = """
import gc, json, sys, time
gc.disable()
import torch, transformers
getattr(transformers, sys.argv[1]), transformers.AutoTokenizer
print(json.dumps(time.process_time()))
"""
"""No more than torch and the model's class, in the way that a job imports them."""


class Run:
    """A checkout and its finished default experiment."""

    def __init__(self, checkout: Path, small: bool) -> None:
        self.checkout, self.small = checkout.resolve(), small
        self.config = yaml.safe_load((checkout / "config.yaml").read_text())
        self.experiment: str = self.config["experiment"]
        self.rounds = 1 if small else ROUNDS

    @cached_property
    def results(self) -> Path:
        folder = self.checkout / "results" / self.experiment
        if not (folder / "report" / "report.html").is_file():
            sys.exit(f"{folder}: no finished default run; run `make` first, or name another checkout by --run")
        return folder

    @cached_property
    def jobs(self) -> list[costs.Job]:
        return costs.read(self.results)

    @property
    def commit(self) -> str:
        words = ["git", "-C", str(self.checkout), "describe", "--always", "--dirty"]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()

    @contextmanager
    def copy(self) -> Iterator[Path]:
        with spare(self.checkout, self.experiment, FOLDER) as folder:
            yield folder

    def python(self, *words: str | Path, folder: Path | None = None) -> Any:
        """What a program of this folder says as JSON in its last line, with the checkout's library."""
        own = {**os.environ, "PYTHONPATH": str(self.checkout / "workflow"), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, *words],
            cwd=folder or self.checkout,
            env=own,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return json.loads(done.stdout.splitlines()[-1])


def default(run: Run) -> dict[str, Any]:
    tables = [
        *(run.results / "vectors/decisions").glob("*.parquet"),
        *(run.results / "vectors/chance").glob("*.parquet"),
    ]
    read = sum(parquet.read_metadata(table).num_rows for table in tables)
    found = costs.summary(run.results, run.jobs, machine()["cores"])
    return {**found, "decisions": read, "memory_mb": run.config["rollouts"]["memory_mb"]}


def model(run: Run) -> dict[str, Any]:
    """Starts of a job that needs the model, and rates of the model."""
    script = run.checkout / "workflow/scripts" / f"{START}.py"
    data = run.checkout / "workflow/resources"
    words = [script, run.results / "model/manifest.json", run.results / "prompts/scenarios.jsonl"]
    words += [data / f"{run.config['rollouts']['protocol']}.yaml", data / "decisions.yaml", "--rounds"]
    starts = [run.python(FOLDER / "model_rates.py", *words, "0") for _ in range(run.rounds)]
    rates = run.python(FOLDER / "model_rates.py", *words, str(run.rounds))
    architecture = json.loads((run.results / "model/manifest.json").read_text())["architecture"]
    bare = [run.python("-c", BARE, architecture) for _ in range(run.rounds)]
    return {**rates, **{name: [each[name] for each in starts] for name in ("imports", "load")}, "bare": bare}


def nothing(run: Run) -> dict[str, Any]:
    """Snakemake where nothing is to be done: planned, and run."""
    with run.copy() as folder:
        calls = {name: [snakemake(folder, *words) for _ in range(run.rounds)] for name, words in
                 {"plan": ["--dry-run"], "run": ["--cores", "all"]}.items()}  # fmt: skip
    assert all(NOTHING in each.said for took in calls.values() for each in took)
    return {
        name: {"wall": [each.wall for each in took], "cpu": [each.cpu for each in took]} for name, took in calls.items()
    }


def dose_change(folder: Path) -> list[str]:
    """The study's middle dose, a little larger."""
    doses = yaml.safe_load((folder / "config.yaml").read_text())["rollouts"]["study"]["doses"]
    other = [*doses[:1], round(doses[1] * 1.2, 6), *doses[2:]]
    return ["--config", f"rollouts={{study: {{doses: {other}}}}}"]


def template_change(folder: Path) -> list[str]:
    """A word more in a template of the first trait."""
    path = folder / "workflow/resources/traits.yaml"
    text, blocks = path.read_text(), yaml.safe_load(path.read_text())["traits"]
    wording = next(iter(blocks.values()))["opening"][0]["high"]
    assert text.count(wording) == 1
    path.write_text(text.replace(wording, f"Now {wording[0].lower()}{wording[1:]}"))
    return []


def title_change(folder: Path) -> list[str]:
    return ["--config", "report={title: Another title}"]


CHANGES: dict[str, Callable[[Path], list[str]]] = {
    "title": title_change, "dose": dose_change, "template": template_change
}  # fmt: skip


def plans(run: Run) -> dict[str, Any]:
    """What each change makes anew, and what these jobs took in the run."""
    found = {}
    took = {job.name: job for job in run.jobs}
    for name, change in CHANGES.items():
        with run.copy() as folder:
            said = snakemake(folder, "--dry-run", *change(folder)).said
        jobs = [took[each] for each in costs.listed(said, run.experiment)]
        found[name] = {"jobs": Counter(job.rule for job in jobs), "rules": costs.by("rule", jobs)}
    return found


def changed(name: str) -> Callable[[Run], dict[str, Any]]:
    def measure(run: Run) -> dict[str, Any]:
        with run.copy() as folder:
            took = snakemake(folder, "--cores", "all", *CHANGES[name](folder))
            jobs = costs.read(folder / "results" / run.experiment)
        return {"wall": took.wall, "cpu": took.cpu, "rules": costs.by("rule", jobs), "count": len(jobs)}

    return measure


def quality(run: Run) -> dict[str, Any]:
    """The job of the dictionaries' quality once more, by what it calls."""
    records = json.loads((run.results / "records.json").read_text())
    command = records[f"results/{run.experiment}/saes/quality.csv"]["shellcmd"].partition(" 2> ")[0]
    _, script, *words = shlex.split(command)
    with run.copy() as folder:
        seconds: Mapping[str, float] = run.python(
            FOLDER / "job_parts.py", ",".join(QUALITY), script, *words, folder=folder
        )
    return {"seconds": seconds}


def reads(run: Run) -> dict[str, Any]:
    """Of a cache of the default's width: how fast a byte passes each thing that a shuffled read does with it."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        return copies(Path(folder), buffers=1) if run.small else copies(Path(folder))


PARTS: dict[str, Callable[[Run], dict[str, Any]]] = {
    "default": default, "plans": plans, "title": changed("title"), "nothing": nothing, "model": model,
    "quality": quality, "reads": reads, "dose": changed("dose"), "template": changed("template"),
}  # fmt: skip
LONG, ALONE = ("dose", "template"), ("reads",)
"""Those that are measured by name alone; those that need no run."""


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"all but {' and '.join(LONG)}, or some of {', '.join(PARTS)}"
    )
    parser.add_argument("--run", type=Path, default=ROOT, help="a checkout with a finished default run")
    given = parser.parse_args()
    if unknown := [name for name in given.parts if name not in PARTS]:
        parser.error(f"no part {unknown[0]!r}; expected some of {', '.join(PARTS)}")
    run = Run(given.run, given.small)
    path = FOLDER / "waits.json"
    if given.small:
        print(json.dumps({name: PARTS[name](run) for name in given.parts or ALONE}))
        return
    record = json.loads(path.read_text()) if path.is_file() else {"parts": {}}
    for name in given.parts or [name for name in PARTS if name not in LONG]:
        began = machine()
        found = PARTS[name](run) | {"machine": began, "commit": run.commit}
        record = {
            "versions": {each: version(each) for each in ("snakemake", "torch", "transformers")},
            "parts": {**record["parts"], name: found},
        }
        # what was measured stays, whatever becomes of the next part
        path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        print(f"measured: {name}", flush=True)


if __name__ == "__main__":
    main()
