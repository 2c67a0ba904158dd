"""How every bench is called: `--small` for its smallest size, and `--device` where it has one.

At its smallest size a bench runs a toy or a few rows, once, and prints its section of the page: that all of it still
runs. It writes nothing. On a GPU, rates are of seconds that pass until the device is done; a processor's are of its own
time where the work only computes.
"""

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

CPU, CUDA = "cpu", "cuda"


class Options(NamedTuple):
    small: bool
    device: str
    folder: str | None = None
    """Of an unpacked default model, which saves unpacking it."""

    @property
    def clock(self) -> Callable[[], float]:
        """Of work that only computes."""
        return time.process_time if self.device == CPU else waited


def waited() -> float:
    """Seconds, once the GPU is done."""
    torch.cuda.synchronize()
    return time.perf_counter()


def parser(about: str | None) -> argparse.ArgumentParser:
    """What all benches take."""
    words = argparse.ArgumentParser(description=(about or "").partition("\n")[0])
    words.add_argument("--small", action="store_true", help="the smallest size, which writes nothing")
    return words


def small(about: str | None) -> bool:
    """Whether a bench that has no device is to run at its smallest size."""
    return bool(parser(about).parse_args().small)


def asked(about: str | None, model: bool) -> Options:
    """The options of a bench that runs on a processor or a GPU; one line where there is no GPU.

    Args:
        model: whether it runs the default model.
    """
    words = parser(about)
    words.add_argument("--device", choices=[CPU, CUDA], default=CPU)
    if model:
        words.add_argument("folder", nargs="?", help="an unpacked default model, which saves unpacking it")
    given = Options(**vars(words.parse_args()))
    if given.device != CPU and not torch.cuda.is_available():
        words.exit(1, f"--device {given.device}: torch {torch.__version__} finds no GPU here; expected {CPU}\n")
    return given
