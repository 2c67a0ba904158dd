"""The tests' quick Python does what Python does, but for the time it takes."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """\
import atexit, os, sys, threading, time
import beside

print(sys.argv[1:], os.getcwd(), os.environ["MINE"], "PATH" in os.environ, beside.NAME, __name__, flush=True)
print(sys.stdin.read(), file=sys.stderr)
{end}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "end",
    [
        *("", "sys.exit()", "sys.exit(3)", "sys.exit(-1)", "sys.exit('no')", "sys.exit(__file__)"),
        *("raise KeyError", "os.kill(os.getpid(), 9)"),
        "atexit.register(print, 'last', end='')\n"
        "threading.Thread(target=lambda: (time.sleep(0.1), print('late'))).start()",
    ],
)
@pytest.mark.parametrize("words", [["program.py", "a", "b c"], ["-m", "program", "a"]])
def test_a_program_gets_and_gives_what_it_does_under_python(
    quick_python: Path, tmp_path: Path, words: list[str], end: str
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM.format(end=end))
    (tmp_path / "others").mkdir()
    (tmp_path / "others/beside.py").write_text("NAME = 'theirs'\n")

    def said(python: str | Path) -> tuple[int, str, str]:
        known = {"cwd": tmp_path, "env": {"MINE": "é", "PYTHONPATH": "others"}, "input": "given", "text": True}
        done = subprocess.run([python, *words], capture_output=True, **known)
        # a shell's word for a signal
        code = done.returncode if done.returncode >= 0 else 128 - done.returncode
        return code, done.stdout, done.stderr.splitlines()[-1] if done.stderr else ""

    wanted = said(sys.executable)
    assert (wanted[0] == 0) == (end in ("", "sys.exit()") or "late" in end)
    assert said(quick_python) == wanted
