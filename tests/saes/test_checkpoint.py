"""A run that is cut off and goes on ends with the bits of one that wasn't; a killed process of the real script too."""

import json
import os
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
import torch
from ending import ended_and_started_again
from recorded import manifest
from test_train import BASE, KINDS, batches, planted
from tiny import llama

from trimtab.activations.reading import ModelRows
from trimtab.activations.shards import write_shard
from trimtab.artifacts import files
from trimtab.forward.capture import Prompt
from trimtab.jobs import stopping
from trimtab.saes.checkpoint import TrainingCheckpoint
from trimtab.saes.train import Recipe, train
from trimtab.settings.activations import CaptureSettings
from trimtab.settings.saes import SaeSettings

SCRIPT = Path(__file__).parents[2] / "workflow/scripts/saes_train.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[1]), "OMP_NUM_THREADS": "1"}


class Cut(Exception):
    pass


def cut(rows, settings, at):
    """Batches that end with a crash before step `at`."""

    def open_at(step):
        yield from islice(batches(rows, settings), step, at)
        raise Cut

    return open_at


@pytest.mark.slow
@pytest.mark.parametrize("at", [10, 17, 30])
@pytest.mark.parametrize("kind", KINDS)
def test_cut_off_and_taken_up_the_same_bits(tmp_path, kind, at):
    rows, _ = planted()
    # latents die, are revived and resampled on the way
    changed = {"architecture": kind, "tokens": 40 * 256, "learning_rate": 0.03, "resample_steps": 7, "latents": 96}
    changed["massive_norm"] = 1.05 if kind == "topk" else None
    settings = SaeSettings(**BASE | changed)

    def whole(step):
        return islice(batches(rows, settings), step, None)

    wanted = train(whole, Recipe(settings, seed=3))
    checkpoint = TrainingCheckpoint(tmp_path / "c.safetensors", "run", seconds=0)
    with pytest.raises(Cut):
        train(cut(rows, settings, at), Recipe(settings, 3), checkpoint)
    assert checkpoint.read().step == at - 1 - (at - 1) % 10
    found = train(whole, Recipe(settings, 3), checkpoint)
    assert found.curve == wanted.curve
    assert found.massive == wanted.massive
    assert kind != "topk" or 0 < found.massive.left_out < 40 * 256
    for name in ("W_enc", "b_enc", "W_dec", "b_dec"):
        assert getattr(found.sae, name).equal(getattr(wanted.sae, name))
    if kind != "topk":
        assert found.sae.activation.threshold.equal(wanted.sae.activation.threshold)


def test_another_runs_checkpoint_is_not_taken_up(tmp_path):
    state = {"a": torch.ones(2)}
    TrainingCheckpoint(tmp_path / "c.safetensors", {"k": 1}, 0).write(4, state, [])
    assert TrainingCheckpoint(tmp_path / "c.safetensors", {"k": 1}, 0).read().step == 4
    assert TrainingCheckpoint(tmp_path / "c.safetensors", {"k": 2}, 0).read() is None
    assert not TrainingCheckpoint(tmp_path / "c.safetensors", {"k": 1}, 1000).due()


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The script's command line but for its folder, for a corpus in two shards."""
    tmp_path = tmp_path_factory.mktemp("corpus")
    model = llama()
    corpus, caches = [], []
    for shard in range(2):
        draw = torch.Generator().manual_seed(shard)
        prompts = [Prompt(f"{shard}/{i}", torch.randint(97, (60,), generator=draw).tolist()) for i in range(40)]
        corpus += [{"id": p.id, "split": "held_out" if p.id.endswith("3") else "train"} for p in prompts]
        caches.append(str(tmp_path / f"{shard}.h5"))
        budget = CaptureSettings(token_budget=600, chunk_rows=64)
        write_shard(tmp_path / f"{shard}.h5", ModelRows(model), prompts, [1], "all", manifest(), budget, {})
    manifest().write(tmp_path / "manifest.json")
    files.write_jsonl(tmp_path / "corpus.jsonl", corpus)
    settings = BASE | {"latents": 512, "k": 8, "tokens": 300 * 256}
    words = [sys.executable, str(SCRIPT), str(tmp_path / "manifest.json"), str(tmp_path / "corpus.jsonl")]
    options = ["--caches", *caches, "--pretrained", "--layer", "1", "--context-size", "60", "--device", "cpu"]
    options += ["--settings", json.dumps(settings), "--seed", "5", "--repeat", "0", "--checkpoint-seconds", "0"]
    return lambda folder: [*words, str(folder), *options]


@pytest.fixture(scope="module")
def whole(command, tmp_path_factory):
    """What a training that nothing happens to leaves."""
    folder = tmp_path_factory.mktemp("whole") / "sae"
    subprocess.run(command(folder), check=True, env=ENVIRONMENT, capture_output=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, stopping.SIGNAL])
def test_ended_and_started_again_the_same_bytes(tmp_path, command, whole, how):
    broken = tmp_path / "broken"
    ended_and_started_again(command(broken), broken, how, env=ENVIRONMENT)
    names = sorted(path.name for path in whole.iterdir())
    assert names == ["cfg.json", "provenance.json", "sae_weights.safetensors", "training.csv"]
    for name in names:
        assert (broken / name).read_bytes() == (whole / name).read_bytes()
