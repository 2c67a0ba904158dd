"""How many compiled kernels a process keeps.

oneDNN and torch each keep the kernels of up to 1,024 shapes that they have met. Rollouts meet new shapes all the time
and few of them again, so that memory grew with the number of scenarios: by a gigabyte in a job of the default
experiment on a processor with AMX.
"""

import os

KEPT = 128
"""A job of rollouts of the default experiment took 238 CPU-seconds with so many, and 251 with 1,024."""
NAMES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")


def bound() -> None:
    """Have this process and those that it starts keep so few, unless the environment says otherwise.

    Call it before torch is imported, which reads the variables once.
    """
    for name in NAMES:
        os.environ.setdefault(name, str(KEPT))
