"""What a terminal shows of a run: a real Snakemake in a pseudo-terminal, and the same one writing to a file."""

import os
import pty
import re
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from trimtab.jobs.screen import REFUSED, SHOWN_OF_A_LOG, failure, refused, why
from trimtab.report.ending import ending, headline

SNAKEFILE = """
rule all:
    input: "a.done", "b.done"

rule plan:
    shell: "echo 'a line of the plan'; sleep {config[failing]}"

rule make:
    output: "{of}.done"
    log: "{of}.log"
    shell: "echo 'no cups are left' > {log}; test {wildcards.of} != {config[failing]} && touch {output}"
"""


def command(folder: Path, failing: str, *options: str) -> dict:
    (folder / "Snakefile").write_text(SNAKEFILE)
    words = [sys.executable, "-m", "snakemake", *options, "--cores", "1", "--logger", "trimtab"]
    words += ["--config", f"failing={failing}"]
    return {"args": words, "cwd": folder, "env": {**os.environ, "TERM": "xterm"}}


def in_terminal(folder: Path, failing: str, *options: str) -> tuple[int, str]:
    """How Snakemake ends, and what a terminal was sent, without its ways of moving about."""
    own, given = pty.openpty()
    termios.tcsetwinsize(given, (24, 100))
    with subprocess.Popen(**command(folder, failing, *options), stdin=given, stdout=given, stderr=given) as process:
        os.close(given)
        said = b""
        # a terminal whose last program has ended is read to its end, then fails
        try:
            while piece := os.read(own, 4096):
                said += piece
        except OSError:
            pass
    os.close(own)
    return process.returncode, re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", said.decode())


@pytest.mark.slow
def test_a_run_is_one_line_that_tells_how_far_it_is(tmp_path):
    status, said = in_terminal(tmp_path, failing="none")
    assert status == 0
    assert "100%" in said
    assert "3 of 3 jobs" in said
    assert "now make a" in said
    # none of Snakemake's pages
    assert not re.search(r"localrule|reason:|Finished jobid|Provided cores|Job stats", said)
    # redrawn in place
    lines = [line for line in said.replace("\r\n", "\n").split("\n") if line.strip()]
    assert len(lines) == 1


@pytest.mark.slow
def test_a_failure_stands_above_it_with_the_end_of_its_log(tmp_path):
    status, said = in_terminal(tmp_path, failing="b")
    assert status == 1
    assert "make b failed; its log is b.log:" in said
    assert said.count("no cups are left") == 1
    assert "Exiting because a job execution failed" in said


@pytest.mark.slow
def test_a_dry_run_is_a_line_a_job_with_the_reason(tmp_path):
    status, said = in_terminal(tmp_path, "none", "--dry-run")
    assert status == 0
    lines = [line for line in said.replace("\r\n", "\n").split("\n") if line.strip()]
    assert lines[0] == "would run 3 jobs:"
    assert sorted(lines[1:]) == [
        "  all: input files updated by another job",
        "  make a: missing output files",
        "  make b: missing output files",
    ]


@pytest.mark.slow
def test_what_a_rule_answers_on_the_terminal_has_no_bar_beside_it(tmp_path):
    status, said = in_terminal(tmp_path, "0", "plan")
    assert status == 0
    assert said.replace("\r\n", "\n") == "a line of the plan\n"


def test_of_a_refused_config_the_lines_alone_are_shown():
    lines = "hour.yaml, layers: missing\nhour.yaml, saes: missing"
    place = 'WorkflowError in file "/here/common.smk", line 152:\n'
    assert refused(f'{place}{REFUSED}{lines}\n  File "/here/common.smk", line 152, in <module>') == lines
    assert refused("something else") == "something else"


def test_a_reason_comes_without_files():
    assert why("Missing output files: a, b; Input files updated by another job: c") == (
        "missing output files; input files updated by another job"
    )


@pytest.mark.slow
def test_elsewhere_snakemakes_own_lines_stay(tmp_path):
    done = subprocess.run(**command(tmp_path, "none"), capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr.count("rule make:") == 2
    assert "3 of 3 steps (100%) done" in done.stderr
    assert "\r" not in done.stderr


def test_of_a_long_log_the_end_is_shown(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    head, *lines = failure("make a", [str(log)]).splitlines()
    assert head == f"make a failed; its log is {log}:"
    assert lines == [f"    line {number}" for number in range(100 - SHOWN_OF_A_LOG, 100)]
    log.write_text("")
    assert failure("make a", [str(log)]) == f"make a failed; its log is {log}, and it is empty"
    assert failure("make a", []) == "make a failed"


PAGE = (
    '<section id="abstract" class="abstract"><p>Tea.</p>\n<p><strong>2 of 5 moved: &lt;milk&gt;.</strong></p></section>'
)


def test_the_end_names_the_page_and_what_it_found(tmp_path):
    page = tmp_path / "report.html"
    began = time.time() - 1
    assert ending(page, began) == []
    page.write_text(PAGE)
    assert ending(page, began) == ["", "2 of 5 moved: <milk>.", f"The report is {page}"]
    # made by an earlier run
    assert ending(page, time.time() + 60) == []
    assert headline("<p>no page</p>") is None
