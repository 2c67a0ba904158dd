"""Shards of tiny models for the tests of this folder."""

import numpy as np
from tiny import D_MODEL, VOCABULARY

from trimtab.activations.shards import write_shard
from trimtab.forward.capture import Prompt
from trimtab.settings.activations import CaptureSettings

SETTINGS = CaptureSettings(token_budget=24, chunk_rows=8)
DESCRIBED = {
    "model": "tiny",
    "revision": None,
    "dtype": "float32",
    "d_model": D_MODEL,
    "weights": {"model.safetensors": "cafe"},
    "context_length": 256,
}
LAYERS = [1, 3]


def prompts(seed=0, count=7, context=()):
    random = np.random.default_rng(seed)
    return [Prompt(f"p{i}", random.integers(VOCABULARY, size=3 + i).tolist(), context) for i in range(count)]


def write(path, model, these, selection="all", dtype="float32", **changes):
    described = {**DESCRIBED, "dtype": dtype}
    settings = CaptureSettings(**SETTINGS.record() | changes)
    write_shard(path, model, these, LAYERS, selection, described, settings, {"seed": 1})
    return path
