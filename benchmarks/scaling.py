"""How the cost of each stage's work grows: processor time and peak memory against what there is more of.

Each size is a process of its own, so that its peak of memory is its own; PROCESSES of them a size, and as many at once
as there are cores, up to two. A process loads the toy model, does a little of the work so that all code is there, and
then the work itself. Time is that of the work. Memory is what the work's peak adds to what the process held before it.
The heap keeps free pages, which count there; of work whose memory is flat by design, what is in use is told as well.
The toy is a Llama of random weights with the default model's vocabulary; what runs it is the library's own. The
smallest size of this bench is the three smallest sizes of one of them, once; tests run the others' work.
"""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import options
from growth import HEAD, MEMORY, TIME, Curve, picture, rows
from rounds import FOLDER, Picture, Table, write
from stage_works import captured, packaged_tokenizer, played, trained, vectors, written_toy

from trimtab.jobs import kernels

PROCESSES, SIZES = 3, 5
"""Of a size, and of an axis at most."""
LOOK = 0.01
"""Seconds between two looks at the memory in use."""
Work = Callable[[], object]


class Axis(NamedTuple):
    """One kind of work, and what there is more of."""

    work: str
    size: str
    sizes: tuple[int, ...]
    make: Callable[[Path, Path, int], Work]
    """From the toy's folder, an empty folder and a size to the work."""
    memory: float
    """Slope of memory by design."""
    least: int
    """A size below all, for what comes before the work."""


AXES = {
    "tokens": Axis(
        "capture", "tokens", (8_192, 16_384, 32_768, 65_536, 131_072),
        lambda toy, scratch, size: captured(toy, scratch, size, 4), 0, 2_048,
    ),
    "layers": Axis(
        "capture", "hooked layers", (1, 2, 4, 8),
        lambda toy, scratch, size: captured(toy, scratch, 32_768, size), 1, 1,
    ),
    "conditions": Axis(
        "rollouts", "conditions", (2, 4, 8, 16, 32),
        lambda toy, scratch, size: played(toy, scratch, conditions=size, scenarios=8, turns=1), 0, 2,
    ),
    "scenarios": Axis(
        "rollouts", "scenarios", (8, 16, 24, 48),
        lambda toy, scratch, size: played(toy, scratch, conditions=2, scenarios=size, turns=1), 0, 2,
    ),
    "turns": Axis(
        "rollouts", "turns an episode", (1, 2, 4, 8, 16),
        lambda toy, scratch, size: played(toy, scratch, conditions=2, scenarios=8, turns=size), 1, 1,
    ),
    "vectors": Axis("vectors with doses", "vectors of a trait", (4, 8, 16, 32, 64), vectors, 1, 1),
    "width": Axis("a dictionary's steps", "latents", (1_024, 2_048, 4_096, 8_192, 16_384), trained, 1, 256),
}  # fmt: skip
SMALL = ("width",)


class InUse(threading.Thread):
    """Hands the heap's free pages back all the time, and sees how much memory is left at most."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = 0.0
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(LOOK):
            trim()
            self.most = max(self.most, status("VmRSS"))

    def end(self) -> float:
        self._over.set()
        self.join()
        return self.most


def trim() -> None:
    """Hand the heap's free pages back."""
    ctypes.CDLL(None).malloc_trim(0)


def measured(name: str, size: int, toy: Path, in_use: bool) -> dict[str, float]:
    """Both costs of one size, in this process.

    Args:
        in_use: count no free pages of the heap, which takes time.
    """
    axis = AXES[name]
    with tempfile.TemporaryDirectory() as scratch:
        axis.make(toy, Path(scratch), axis.least)()
        shutil.rmtree(scratch)
        Path(scratch).mkdir()
        work = axis.make(toy, Path(scratch), size)
        # what is free again must not hide what the work takes
        trim()
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        before, begun, looking = status("VmRSS"), time.process_time(), InUse()
        if in_use:
            looking.start()
        work()
        spent = time.process_time() - begun
        return {TIME: spent, MEMORY: (looking.end() if in_use else status("VmHWM")) - before}


def status(name: str) -> float:
    """A figure of this process's memory in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def apart(name: str, size: int, toy: Path, *in_use: str) -> dict[str, float]:
    """The same in a process of its own, with one thread."""
    words = [sys.executable, __file__, "--one", name, str(size), str(toy), *in_use]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def curves(toy: Path, names: Iterable[str], processes: int, most: int) -> list[Curve]:
    """Of each named kind of work, at its smallest sizes, `most` at most."""
    found = []
    with ThreadPoolExecutor(min(2, len(os.sched_getaffinity(0)))) as at_once:
        for name in names:
            axis = AXES[name]
            runs = [(name, size, toy) for _ in range(processes) for size in axis.sizes[:most]]
            costs = list(zip(runs, at_once.map(lambda run: apart(*run), runs), strict=True))
            for cost, promised in ((TIME, 1.0), (MEMORY, axis.memory)):
                values: dict[int, list[float]] = {size: [] for size in axis.sizes[:most]}
                for (_, size, _), each in costs:
                    values[size].append(each[cost])
                found.append(Curve(axis.work, axis.size, cost, promised, values))
                print(" | ".join(rows(found[-1:])[0]), flush=True)
    return found


def flat(toy: Path) -> Table:
    """Memory in use at the smallest and the largest size of what is flat by design."""
    lines = []
    for name, axis in AXES.items():
        if axis.memory == 0:
            ends = {size: apart(name, size, toy, "in use")[MEMORY] for size in (axis.sizes[0], axis.sizes[-1])}
            told = " to ".join(f"{value:.3g} MiB at {size:,}" for size, value in ends.items())
            lines.append([f"{axis.work}, by {axis.size}", told])
    return Table(["work", "peak of memory in use, without the heap's free pages"], lines)


def main(small: bool) -> None:
    # as a job's process does
    kernels.bound()
    begun, processes = time.perf_counter(), 1 if small else PROCESSES
    with tempfile.TemporaryDirectory() as folder:
        toy = written_toy(Path(folder), packaged_tokenizer())
        found = curves(toy, SMALL, processes, 3) if small else curves(toy, AXES, processes, SIZES)
        used = [] if small else [flat(toy)]
        picture(found, (Path(folder) if small else FOLDER) / "scaling.svg")
    write(
        "scaling",
        "How cost grows",
        [
            f"Slopes of a straight line through both logarithms, with 95 % intervals. Each size ran in {processes} "
            "processes of its own, one thread each, on a Llama of random weights (8 layers of width 128, bfloat16, the "
            "default model's vocabulary). Time is the work's own, without imports and loading; memory is what the "
            "work's peak added to the process. Kept: the interval's upper end is at most 0.1 above what the design "
            "says; broken: its lower end is above that; open: neither. Rollouts run in batches of 2 conditions and 8 "
            f"scenarios. All of it took {(time.perf_counter() - begun) / 60:.0f} minutes.",
        ],
        [],
        [],
        ["torch", "transformers"],
        tables=[Table(HEAD, rows(found)), *used],
        picture=Picture("scaling.svg", "Cost against size, with the smallest and largest of the processes"),
        small=small,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        name, size, folder, *in_use = sys.argv[2:]
        print(json.dumps(measured(name, int(size), Path(folder), bool(in_use))))
    else:
        main(options.small(__doc__))
