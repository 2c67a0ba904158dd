"""What users wait for: sums are of jobs that ran; a row says what it found, what bounds it, or that it wasn't run."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
JOBS = {"saes/4": (10.0, 20.0, 100.0), "saes/5": (30.0, 40.0, 300.0), "saes/quality": (60.0, 60.0, 200.0)}
"""Processor seconds, seconds, MiB."""


@pytest.fixture(autouse=True)
def benches_can_be_imported(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.fixture
def results(tmp_path):
    records, at = {}, 1000.0
    for name, (cpu, wall, memory) in JOBS.items():
        path = tmp_path / "benchmarks" / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"cpu_time": cpu, "s": wall, "max_rss": memory}) + "\n")
        rule = "sae_quality" if name == "saes/quality" else "sae"
        log = [f"results/small/logs/{name}.log"]
        records[f"results/small/{name}"] = {"rule": rule, "log": log, "starttime": at, "endtime": at + wall}
        # the second begins while the first runs, the third an hour later
        at += 10.0 if name == "saes/4" else 3600.0
    # of a job that a killed run didn't finish
    records["results/small/saes/6"] = None
    (tmp_path / "records.json").write_text(json.dumps(records))
    return tmp_path


def test_a_run_is_summed_by_stage_and_rule(results):
    costs = importlib.import_module("costs")
    found = costs.summary(results, costs.read(results), 2)
    assert (found["jobs"], found["cpu"], found["stages"]) == (3, 100.0, {"saes": 100.0})
    assert found["rules"] == {"sae_quality": 60.0, "sae": 40.0}
    assert found["memory"] == ["saes/5", 300.0]
    assert found["given"] == 100 / 120
    assert costs.largest(found["rules"]) == "sae_quality 60%, sae 40%"


def test_a_pause_between_two_runs_counts_nowhere(results):
    costs = importlib.import_module("costs")
    records, jobs = json.loads((results / "records.json").read_text()), costs.read(results)
    assert costs.wall(records, jobs, 2) == 50.0 + 60.0
    touched = {name: record and record | {"starttime": 5.0, "endtime": 5.5} for name, record in records.items()}
    assert costs.wall(touched, jobs, 2) is None


def test_jobs_of_a_dry_run_are_found_by_their_benchmark_files():
    costs = importlib.import_module("costs")
    said = "rule sae:\n    jobid: 1\n    benchmark: results/small/benchmarks/saes/4.jsonl\n    wildcards: layer=4\n"
    assert costs.listed(said, "small") == ["saes/4"]
    assert costs.listed(said, "smal") == []


def test_a_row_is_reached_or_says_what_bounds_it_or_that_it_was_not_run():
    reach = importlib.import_module("reach")
    machine = {"processor": "abacus", "cores": 2, "load": 0.1}
    imports = {"imports": [1.0, 1.5, 1.25], "load": [0.25, 0.25, 0.25], "bare": [0.75, 0.8, 0.7]}
    title = {"wall": 12.0, "cpu": 9.0, "count": 2, "rules": {"report_page": 4.0, "figures": 1.0}}
    parts = {
        "model": {"machine": machine, "commit": "abc", **imports},
        "title": {"machine": machine, "commit": "abc", **title},
        "plans": {
            "machine": machine,
            "commit": "abc",
            "title": {"jobs": {"report_page": 2}, "rules": {"report_page": 5.0}},
        },
    }
    lines = list(reach.section({"waits": {"parts": parts}}))
    (start,) = [line for line in lines if line.startswith("| start of a job")]
    assert start.endswith("| 2 CPU-s | 1.5 (1.25 to 1.75) CPU-s | reached |")
    (change,) = [line for line in lines if "report's title" in line]
    assert "| 12 s of wall, 9 CPU-s |" in change
    assert "missed: 2 jobs of 5 CPU-s (report_page 80%, figures 20%), and 4 CPU-s of Snakemake" in change
    (quality,) = [line for line in lines if line.startswith("| SAE quality")]
    assert quality.endswith("| not measured | `default` wasn't run |")
    assert not list(reach.section({}))


def test_every_cited_row_finds_its_bench():
    """In the records that are checked in: a renamed task or contender would be a row that wasn't run."""
    reach = importlib.import_module("reach")
    records = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
    for row in reach.ROWS:
        cells = row.cells(records)
        assert len(cells) == len(reach.HEAD)
    (ranked,) = [row for row in reach.ROWS if "sparsify" in row.what]
    assert ranked.cells(records)[3] != reach.NOT_MEASURED


def test_where_time_goes_in_a_job(tmp_path):
    script = tmp_path / "job.py"
    script.write_text("from math import sqrt\ndef script(main): main()\ndef main(): sqrt(4)\n")
    words = [sys.executable, str(FOLDER / "job_parts.py"), "sqrt", str(script)]
    seconds = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    assert list(seconds) == ["start", "sqrt", "whole"]
    assert 0 <= seconds["sqrt"] <= seconds["whole"]


@pytest.mark.parametrize(("words", "said"), [(["weather"], "no part 'weather'"), ([], "no finished default run")])
def test_what_the_bench_refuses(tmp_path, words, said):
    (tmp_path / "config.yaml").write_text("experiment: small\n")
    command = [sys.executable, str(FOLDER / "waits.py"), *words, "--run", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode
    assert said in done.stderr.splitlines()[-1]


def test_steps_of_a_shuffled_read(tmp_path):
    found = importlib.import_module("copies").copies(tmp_path, buffers=1)
    assert list(found) == ["raw", "kernel to buffer", "checksum", "buffer to batch"]
    assert all(len(rates) == 5 and min(rates) > 0 for rates in found.values())


def test_a_dry_run_counts_jobs_and_inputs():
    dag = importlib.import_module("dag")
    lines = ["total   2", "rule a:", "    input: x, y", "    output: z", "rule b:", "    output: w", "total   2"]
    assert (dag.total(lines), dag.inputs(lines)) == (2, 2)
