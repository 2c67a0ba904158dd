"""`python -m trimtab.activations`: what the shell sees."""

import subprocess

import pytest
from material import prompts, write
from tiny import llama


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("caches")
    sound, torn = (write(folder / f"{name}.h5", llama(), prompts()) for name in ("sound", "torn"))
    torn.write_bytes(torn.read_bytes()[:5000])
    return sound, torn


@pytest.fixture(scope="module")
def run(quick_python):
    words = [quick_python, "-m", "trimtab.activations"]
    return lambda *more: subprocess.run([*words, *more], capture_output=True, text=True)


@pytest.mark.slow
def test_verify_tells_sound_from_torn_by_its_status(run, paths):
    sound, torn = paths
    done = run("verify", sound)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{sound}: sound\n", "")
    done = run("verify", sound, torn)
    assert (done.returncode, done.stdout) == (1, f"{sound}: sound\n")
    assert done.stderr.startswith(f"{torn}: not a readable cache")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_info_prints_what_a_shard_is(run, paths):
    done = run("info", paths[0])
    assert done.returncode == 0
    assert "layers        1, 3\n" in done.stdout


@pytest.mark.slow
def test_another_word_is_refused_in_one_line(run, paths):
    done = run("repair", paths[0])
    assert done.returncode == 1
    assert done.stderr == f"repair {paths[0]}: expected info FILE... or verify FILE...\n"
