"""A tiny model with a vector and edits, served in this process."""

import threading
from pathlib import Path

import pytest
import torch
from recorded import lengths, record
from served_model import EDITS, TOKENIZER, UNIT, Client, model
from tiny import D_MODEL

from trimtab.forward.packed import pack_rows
from trimtab.rollouts.loaded import Loaded
from trimtab.serve.named import read_vectors
from trimtab.serve.server import Server
from trimtab.serve.writer import Writer
from trimtab.vectors import artifact
from trimtab.vectors.artifact import OwnEdits, Vector


@pytest.fixture(scope="session")
def vectors(tmp_path_factory):
    """A folder of them."""
    folder = tmp_path_factory.mktemp("served") / "vectors"
    known = record(kl_calibration=lengths({0.1: 2.0, -0.1: -2.5}))
    artifact.save(Vector(folder / "raptor/autonomy.safetensors", known, UNIT, torch.zeros(D_MODEL)))
    artifact.save(OwnEdits(folder / "cast/autonomy.safetensors", record(method="cast", asc=None), EDITS))
    return folder


@pytest.fixture(scope="session")
def loaded():
    made = model()
    pack_rows(made)
    return Loaded(Path("tiny"), made, TOKENIZER, None)


@pytest.fixture(scope="session")
def server(loaded, vectors):
    writer = Writer(loaded, "tiny", read_vectors([vectors], loaded), longest=100)
    with Server("127.0.0.1", 0, writer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="session")
def client(server):
    return Client(server.address)
