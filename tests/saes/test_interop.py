"""Ours in the real libraries and theirs in ours: the same latents, the same reconstructions.

The libraries are none of Trimtab's environment; they are installed beside it for the tests (`other_tools`), and one
process of theirs serves all tests, since importing them takes seconds.
"""

from pathlib import Path

import pytest
import torch
from other_tools import beside_tools, needs_tools
from safetensors.torch import load_file, save_file
from test_formats import ORIGIN, random_sae, rows

from trimtab.saes import formats

pytestmark = [needs_tools, pytest.mark.slow]
OURS = [
    ("saelens", "topk"),
    ("saelens", "jumprelu"),
    ("sparsify", "topk"),
    ("dictionary_learning", "topk"),
    ("dictionary_learning", "jumprelu"),
]
THEIRS = ("sparsify", "AutoEncoderTopK", "BatchTopKSAE", "saelens_topk", "saelens_batchtopk")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ours, and beside them what the libraries read there and wrote themselves."""
    made = tmp_path_factory.mktemp("interop")
    save_file({"rows": rows()}, made / "rows.safetensors")
    for name, kind in OURS:
        formats.FORMATS[name].write(made / "ours" / f"{name}.{kind}", random_sae(kind), ORIGIN)
    formats.FORMATS["sparsify"].write(made / "layers.5", random_sae(), ORIGIN)
    done = beside_tools(Path(__file__).with_name("peers.py"), made)
    assert done.returncode == 0, done.stderr
    return made


@pytest.mark.parametrize(("name", "kind"), OURS)
def test_ours_read_by_the_real_library(folder, name, kind):
    sae, found = random_sae(kind), load_file(folder / f"{name}.{kind}.safetensors")
    torch.testing.assert_close(found["latents"], sae.latents(rows()), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found["reconstruction"], sae.forward(rows()), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", THEIRS)
def test_theirs_read_by_us(folder, name):
    results = load_file(folder / "theirs/results.safetensors")
    ours = formats.read(folder / "theirs" / name).forward(results["rows"])
    torch.testing.assert_close(ours, results[name], rtol=1e-4, atol=1e-4)


def test_saelens_misreads_a_dictionary_of_sparsify(folder):
    """SAELens 6.54 transposes sparsify's W_dec, which has been (latents, d_in) since sparsify 1.0: what it then loads
    can't decode. sparsify itself and Trimtab read the same folder right."""
    said = (folder / "misread").read_text()
    assert "W_dec" in said or "shape" in said
    torch.testing.assert_close(formats.read(folder / "layers.5").forward(rows()), random_sae().forward(rows()))
