"""Ours in the real libraries and theirs in ours: the same latents, the same reconstructions.

The libraries don't belong to Trimtab's environment, so they run in one of their own: that of `make bench-saes`, or the
python that TRIMTAB_SAE_PEERS names.
"""

import os
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_formats import ORIGIN, random_sae, rows

from trimtab.saes import formats

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("TRIMTAB_SAE_PEERS", ROOT / ".venv-bench-saes/bin/python"))
pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason=f"no {PYTHON}: SAELens, sparsify and dictionary_learning are not installed"
)


def peers(*words):
    return subprocess.run([PYTHON, Path(__file__).with_name("peers.py"), *words], capture_output=True, text=True)


def read_by(reader, path, folder):
    """Latents and reconstruction of `rows()` by a peer's own reader."""
    save_file({"rows": rows()}, folder / "rows.safetensors")
    done = peers(reader, path, folder / "rows.safetensors", folder / "out.safetensors")
    assert done.returncode == 0, done.stderr
    found = load_file(folder / "out.safetensors")
    return found["latents"], found["reconstruction"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("saelens", "topk"),
        ("saelens", "jumprelu"),
        ("sparsify", "topk"),
        ("dictionary_learning", "topk"),
        ("dictionary_learning", "jumprelu"),
    ],
)
def test_ours_read_by_the_real_library(tmp_path, name, kind):
    sae = random_sae(kind)
    formats.FORMATS[name].write(tmp_path / "sae", sae, ORIGIN)
    latents, reconstruction = read_by(name, tmp_path / "sae", tmp_path)
    torch.testing.assert_close(latents, sae.latents(rows()), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(reconstruction, sae.forward(rows()), rtol=1e-4, atol=1e-4)


def test_theirs_read_by_us(tmp_path):
    done = peers("write_theirs", tmp_path)
    assert done.returncode == 0, done.stderr
    results = load_file(tmp_path / "results.safetensors")
    for name in ("sparsify", "AutoEncoderTopK", "BatchTopKSAE", "saelens_topk", "saelens_batchtopk"):
        ours = formats.read(tmp_path / name).forward(results["rows"])
        torch.testing.assert_close(ours, results[name], rtol=1e-4, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


def test_saelens_misreads_a_dictionary_of_sparsify(tmp_path):
    """SAELens 6.54 transposes sparsify's W_dec, which has been (latents, d_in) since sparsify 1.0: what it then loads
    can't decode. sparsify itself and Trimtab read the same folder right."""
    sae, folder = random_sae(), tmp_path / "layers.5"
    formats.FORMATS["sparsify"].write(folder, sae, ORIGIN)
    save_file({"rows": rows()}, tmp_path / "rows.safetensors")
    done = peers("saelens_from_sparsify", folder, tmp_path / "rows.safetensors", tmp_path / "out.safetensors")
    assert done.returncode != 0
    assert "W_dec" in done.stderr or "shape" in done.stderr
    torch.testing.assert_close(formats.read(folder).forward(rows()), sae.forward(rows()))
