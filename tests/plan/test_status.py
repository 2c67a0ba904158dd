"""Where an experiment stands, from what Snakemake wrote down of its last run."""

import os
from pathlib import Path

import pytest

from trimtab.artifacts import files
from trimtab.jobs import running
from trimtab.plan.status import Job, as_text, jobs, note

RESULTS = Path("results/small")
BEGUN = """\
Job stats:
job            count
-----------  -------
sae                2
probe              1
total              5

Select jobs to execute...
[Mon Nov 30 07:30:00 2026]
rule sae:
    input: results/small/model/manifest.json
    output: results/small/saes/0/cfg.json
    log: results/small/logs/saes/0.log
    jobid: 4
    wildcards: layer=0
    resources: tmpdir=/tmp
[Mon Nov 30 07:30:01 2026]
localcheckpoint probe_layers:
    output: results/small/probes/layers.json
    log: results/small/logs/probes/layers.log
    jobid: 21
    resources: tmpdir=/tmp
[Mon Nov 30 07:30:01 2026]
rule rollouts:
    log: results/small/logs/rollouts/turns/autonomy.log
    jobid: 7
    wildcards: batch=autonomy, run=
"""
ENDED = """\
[Mon Nov 30 07:32:20 2026]
Finished jobid: 21 (Rule: probe_layers)
1 of 5 steps (20%) done
[Mon Nov 30 07:32:21 2026]
Error in rule sae:
    message: None
    jobid: 4
    output: results/small/saes/0/cfg.json
    log: results/small/logs/saes/0.log (check log file(s) for error details)
    shell:
        python workflow/scripts/saes_train.py
        (command exited with non-zero exit code)
Logfile results/small/logs/saes/0.log:
================================================================================
config.yaml, saes.k: 5000
================================================================================
"""
GROUP = """\
group job 9b (jobs in lexicogr. order):
    [Mon Nov 30 07:30:00 2026]
    rule conditions:
        output: results/small/rollouts/conditions/common.csv
        log: results/small/logs/rollouts/conditions/common.log
        jobid: 31
        wildcards: batch=common
    [Mon Nov 30 07:30:00 2026]
    rule probe_scores:
        log: results/small/logs/probes/scores.log
        jobid: 32
[Mon Nov 30 07:31:00 2026]
Error in group 9b:
    jobs:
        rule conditions:
            jobid: 31
            log: results/small/logs/rollouts/conditions/common.log
        rule probe_scores:
            jobid: 32
            log: results/small/logs/probes/scores.log
"""


def states(told: str) -> dict[str, str]:
    return {job.name: job.state for job in jobs(told)}


def test_jobs_begin_and_end() -> None:
    assert states(BEGUN) == {"sae 0": "running", "probe_layers": "running", "rollouts autonomy": "running"}
    assert states(BEGUN + ENDED) == {"sae 0": "failed", "probe_layers": "done", "rollouts autonomy": "running"}
    assert jobs(BEGUN)[2] == Job("rollouts autonomy", "results/small/logs/rollouts/turns/autonomy.log", "running")


def test_a_group_fails_together() -> None:
    assert states(GROUP) == {"conditions common": "failed", "probe_scores": "failed"}


def test_a_job_that_is_tried_again_is_running() -> None:
    again = BEGUN[BEGUN.index("rule sae:") : BEGUN.index("[Mon Nov 30 07:30:01")]
    assert states(BEGUN + ENDED + again)["sae 0"] == "running"


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of two artifacts made, one of them before it, and one to come."""
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "run.log"
    log.write_text(BEGUN + ENDED)
    running.FOLDER.mkdir(parents=True)
    for name in ("model/manifest.json", "probes/layers.json", "logs/saes/0.log", "logs/rollouts/turns/autonomy.log"):
        (RESULTS / name).parent.mkdir(parents=True, exist_ok=True)
        (RESULTS / name).write_text("first line\nconfig.yaml, saes.k: 5000\n\n")
    records = {"model/manifest.json": {"rule": "manifest"}, "probes/layers.json": None, "saes/0/cfg.json": None}
    files.write_json(RESULTS / "records.json", {f"{RESULTS}/{name}": record for name, record in records.items()})
    later = (RESULTS / "records.json").stat().st_mtime + 1
    os.utime(RESULTS / "probes/layers.json", (later, later))
    note(RESULTS, [str(log)])
    return log


def test_what_is_made_and_what_failed(experiment: Path) -> None:
    lines = as_text(RESULTS).splitlines()
    assert lines == [
        f"results/small: the last run failed, 1 of 5 jobs done; {experiment}",
        "made: model 1 of 1, saes 0 of 1, probes 1 of 1",
        "cut off: rollouts autonomy, results/small/logs/rollouts/turns/autonomy.log: config.yaml, saes.k: 5000",
        "failed: sae 0, results/small/logs/saes/0.log: config.yaml, saes.k: 5000",
    ]


def test_a_run_at_work(experiment: Path) -> None:
    running.begin("small")
    lines = as_text(RESULTS).splitlines()
    assert lines[0] == f"results/small: a run is at work, 1 of 5 jobs done; {experiment}"
    assert lines[2].startswith("running: rollouts autonomy")


def test_what_another_run_left_half_made_does_not_count(experiment: Path) -> None:
    os.utime(RESULTS / "probes/layers.json", (0, 0))
    assert "probes 0 of 1" in as_text(RESULTS)


def test_at_most_ten_lines(experiment: Path) -> None:
    block = BEGUN[BEGUN.index("rule sae:") : BEGUN.index("[Mon Nov 30 07:30:01")]
    begun = [block.replace("jobid: 4", f"jobid: {at}") for at in range(100, 130)]
    failed = [f"Error in rule sae:\n    jobid: {at}\n" for at in range(110, 130)]
    experiment.write_text("".join([BEGUN, *begun, *failed]))
    lines = as_text(RESULTS).splitlines()
    assert len(lines) == 10
    assert lines[-1] == "failed: 17 more"


def test_before_any_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert as_text(RESULTS) == "results/small: no run has begun here"
