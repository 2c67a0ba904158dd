"""Whether this machine has the GPU that `model.device` asks for, told before a run's first job and without torch.

A job that loads the model asks torch itself (`trimtab.model.source`), but may be hours away.
"""

import ctypes
from importlib import metadata

from trimtab.errors import TrimtabError

DRIVER = "libcuda.so.1"
"""The library of NVIDIA's driver, which is there wherever its GPUs can be used."""


def check_device(device: str) -> None:
    """Pass a device that nothing speaks against here.

    Args:
        device: `model.device`.

    Raises:
        TrimtabError: it is a GPU, and torch can't have one, in one line.
    """
    if device != "cpu" and (why := _why_not()):
        raise TrimtabError(
            f"config.yaml, model.device: {device}, and no GPU can be used here ({why}); expected cpu, or a machine "
            "with a GPU and a torch for it"
        )


def _why_not() -> str | None:
    """What keeps torch from any GPU; None where nothing is known to."""
    try:
        torch = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return "torch is not installed"
    if torch.endswith("+cpu"):
        return f"torch {torch} is built for the processor alone"
    if "+rocm" in torch:
        # of AMD's GPUs nothing is known here but what torch says
        return None
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        return f"there is no {DRIVER}, the driver's library"
    if status := driver.cuInit(0):
        said = ctypes.c_char_p()
        driver.cuGetErrorString(status, ctypes.byref(said))
        return f"its driver says: {(said.value or b'error %d' % status).decode()}"
    return None
