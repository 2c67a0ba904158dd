"""Other tools, with which the tests load what Trimtab writes for them and write what it reads.

`make test` installs them apart (`envs/tools.txt`), since what some ask for is at odds with what Trimtab runs on. They
are found where PYTHONPATH names their folder, and nowhere else.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(sys.prefix) / "tools"
needs_tools = pytest.mark.skipif(not TOOLS.is_dir(), reason=f"no {TOOLS}, which make test installs")


def beside_tools(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run this python where these tools can be imported."""
    found = os.environ | {"PYTHONPATH": str(TOOLS)} | environment
    return subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, env=found)
