"""How every bench measures: contenders take turns, round after round, in one process.

Whatever else runs on the machine slows neighbours in a round alike, so a comparison is the ratio of two contenders'
rates in the same round, and its spread is that of the rounds. A bench is a script of its own beside this file; it calls
`race` for each task and `write` once, and `table.py` makes the page from what they wrote.
"""

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from table import section

FOLDER = Path(__file__).parent


class Rates(NamedTuple):
    """What one contender reached at one task, a rate for each round."""

    task: str
    contender: str
    unit: str
    values: list[float]


class Claim(NamedTuple):
    """That `contender` is at least `at_least` times as fast as `against` at `task` (None: no target was set)."""

    task: str
    contender: str
    against: str
    at_least: float | None


class Table(NamedTuple):
    """What a bench found beside rates, as the page shows it."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


class Picture(NamedTuple):
    """A file beside this one, and what it shows."""

    file: str
    caption: str


def race(
    task: str,
    unit: str,
    contenders: Mapping[str, Callable[[], float]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Rates]:
    """Rates of all contenders at `task`.

    Args:
        unit: of the rates, such as tokens/s.
        contenders: name -> the work, which returns how much it did (tokens, rows, steps). A first call, whose time
            counts nowhere, lets each load and compile what it needs.
        clock: seconds; `time.process_time` for work that only computes, in one thread, which others on the machine
            then slow little.
    """
    found = {name: Rates(task, name, unit, []) for name in contenders}
    for work in contenders.values():
        work()
    names = list(contenders)
    for number in range(rounds):
        # each goes first in its turn
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = clock()
            done = contenders[name]()
            found[name].values.append(done / (clock() - start))
    return list(found.values())


def write(
    bench: str,
    title: str,
    about: Sequence[str],
    rates: Sequence[Rates],
    claims: Sequence[Claim],
    packages: Sequence[str],
    checks: Mapping[str, Any] | None = None,
    tables: Sequence[Table] = (),
    picture: Picture | None = None,
    small: bool = False,
    device: str = "cpu",
) -> None:
    """Write `benchmarks/<bench>.json`, of a GPU `<bench>-<device>.json`; of a smallest size print the page's section.

    Args:
        about: sentences on what was done, with which settings, and what else ran on the machine.
        packages: whose versions the page names.
        checks: name -> figure of what was compared to know that all contenders did the same work.
    """
    record = {
        "title": title,
        "about": list(about),
        "machine": machine() | ({} if device == "cpu" else {"gpu": torch.cuda.get_device_name()}),
        "versions": {name: version(name) for name in packages},
        "rates": [each._asdict() for each in rates],
        "claims": [each._asdict() for each in claims],
        "checks": dict(checks or {}),
        "tables": [each._asdict() for each in tables],
        "picture": picture and picture._asdict(),
    }
    name = bench if device == "cpu" else f"{bench}-{device}"
    if small:
        print("\n".join(section(name, record)))
        return
    (FOLDER / f"{name}.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def machine() -> dict[str, Any]:
    """What the bench runs on, and how busy it is."""
    return {"processor": processor(), "cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()[0]}


def processor() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
