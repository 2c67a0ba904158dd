"""Dictionaries of every format with any of their files cut off or changed: read, or refused in one line."""

import pytest
import spoilt
import torch
from test_claims import dictionary_learning, qwen_scope, saelens, saelens5, sparsify
from test_suites import first, llama_scope, second

from trimtab.errors import TrimtabError
from trimtab.saes import formats


def compressed(folder):
    """As `numpy.savez_compressed` leaves it."""
    import numpy as np
    from test_suites import drawn

    folder.mkdir(parents=True)
    np.savez_compressed(folder / "params.npz", **drawn())
    return folder


def old_pickle(folder):
    """As torch wrote it before 1.6: no archive."""
    path = dictionary_learning(folder)
    torch.save(torch.load(path / "ae.pt"), path / "ae.pt", _use_new_zipfile_serialization=False)
    return path


# of torch, about a number of a spoilt file that would be a version
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "make",
    [saelens, saelens5, sparsify, dictionary_learning, old_pickle, qwen_scope, first, compressed, second, llama_scope],
)
def test_each_file_spoilt(tmp_path, make):
    path = make(tmp_path / "Llama3_1-8B-Base-L5R-8x")
    # what we note beside a dictionary is not read with it
    for file in (file for file in formats.inside(path) if file.name != "provenance.json"):
        whole = file.read_bytes()
        said = spoilt.told(file, lambda _: (formats.read(path, 4), formats.described(path)))
        file.write_bytes(whole)
        assert said
    formats.read(path, 4)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({0: torch.ones(2), "b_dec": torch.ones(6)}, "ae.pt: expected a dict of tensors by name"),
        ({"b_dec": torch.ones(6).to_sparse()}, "ae.pt, b_dec: torch.float32, torch.sparse_coo; expected plain real"),
        ({"b_dec": torch.ones(6, device="meta")}, "ae.pt, b_dec: torch.float32, torch.strided; expected plain real"),
        ({"b_dec": torch.ones(6, dtype=torch.complex64)}, "ae.pt, b_dec: torch.complex64"),
    ],
)
def test_tensors_that_are_no_plain_numbers_are_refused(tmp_path, content, line):
    path = dictionary_learning(tmp_path / "a")
    torch.save(torch.load(path / "ae.pt") | content, path / "ae.pt")
    with pytest.raises(TrimtabError) as caught:
        formats.read(path)
    assert line in str(caught.value)
