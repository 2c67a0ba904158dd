"""Shards of tiny models for the tests of this folder."""

from dataclasses import replace

import numpy as np
from recorded import manifest
from tiny import VOCABULARY

from trimtab.activations.reading import ModelRows
from trimtab.activations.shards import write_shard
from trimtab.forward.capture import Prompt
from trimtab.settings.activations import CaptureSettings

SETTINGS = CaptureSettings(token_budget=24, chunk_rows=8)
DESCRIBED = manifest()
LAYERS = [1, 3]


def prompts(seed=0, count=7, context=()):
    random = np.random.default_rng(seed)
    return [Prompt(f"p{i}", random.integers(VOCABULARY, size=3 + i).tolist(), context) for i in range(count)]


def write(path, model, these, selection="all", dtype="float32", **changes):
    described = replace(DESCRIBED, dtype=dtype)
    settings = CaptureSettings(**SETTINGS.record() | changes)
    write_shard(path, ModelRows(model), these, LAYERS, selection, described, settings, {"seed": 1})
    return path
