"""What a terminal shows of a run: one line that tells how far it is, and above it only what somebody should read.

Snakemake's own lines, pages a job, go to its log (`.snakemake/log/`), which the end names. Where standard error is no
terminal (a file, a pipe, CI), in dry runs, and when Snakemake is asked to be verbose or quiet, they stay as they are.
"""

import logging
import sys
from pathlib import Path
from typing import Never

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from tqdm import tqdm

SHOWN_OF_A_LOG = 20
"""Lines from the end of a failed job's log."""

BAR = "{percentage:3.0f}% |{bar:24}| {n_fmt} of {total_fmt} jobs, {elapsed} gone, {remaining} left{desc}"


class LogHandler(LogHandlerBase):
    """A handler that stands in for Snakemake's own on a terminal, and does nothing elsewhere."""

    def __post_init__(self) -> None:
        said = self.common_settings
        other = said.dryrun or said.verbose or said.debug_dag or said.printshellcmds or bool(said.quiet)
        self._shows = sys.stderr.isatty() and not other
        self._bar: tqdm[Never] | None = None
        self._names: dict[int, str] = {}
        """Of each job, its rule and what it is of."""
        self._running: list[int] = []
        self._warnings = 0
        self._said: set[str] = set()

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
                self._names[known["jobid"]] = " ".join([known["rule_name"], *map(str, known["wildcards"].values())])
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
                    self._write(record.getMessage())
            case None if record.levelno >= logging.WARNING:
                self._warnings += record.levelno == logging.WARNING
                self._write(record.getMessage())
            case None if not self._names and not self._running and "Nothing to be done" in record.getMessage():
                self._write(record.getMessage())
            case _:
                return
        self._draw()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        super().close()

    def _begin(self, stats: dict[str, int]) -> None:
        total = stats.get("total", 0)
        if total and self._bar is None:
            self._bar = tqdm(total=total, bar_format=BAR, file=sys.stderr, dynamic_ncols=True, leave=True)

    def _advance(self, done: int, total: int) -> None:
        if self._bar is not None:
            self._bar.total, self._bar.n = total, done

    def _ended(self, job: int) -> None:
        if job in self._running:
            self._running.remove(job)

    def _draw(self) -> None:
        if self._bar is not None:
            running = ", ".join(self._names.get(job, "") for job in self._running)
            warned = f"; {self._warnings} warning{'s' * (self._warnings > 1)}" if self._warnings else ""
            self._bar.set_description_str(f"{warned}; now {running}" if running else warned)

    def _write(self, text: str) -> None:
        """Lines above the bar, none of them twice."""
        if text.strip() and text not in self._said:
            self._said.add(text)
            tqdm.write(text, file=sys.stderr)


def failure(name: str, logs: list[str]) -> str:
    """What to read of a job that failed: the end of its log, and where all of it lies."""
    lines = [f"{name} failed"]
    for log in logs:
        path = Path(log)
        written = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        lines[0] += f"; its log is {log}" + (":" if written else ", and it is empty")
        lines += [f"    {line}" for line in written[-SHOWN_OF_A_LOG:]]
    return "\n".join(lines)
