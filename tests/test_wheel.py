"""The package without the workflow: a wheel, what of it can be imported, and the example of its page."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from project import ROOT, copied

EXAMPLE = re.findall(r"```python\n(import torch.*?)```", (ROOT / "docs/elsewhere.md").read_text(), re.DOTALL)[0]

CHECK = """
from pathlib import Path
import importlib, pkgutil, trimtab
assert Path(trimtab.__file__).is_relative_to({installed!r}), trimtab.__file__
for module in pkgutil.walk_packages(trimtab.__path__, "trimtab."):
    if module.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as missing:  # what runs inside vLLM is imported there, in an environment of its own
        assert missing.name.split(".")[0] == "vllm" and module.name.startswith("trimtab.rollouts.served."), missing
with torch.no_grad():
    ids = torch.tensor([tokens])
    torch.testing.assert_close(plain, model(ids).logits[0, -1])
    rest = model.model.layers[1].register_forward_hook(
        lambda module, given, out: (out[0] if isinstance(out, tuple) else out) + 4 * (high - low) / (high - low).norm()
    )
    by_hand = model(ids).logits[0, -1]
torch.testing.assert_close(steered, by_hand)
assert not torch.allclose(plain, steered, atol=1e-3)
"""


@pytest.mark.slow
def test_a_wheel_captures_and_steers_by_itself(toy_model: Path, quick_python: Path, tmp_path: Path) -> None:
    source, installed = tmp_path / "source", tmp_path / "installed"
    source.mkdir()
    copied(source)
    # what `python -m build` and pip ask for, in the environment that is here
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("trimtab-*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(installed)
    (tmp_path / "tiny-llama").symlink_to(toy_model)
    (tmp_path / "example.py").write_text(EXAMPLE + CHECK.format(installed=str(installed)))
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    call = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
    done = subprocess.run([str(quick_python), "example.py"], **call)
    assert done.returncode == 0, done.stdout + done.stderr
