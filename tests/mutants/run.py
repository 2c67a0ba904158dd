"""Does a test notice? Every mutation of `mutations.py` is made in a copy of the tree, and its tests must then fail.

Run by `make mutants`, which writes MUTANTS.md beside this file. It lives among the tests because it tests them. A
mutation whose text is no longer in its file, and tests that cannot be run, are errors, so the list can't rot in
silence. The tests are run once on the tree as it is first: only what is green can notice anything. Each run is a fork
of one process that has imported the large libraries, which would otherwise take most of the time.
"""

import contextlib
import importlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from mutations import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]
TREE = ("workflow", "tests", "docs", "config.yaml", "pyproject.toml", "Snakefile")
LARGE = ("numpy", "pandas", "scipy.stats", "statsmodels.api", "torch", "transformers", "matplotlib")
LONGEST = 600
"""Seconds after which a mutant counts as hung."""

QUIET = ("-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning")
"""Pytest would rewrite the assertions of its plugins' libraries, which the process has imported already."""

GREEN, FAILED = pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED


class First:
    """Remembers the first test that fails."""

    def __init__(self) -> None:
        self.name = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.name:
            self.name = report.nodeid


def outcome(tree: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Exit code of pytest over `tests` in a process of its own, and the first that failed; -signal if it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.alarm(LONGEST)
        os.chdir(tree)
        os.environ |= {"PYTHONPATH": str(tree / "workflow"), "PYTHONDONTWRITEBYTECODE": "1"}
        sys.path[:0] = [str(tree / "workflow")]
        sys.dont_write_bytecode = True
        first = First()
        with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
            code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *QUIET, *tests], plugins=[first])
        os.write(writing, first.name.encode())
        os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as answer:
        name = answer.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), name


def tried(tree: Path, mutation: Mutation) -> str:
    """What became of a mutation, in the words of the table."""
    path = tree / "workflow/trimtab" / mutation.file
    text = path.read_text() if path.exists() else ""
    if text.count(mutation.old) != 1:
        return f"ERROR: its text is {text.count(mutation.old)} times in the file"
    path.write_text(text.replace(mutation.old, mutation.new))
    try:
        code, name = outcome(tree, mutation.tests)
    finally:
        path.write_text(text)
    if code == FAILED:
        return f"`{name.rpartition('/')[2]}`"
    if code == -signal.SIGALRM:
        return "hung, which is noticed too"
    return "**SURVIVED**" if code == GREEN else f"ERROR: its tests end with {code}"


def main(wanted: Sequence[str]) -> int:
    """Try the mutations whose file holds one of the words `wanted`, or all and write the table."""
    chosen = [each for each in MUTATIONS if not wanted or any(word in each.file for word in wanted)]
    for name in LARGE:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in TREE:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, tree / name)
        for tests in dict.fromkeys(each.tests for each in chosen):
            code, name = outcome(tree, tests)
            if code != GREEN:
                print(f"{' '.join(tests)}: not green on the tree as it is ({name or code}); nothing was mutated")
                return 1
        found = []
        for mutation in chosen:
            found.append(tried(tree, mutation))
            print(f"{mutation.file}: {mutation.what}: {found[-1]}", flush=True)
    killed = sum(not end.startswith(("ERROR", "**")) for end in found)
    if not wanted:
        rows = [f"| {m.what} | {m.file} | {end} |" for m, end in zip(chosen, found, strict=True)]
        head = f"# Mutations\n\nMade by `make mutants`: {killed} of {len(chosen)} are noticed by their tests.\n\n"
        lines = ["| mutation | file | first test that fails |", "|---|---|---|", *rows]
        (Path(__file__).parent / "MUTANTS.md").write_text(head + "\n".join(lines) + "\n")
    print(f"{killed} of {len(chosen)} mutations are noticed")
    return int(killed < len(chosen))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
