"""A GPU that this machine lacks is known before any job, by torch's version and the driver's library alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trimtab.errors import TrimtabError
from trimtab.model import device
from trimtab.model.device import check_device

DRIVER = """
int cuInit(unsigned flags) { return STATUS; }
int cuGetErrorString(int status, const char **said) { *said = "no CUDA-capable device is detected"; return 0; }
"""


@pytest.fixture
def built_as(tmp_path, monkeypatch):
    """Gives torch another version, as its installed files tell it."""

    def build(version):
        about = tmp_path / "torch-0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Name: torch\nVersion: {version}\n")
        monkeypatch.syspath_prepend(tmp_path)

    return build


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """Builds a driver's library whose start ends with this status."""

    def build(status):
        folder = tmp_path_factory.mktemp("driver")
        (folder / "driver.c").write_text(DRIVER)
        words = ["cc", "-shared", "-fPIC", f"-DSTATUS={status}", "-o", folder / "driver.so", folder / "driver.c"]
        subprocess.run(words, check=True)
        return str(folder / "driver.so")

    return build


def refusal(name):
    with pytest.raises(TrimtabError) as raised:
        check_device(name)
    (line,) = str(raised.value).splitlines()
    return line


@pytest.mark.parametrize("name", ["cuda", "auto"])
@pytest.mark.parametrize("version", ["2.13.0+cpu", "2.13.0", "2.13.0+cu130", "2.13.0+xpu"])
def test_neither_a_torch_without_gpus_nor_a_machine_without_a_driver_takes_one(built_as, monkeypatch, name, version):
    built_as(version)
    monkeypatch.setattr(device, "DRIVER", "libnothing.so.1")
    why = f"torch {version} is built" if version.endswith("+cpu") else "there is no libnothing.so.1"
    assert refusal(name).startswith(f"config.yaml, model.device: {name}, and no GPU can be used here ({why}")


def test_a_driver_that_finds_no_gpu_says_so(built_as, driver, monkeypatch):
    built_as("2.13.0")
    monkeypatch.setattr(device, "DRIVER", driver(100))
    assert "(its driver says: no CUDA-capable device is detected)" in refusal("cuda")


def test_what_may_well_work_is_left_to_torch(built_as, driver, monkeypatch):
    built_as("2.13.0+cu130")
    monkeypatch.setattr(device, "DRIVER", driver(0))
    check_device("cuda")
    check_device("auto")


def test_of_other_makes_torch_alone_knows(built_as, monkeypatch):
    built_as("2.13.0+rocm7.1")
    monkeypatch.setattr(device, "DRIVER", "libnothing.so.1")
    check_device("cuda")


def test_the_processor_is_always_there(built_as):
    built_as("2.13.0+cpu")
    check_device("cpu")


def test_asking_loads_no_torch():
    code = "import sys, trimtab.model.device as device; device.check_device('cpu'); print('torch' in sys.modules)"
    words = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(Path(device.__file__).parents[2])}
    assert subprocess.run(words, env=environment, check=True, capture_output=True, text=True).stdout == "False\n"
