"""A job's process keeps few kernels, and as many as its environment says where it does."""

import json
import os
import subprocess
import sys

import pytest

from trimtab.jobs.kernels import KEPT, NAMES

JOB = "import trimtab.jobs.entry, json, os, sys; print(json.dumps([dict(os.environ), 'torch' in sys.modules]))"


@pytest.mark.parametrize("said", [{}, {NAMES[0]: "7"}])
def test_a_job_says_how_many_kernels_are_kept_before_torch_is_there(said):
    own = {name: value for name, value in os.environ.items() if name not in NAMES} | said
    own["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run([sys.executable, "-c", JOB], env=own, check=True, capture_output=True, text=True)
    found, has_torch = json.loads(done.stdout)
    assert {name: found[name] for name in NAMES} == dict.fromkeys(NAMES, str(KEPT)) | said
    assert not has_torch
