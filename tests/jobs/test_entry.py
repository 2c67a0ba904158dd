"""A script's command line is its main's signature; a user's mistake is one line, a bug keeps its stack trace."""

import os
import signal
import subprocess
import sys

import pytest

from trimtab.jobs.origins import VARIABLE, Origins
from trimtab.jobs.running import REFUSED, WRONG_CONFIG

SCRIPT = '''"""Adds things up. 100 % of them."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.errors import TrimtabError
from trimtab.settings.base import Settings


class Kept(Settings):
    a: list[int | None]


def main(
    cache: Path, out: Path, *, layer: int, dose: float, name: str, settings: Kept,
    doses: list[float], runs: list[int] = [7], extra_note: str = "none",
) -> None:
    if name == "mistake":
        raise TrimtabError("config.yaml, name: 'mistake'; expected another")
    if name == "disk":
        raise TrimtabError("out/a.csv: can't be written (No space left on device)")
    if name == "bug":
        raise KeyError("bug")
    print([cache.name, type(out).__name__, layer, dose, name, settings.record(), doses, runs, extra_note])


if __name__ == "__main__":
    script(main)
'''
GOOD = [
    "a/cache.h5",
    "out",
    "--layer",
    "3",
    "--dose",
    "-0.5",
    "--settings",
    '{"a": [1, null]}',
    "--doses",
    "0.1",
    "2",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("entry") / "add.py"
    path.write_text(SCRIPT)
    return lambda *words: subprocess.run([sys.executable, path, *words], capture_output=True, text=True)


@pytest.mark.slow
def test_arguments_follow_the_signature(run):
    done = run(*GOOD, "--name", "x")
    assert done.stdout.strip() == str(
        ["cache.h5", "PosixPath", 3, -0.5, "x", {"a": [1, None]}, [0.1, 2.0], [7], "none"]
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_default_makes_a_flag_optional_and_underscores_become_dashes(run):
    done = run(*GOOD, "--name", "x", "--runs", "1", "2", "--extra-note", "two words")
    assert done.stdout.strip().endswith("[1, 2], 'two words']")


@pytest.mark.slow
def test_a_users_mistake_is_one_line_with_a_status_of_its_own(run):
    done = run(*GOOD, "--name", "mistake")
    assert done.returncode == WRONG_CONFIG
    assert done.stderr == "config.yaml, name: 'mistake'; expected another\n"


@pytest.mark.slow
def test_in_a_job_a_mistake_leaves_a_mark_so_that_nobody_tries_again(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(*GOOD, "--name", "mistake")
    assert not REFUSED.exists()
    monkeypatch.setenv(VARIABLE, "")
    Origins({"name": "mine.yaml"}).leave(os.environ)
    assert run(*GOOD, "--name", "disk").returncode == 1
    assert not REFUSED.exists()
    done = run(*GOOD, "--name", "mistake")
    assert (done.returncode, done.stderr) == (WRONG_CONFIG, "mine.yaml, name: 'mistake'; expected another\n")
    assert [each.name for each in REFUSED.iterdir()] == ["add"]


@pytest.mark.slow
def test_a_bug_keeps_its_stack_trace(run):
    done = run(*GOOD, "--name", "bug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "KeyError: 'bug'" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (GOOD, "the following arguments are required: --name"),
        ([*GOOD, "--name", "x", "--layer", "four"], "argument --layer: invalid int value: 'four'"),
        ([*GOOD, "--name", "x", "--dose", "nan"], "argument --dose: 'nan'; expected a finite number"),
        ([*GOOD, "--name", "x", "--doses", "1", "1e999"], "argument --doses: '1e999'; expected a finite number"),
        ([*GOOD, "--name", "x", "--dose", "much"], "argument --dose: 'much'; expected a finite number"),
        ([*GOOD, "--name", "x", "--settings", "{broken"], "argument --settings: Invalid JSON"),
        ([*GOOD, "--name", "x", "--unknown", "1"], "unrecognized arguments: --unknown 1"),
    ],
)
def test_a_wrong_command_line_is_refused_by_name(run, words, said):
    done = run(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_help_shows_the_scripts_own_first_line(run):
    done = run("--help")
    assert done.returncode == 0
    assert "Adds things up. 100 % of them." in done.stdout
    assert "--extra-note" in done.stdout


TYPED = '''"""Takes settings."""

from pydantic import Field

from trimtab.jobs.entry import script
from trimtab.settings.base import AboveZero, Settings, Some


class Doses(Settings):
    doses: Some[AboveZero]
    draws: int = Field(ge=1)


def main(*, settings: Doses) -> None:
    print(settings.doses, settings.draws, settings.record())


if __name__ == "__main__":
    script(main)
'''


@pytest.fixture(scope="module")
def typed(tmp_path_factory):
    path = tmp_path_factory.mktemp("typed") / "take.py"
    path.write_text(TYPED)
    return lambda text: subprocess.run([sys.executable, path, "--settings", text], capture_output=True, text=True)


@pytest.mark.slow
def test_settings_arrive_as_their_model_and_are_recorded_as_written(typed):
    done = typed('{"doses": [1, 0.5], "draws": 3}')
    assert (done.stdout, done.stderr) == ("(1, 0.5) 3 {'doses': (1, 0.5), 'draws': 3}\n", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"doses": [1, -1], "draws": 3}', "doses.1"),
        ('{"doses": [1]}', "draws"),
        ('{"doses": [1], "draws": 0}', "draws"),
        ('{"doses": [1], "draws": 3, "dose": 2}', "dose"),
    ],
)
def test_settings_that_are_not_their_models_are_refused_by_key(typed, text, key):
    done = typed(text)
    assert done.returncode == 2
    assert f"argument --settings: {key}: " in done.stderr


PLENTY = '''"""Takes one settings a layer."""

from trimtab.jobs.entry import script
from trimtab.settings.base import AboveZero, Settings


class Doses(Settings):
    dose: AboveZero


def main(*, layers: list[int], settings: list[Doses]) -> None:
    print(layers, [each.dose for each in settings])


if __name__ == "__main__":
    script(main)
'''


@pytest.mark.slow
def test_a_list_of_settings_is_one_json_after_the_other(tmp_path):
    path = tmp_path / "take.py"
    path.write_text(PLENTY)

    def said(*words):
        return subprocess.run([sys.executable, path, "--layers", "4", "5", *words], capture_output=True, text=True)

    assert said("--settings", '{"dose": 1}', '{"dose": 0.5}').stdout == "[4, 5] [1, 0.5]\n"
    assert said("--settings").stdout == "[4, 5] []\n"
    wrong = said("--settings", '{"dose": 1}', '{"dose": 0}')
    assert wrong.returncode == 2
    assert "argument --settings: dose: " in wrong.stderr


WAITING = '''"""Waits."""

from trimtab.jobs.entry import script
import time


def main() -> None:
    print("at work", flush=True)
    time.sleep(60)


if __name__ == "__main__":
    script(main)
'''


def test_an_interrupted_job_ends_in_one_line(tmp_path, monkeypatch):
    path = tmp_path / "wait.py"
    path.write_text(WAITING)
    monkeypatch.setenv(VARIABLE, "{}")
    job = subprocess.Popen([sys.executable, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert job.stdout.readline() == "at work\n"
    job.send_signal(signal.SIGINT)
    assert job.communicate() == ("", "interrupted\n")
    assert job.returncode == 1
