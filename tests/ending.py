"""A training that is ended at its first checkpoint and started again, for tests of what it then leaves."""

import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trimtab.jobs import stopping


def ended_and_started_again(command: Sequence[str], folder: Path, how: signal.Signals, **known: Any) -> None:
    """Run `command` twice, the first time until there is a checkpoint in `folder`, where the weights go last."""
    process = subprocess.Popen(command, **known, stderr=subprocess.PIPE)
    checkpoint = folder / "checkpoint.safetensors"
    while not checkpoint.exists():
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.01)
    process.send_signal(how)
    _, said = process.communicate()
    assert ("stopped before the time limit, as asked" in said.decode()) == (how == stopping.SIGNAL)
    assert not (folder / "sae_weights.safetensors").exists()

    again = subprocess.run(command, **known, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "training goes on at step" in again.stderr
    assert not checkpoint.exists()
