"""What a terminal shows of a run: one line that tells how far it is, and above it only what somebody should read.

Snakemake's own lines, pages a job, go to its log (`.snakemake/log/`), which the end names. A dry run is a line a job:
what it makes, and why. Where standard error is no terminal (a file, a pipe, CI), and when Snakemake is asked to be
verbose or quiet, Snakemake's lines stay as they are.
"""

import logging
import re
import sys
from pathlib import Path
from threading import Event, Thread
from typing import Never

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from tqdm import tqdm

SHOWN_OF_A_LOG = 20
"""Lines from the end of a failed job's log."""

TICK = 1.0
"""Seconds after which the line is drawn anew, so that the time goes on within a long job."""

ANSWERS = {"plan", "status"}
"""Rules whose own lines on the terminal are what was asked for; they get no bar."""

REFUSED = "the configuration can't be used:\n"
"""What `workflow/rules/common.smk` says before the lines of a config's mistakes."""

BAR = "{percentage:3.0f}% |{bar:24}| {n_fmt} of {total_fmt} jobs, {elapsed} gone, {remaining} left{desc}"


class LogHandler(LogHandlerBase):
    """A handler that stands in for Snakemake's own on a terminal, and does nothing elsewhere."""

    def __post_init__(self) -> None:
        said = self.common_settings
        other = said.verbose or said.debug_dag or said.printshellcmds or bool(said.quiet)
        self._dry = said.dryrun
        self._stream = sys.stdout if self._dry else sys.stderr
        self._shows = sys.stderr.isatty() and self._stream.isatty() and not other
        self._bar: tqdm[Never] | None = None
        self._names: dict[int, str] = {}
        """Of each job, its rule and what it is of."""
        self._running: list[int] = []
        self._warnings = 0
        self._said: set[str] = set()
        self._over = Event()

    @property
    def writes_to_stream(self) -> bool:
        return self._shows

    @property
    def writes_to_file(self) -> bool:
        return False

    @property
    def has_filter(self) -> bool:
        """Events are chosen in `emit`."""
        return True

    @property
    def has_formatter(self) -> bool:
        return True

    @property
    def needs_rulegraph(self) -> bool:
        return False

    def emit(self, record: logging.LogRecord) -> None:
        if not self._shows:
            return
        known = vars(record)
        match known.get("event"):
            case LogEvent.RUN_INFO:
                self._begin(known["stats"])
            case LogEvent.JOB_INFO:
                name = " ".join([known["rule_name"], *(str(word) for word in known["wildcards"].values() if word)])
                self._names[known["jobid"]] = name
                if self._dry:
                    self._write(f"  {name}: {why(known['reason'])}")
            case LogEvent.JOB_STARTED:
                self._running += known["jobs"]
            case LogEvent.JOB_FINISHED:
                self._ended(known["job_id"])
            case LogEvent.PROGRESS:
                self._advance(known["done"], known["total"])
            case LogEvent.JOB_ERROR:
                self._ended(known["jobid"])
                self._write(failure(self._names.get(known["jobid"], known["rule_name"]), known["log"]))
            case LogEvent.GROUP_ERROR | LogEvent.ERROR:
                # of a command that failed, its job's log says more
                if "CalledProcessError" not in record.getMessage():
                    self._write(refused(record.getMessage()))
            case None if record.levelno >= logging.WARNING:
                self._warnings += record.levelno == logging.WARNING
                self._write(record.getMessage())
            case None if not self._names and not self._running and "Nothing to be done" in record.getMessage():
                self._write(record.getMessage())
            case _:
                return
        self._draw()

    def close(self) -> None:
        self._over.set()
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        super().close()

    def _begin(self, stats: dict[str, int]) -> None:
        total = stats.get("total", 0)
        if self._dry:
            self._write(f"would run {total} job{'s' * (total > 1)}:")
        elif total and self._bar is None and not set(stats) <= {*ANSWERS, "total"}:
            self._bar = tqdm(total=total, bar_format=BAR, file=self._stream, dynamic_ncols=True, leave=True)
            Thread(target=self._tick, args=[self._bar], daemon=True).start()

    def _tick(self, bar: "tqdm[Never]") -> None:
        # what the run says at its end stands below the bar, which then stays as it is
        while not self._over.wait(TICK) and float(bar.n) < float(bar.total or 0):
            bar.refresh()

    def _advance(self, done: int, total: int) -> None:
        if self._bar is not None:
            self._bar.total, self._bar.n = total, done

    def _ended(self, job: int) -> None:
        if job in self._running:
            self._running.remove(job)

    def _draw(self) -> None:
        if self._bar is not None:
            running = ", ".join(self._names[job] for job in self._running if job in self._names)
            warned = f"; {self._warnings} warning{'s' * (self._warnings > 1)}" if self._warnings else ""
            self._bar.set_description_str(f"{warned}; now {running}" if running else warned)

    def _write(self, text: str) -> None:
        """Lines above the bar, none of them twice."""
        if text.strip() and text not in self._said:
            self._said.add(text)
            tqdm.write(text, file=self._stream)


def why(reason: str) -> str:
    """Snakemake's reason for a job, without the files that it lists."""
    return "; ".join(dict.fromkeys(part.partition(":")[0] for part in reason.split("; ") if part)).lower()


def refused(message: str) -> str:
    """What Snakemake says of an error; of a config's mistakes their lines alone, without the place in our own code."""
    _, found, lines = message.partition(REFUSED)
    return re.sub(r'\n  File ".*', "", lines, flags=re.DOTALL) if found else message


def failure(name: str, logs: list[str]) -> str:
    """What to read of a job that failed: the end of its log, and where all of it lies."""
    lines = [f"{name} failed"]
    for log in logs:
        path = Path(log)
        written = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        lines[0] += f"; its log is {log}" + (":" if written else ", and it is empty")
        lines += [f"    {line}" for line in written[-SHOWN_OF_A_LOG:]]
    return "\n".join(lines)
