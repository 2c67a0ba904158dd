"""Imported by the server that the kill tests' processes are copies of: what the first capture of a process costs."""

import tempfile
from pathlib import Path

import killed
import torch

# copies of a process that has threads may hang
torch.set_num_threads(1)
with tempfile.TemporaryDirectory() as folder:
    killed.capture(Path(folder) / "a.h5")
