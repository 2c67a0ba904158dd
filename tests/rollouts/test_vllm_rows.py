"""Shards whose rows vLLM computes are those of `transformers`, whatever it has cached, and go on after a stop."""

import json
import subprocess
import sys

import h5py
import packaged
import pytest
import torch
from cells import HYBRID, SHAPE
from recorded import manifest
from tiny import llama, qwen3_5_moe
from with_vllm import MARKS, ROOT, on_vllm

from trimtab.activations.reader import Cache
from trimtab.artifacts import files
from trimtab.artifacts.fingerprint import contents
from trimtab.forward.proof import TOLERANCE, relative
from trimtab.prompts import resources
from trimtab.settings.engine import VLLM, VllmSettings

pytestmark = MARKS
LAYERS = [0, 2, 3]
ALIKE = (
    "The agent opened the drawer, took out a map of the old town, and laid it on the table before anyone had asked. "
)
DOCUMENTS = [
    *(
        {"id": f"text{at}", "source": "web", "text": f"{ALIKE * (1 + at % 2)}{at} more words follow."}
        for at in range(5)
    ),
    {"id": "short", "source": "web", "text": "A word."},
    *({"id": f"told{at}", "source": "transcripts", "text": f" I look at {at} files.\nTool: search"} for at in range(4)),
]
"""Some begin like others for more tokens than vLLM caches together, and some stand behind the agent's header."""
CONTRAST = [
    {"id": f"{at}", "kind": "opening", "messages": [{"role": "user", "content": f"Find the {word}."}]}
    for at, word in enumerate(["map", "drawer", "old map of the town", "table that stands by the door"])
]
SCRIPTS = {
    "corpus": ["--shard", "0", "--shards", "1", "--max-tokens", "96"],
    "contrast": ["--kind", "opening"],
}
SETTINGS = {"token_budget": 128, "chunk_rows": 16}
PASSED = dict.fromkeys(VllmSettings.model_fields) | {"tensor_parallel_size": 1}
WAYS = {
    "alone": {},
    # prompts in several passes, beside parts of others
    "by two workers": {"tensor_parallel_size": 2, "max_num_batched_tokens": 32, "max_num_seqs": 8},
}
"""What vLLM is given."""
MODELS = {"llama": (llama, SHAPE, "float32"), "qwen3_5_moe": (qwen3_5_moe, HYBRID, "bfloat16")}
TRIED = [*(("llama", way) for way in WAYS), ("qwen3_5_moe", "by two workers")]


@pytest.fixture(scope="module", params=TRIED, ids=" ".join)
def tried(request):
    return request.param


@pytest.fixture(scope="module")
def agent(tried, tmp_path_factory):
    """The folder of a model that speaks the most frequent of the default model's tokens, and of its prompts."""
    build, shape, dtype = MODELS[tried[0]]
    folder, tokenizer = tmp_path_factory.mktemp("agent"), packaged.frequent()
    model = build(vocab_size=len(tokenizer), **shape).to(getattr(torch, dtype))
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    described = {
        "path": str(folder / "model"),
        "weights": contents(folder / "model", ["*.safetensors"]),
        "vocabulary": len(tokenizer),
        "layers": model.config.num_hidden_layers,
        "d_model": model.config.hidden_size,
        "context_length": 2048,
        "dtype": dtype,
    }
    manifest(**described).write(folder / "manifest.json")
    files.write_jsonl(folder / "corpus", DOCUMENTS)
    files.write_jsonl(folder / "contrast", CONTRAST)
    return folder, dtype


def words_of(name, folder, out, engine):
    read = [folder / "manifest.json", folder / name, resources.RESOURCES / "few_shot.yaml", out]
    told = ["--layers", *LAYERS, "--settings", json.dumps(SETTINGS), "--engine", json.dumps(engine), "--checks"]
    return [str(word) for word in (*read, *SCRIPTS[name], *told)]


def script_of(name):
    return str(ROOT / f"workflow/scripts/activations_{name}.py")


@pytest.fixture(scope="module")
def wanted(agent):
    """What `transformers` writes, by script."""
    found = {name: agent[0] / f"{name}.h5" for name in SCRIPTS}
    for name, out in found.items():
        words = words_of(name, agent[0], out, {"engine": "transformers"})
        subprocess.run([sys.executable, script_of(name), *words], cwd=ROOT, check=True)
    return found


@pytest.fixture(scope="module")
def shards(tried, agent):
    """What vLLM writes, by script; and the corpus once more, by a job that was stopped and went on."""
    folder = agent[0] / "vllm"
    folder.mkdir()
    engine = {"engine": VLLM, "memory_mb": 100, "vllm": PASSED | WAYS[tried[1]]}
    asked = [("contrast", "contrast", -1), ("corpus", "corpus", -1), ("corpus", "again", 2), ("corpus", "again", -1)]
    jobs = [(script_of(name), words_of(name, agent[0], folder / out, engine), last) for name, out, last in asked]
    files.write_json(folder / "jobs.json", jobs)
    on_vllm("write", folder / "jobs.json")
    return folder


@pytest.mark.parametrize("name", SCRIPTS)
def test_rows_are_those_of_transformers(agent, wanted, shards, name):
    with Cache.open(shards / name) as mine, Cache.open(wanted[name]) as theirs:
        assert mine.tokens() == theirs.tokens()
        close = 1e-5 if agent[1] == "float32" else TOLERANCE[torch.bfloat16]
        for layer in LAYERS:
            assert relative(theirs.rows(layer), mine.rows(layer)) < close
        assert json.loads(mine.attribute("provenance"))["settings"]["engine"]["engine"] == VLLM
    with h5py.File(shards / name) as one, h5py.File(wanted[name]) as two:
        assert all((one["index"][about][:] == two["index"][about][:]).all() for about in two["index"])


def test_a_stopped_shard_goes_on_and_is_the_same(shards):
    assert (shards / "again").read_bytes() == (shards / "corpus").read_bytes()
