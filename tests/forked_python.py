"""A Python whose programs are forks of one process that has the large libraries already.

A whole run of the workflow starts dozens of programs, each of which is busy importing torch, transformers or Snakemake
for most of its time. Tests whose subject is another run them here instead: `started` gives the path of a `python` that
is called like any other, with a script or `-m` and a module. Each program has arguments, folder, environment, streams
and exit code of its own, imports the project's own modules anew, and ends in its own time; that it is a fork shows in
its process id and command line alone. So tests that look for processes or kill them take Python itself, as do the jobs
that must make the same bytes again in another folder, and those that SLURM stops, puts back or ends.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

LARGE = (
    *("h5py", "jaxtyping", "matplotlib.figure", "pandas", "pyarrow.parquet", "pydantic", "safetensors.torch"),
    *("scipy.stats", "seaborn", "snakemake.cli", "snakemake_executor_plugin_slurm", "statsmodels.stats.multitest"),
    *("transformers.modeling_utils", "transformers.models.auto.modeling_auto"),
    *("transformers.models.auto.tokenization_auto", "transformers.models.llama.modeling_llama"),
)

CLIENT = f"""#!{sys.executable} -IS
import json, os, socket, sys

with socket.socket(socket.AF_UNIX) as asked:
    asked.connect(os.path.join(os.path.dirname(os.path.abspath(__file__)), "socket"))
    said = json.dumps([sys.argv, os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(asked, [len(said).to_bytes(8, "big")], [0, 1, 2])
    asked.sendall(said)
    sys.exit(int(asked.makefile().read() or 1))
"""
"""What is called: it passes all it was given to the process that forks, and waits."""


@contextmanager
def started() -> Iterator[Path]:
    """The path of such a Python, which lives within the block."""
    # a socket's name may have 107 characters, which a folder of pytest's own can use up
    with tempfile.TemporaryDirectory(prefix="python-") as folder:
        python = Path(folder, "python")
        python.write_text(CLIENT)
        python.chmod(0o755)
        # what these libraries read of the environment when they are imported
        own = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONUTF8": "1"}
        environment = {**os.environ, **own}
        environment.pop("PYTHONPATH", None)
        words = [sys.executable, __file__, folder]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(words, env=environment, **pipes) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            yield python


def serve(folder: Path) -> None:
    """Fork for whoever calls, until standard input is closed."""
    gc.disable()
    for name in LARGE:
        importlib.import_module(name)
    gc.freeze()
    gc.enable()
    # of those that watch over a program nobody waits for the end
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
        listening.listen()
        print("ready", flush=True)
        while sys.stdin not in (ready := select.select([listening, sys.stdin], [], [])[0]):
            assert ready
            asked, _ = listening.accept()
            if not os.fork():
                listening.close()
                watch(asked)
            asked.close()


def watch(asked: socket.socket) -> None:
    """Run a program in a fork of its own, and tell who asked how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, streams, *_ = socket.recv_fds(asked, 8, 3)
    with asked.makefile("rb") as said:
        words, folder, environment = json.loads(said.read(int.from_bytes(size, "big")))
    program = os.fork()
    if not program:
        asked.close()
        try:
            run(words, folder, environment, streams)
        except SystemExit as ended:
            leave(ended.code)
        leave(None)
    _, status = os.waitpid(program, 0)
    code = os.waitstatus_to_exitcode(status)
    # of a signal, as a shell tells it
    asked.sendall(str(code if code >= 0 else 128 - code).encode())
    os._exit(0)


def run(words: Sequence[str], folder: str, environment: dict[str, str], streams: Sequence[int]) -> None:
    for own, given in enumerate(streams):
        os.dup2(given, own)
        os.close(given)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    importlib.invalidate_caches()
    sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
    sys.executable, kind, *rest = words
    module = kind == "-m"
    sys.argv = rest if module else [kind, *rest]
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [folder if module else str(Path(kind).parent.resolve()), *filter(None, paths)]
    if module:
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(os.path.abspath(kind), run_name="__main__")


def leave(code: object) -> NoReturn:
    """End as Python does, but leave the libraries as they are.

    Python takes apart all that was imported, and what a fork changes it copies first, which takes it half a second.
    """
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit((code or 0) & 0xFF)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
