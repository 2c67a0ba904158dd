"""Training of top-k SAEs: Trimtab beside SAELens, dictionary_learning and sparsify, on the same rows.

Every contender takes the same batches, shapes, learning rate and optimiser (Adam), by its own library's training step.
Rows are sums of planted directions, so that there is something to find; all contenders get them centred and scaled as
Trimtab scales them, and start with their bias at the mean. Memory is that of a process of its own for each contender;
quality is measured at a size where a few hundred steps take seconds. `--small` leaves the large shape out.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

os.environ["SPARSIFY_DISABLE_TRITON"] = "1"  # sparsify's own switch: its Triton decoder needs a GPU

import torch
from rounds import Claim, race, write
from torch import Tensor
from torch.nn import functional

RATE, WARM_UP = 1e-3, 5
PACKAGES = ["torch", "sae-lens", "dictionary-learning", "eai-sparsify"]


class Shape(NamedTuple):
    d_in: int
    latents: int
    k: int
    batch: int

    def __str__(self) -> str:
        return f"d={self.d_in:,} m={self.latents:,} k={self.k} batch={self.batch:,}"


SMALL, LARGE = Shape(576, 4608, 32, 4096), Shape(2048, 16384, 64, 4096)
QUALITY, QUALITY_STEPS = Shape(256, 2048, 32, 1024), 200


class Trainer(Protocol):
    def step(self, rows: Tensor) -> None: ...

    def reconstruct(self, rows: Tensor) -> Tensor: ...


def rows_of(shape: Shape, batches: int, seed: int = 0) -> list[Tensor]:
    """Batches of sums of `k` among as many planted directions as there are latents, and noise."""
    generator = torch.Generator().manual_seed(1)
    atoms = functional.normalize(torch.randn(shape.latents, shape.d_in, generator=generator), dim=1)
    generator.manual_seed(2 + seed)
    found = []
    for _ in range(batches):
        # some directions are common and most are rare, as in language
        drawn = torch.rand(shape.batch, shape.k, generator=generator).square() * shape.latents
        sizes = 1 + torch.rand(shape.batch, shape.k, generator=generator)
        rows = functional.embedding_bag(drawn.long(), atoms, per_sample_weights=sizes, mode="sum")
        found.append(rows + 0.1 * torch.randn(rows.shape, generator=generator))
    centred = found[0] - found[0].mean(0)
    scale = shape.d_in**0.5 / float(centred.norm(dim=1).mean())
    return [(rows - found[0].mean(0)) * scale for rows in found]


class Ours:
    def __init__(self, shape: Shape, rows: Tensor, steps: int, precision: str = "float32") -> None:
        from trimtab.saes.dictionary import Dictionary
        from trimtab.settings.saes import SaeSettings

        self.settings = SaeSettings(
            architecture="topk",
            latents=shape.latents,
            k=shape.k,
            tokens=shape.batch * steps,
            batch=shape.batch,
            learning_rate=RATE,
            warmup_steps=WARM_UP,
            aux_coefficient=1 / 32,
            dead_steps=1000,
            resample_steps=0,
            bias="mean",
            precision=precision,
        )
        self.dictionary, self.done = Dictionary(rows, self.settings, seed=0), 0

    def step(self, rows: Tensor) -> None:
        if self.done % 10 == 0:
            self.dictionary.count_dead()
        # the others' rates stay where they are
        self.dictionary.step(rows, RATE * min(1.0, (self.done + 1) / WARM_UP))
        self.done += 1

    def reconstruct(self, rows: Tensor) -> Tensor:
        return self.dictionary.folded().forward(rows)


class OursBfloat16(Ours):
    def __init__(self, shape: Shape, rows: Tensor, steps: int) -> None:
        super().__init__(shape, rows, steps, "bfloat16")


class SAELens:
    def __init__(self, shape: Shape, rows: Tensor, steps: int) -> None:
        from sae_lens import TopKTrainingSAE, TopKTrainingSAEConfig
        from sae_lens.config import SAETrainerConfig
        from sae_lens.training.sae_trainer import SAETrainer

        config = TopKTrainingSAEConfig(d_in=shape.d_in, d_sae=shape.latents, k=shape.k, aux_loss_coefficient=1 / 32)
        trainer = SAETrainerConfig(
            total_training_samples=shape.batch * steps,
            train_batch_size_samples=shape.batch,
            lr=RATE,
            lr_end=RATE,
            lr_warm_up_steps=WARM_UP,
        )
        self.trainer = SAETrainer(trainer, TopKTrainingSAE(config), iter([]))

    def step(self, rows: Tensor) -> None:
        self.trainer.step(rows)
        self.trainer.n_training_steps += 1

    def reconstruct(self, rows: Tensor) -> Tensor:
        return self.trainer.sae(rows)


class DictionaryLearning:
    def __init__(self, shape: Shape, rows: Tensor, steps: int) -> None:
        from dictionary_learning.trainers.top_k import TopKTrainer

        self.trainer = TopKTrainer(
            steps=max(steps, 2 * WARM_UP),
            activation_dim=shape.d_in,
            dict_size=shape.latents,
            k=shape.k,
            layer=0,
            lm_name="none",
            lr=RATE,
            warmup_steps=WARM_UP,
            seed=0,
            device="cpu",
        )
        self.done = 0

    def step(self, rows: Tensor) -> None:
        self.trainer.update(self.done, rows)
        self.done += 1

    def reconstruct(self, rows: Tensor) -> Tensor:
        return self.trainer.ae(rows)


class Sparsify:
    """Its trainer wants a language model; this is that trainer's step for one dictionary, in its order."""

    def __init__(self, shape: Shape, rows: Tensor, steps: int) -> None:
        from sparsify import SparseCoder, SparseCoderConfig

        torch.manual_seed(0)
        self.sae = SparseCoder(shape.d_in, SparseCoderConfig(num_latents=shape.latents, k=shape.k))
        self.optimiser = torch.optim.Adam(self.sae.parameters(), lr=RATE)
        self.silent = torch.zeros(shape.latents, dtype=torch.int64)
        self.done = 0

    def step(self, rows: Tensor) -> None:
        self.sae.set_decoder_norm_to_unit_norm()
        out = self.sae(rows, dead_mask=self.silent > 10_000_000)
        (out.fvu + out.auxk_loss / 32).backward()
        self.sae.remove_gradient_parallel_to_decoder_directions()
        for group in self.optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (self.done + 1) / WARM_UP)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.silent += len(rows)
        self.silent[out.latent_indices.flatten()] = 0
        self.done += 1

    def reconstruct(self, rows: Tensor) -> Tensor:
        return self.sae(rows).sae_out


CONTENDERS: dict[str, Callable[[Shape, Tensor, int], Trainer]] = {
    "Trimtab": Ours,
    "Trimtab, ranked in bfloat16": OursBfloat16,
    "SAELens": SAELens,
    "dictionary_learning": DictionaryLearning,
    "sparsify": Sparsify,
}


def turns(trainer: Trainer, rows: list[Tensor], steps: int) -> Callable[[], float]:
    """The work of one round: `steps` steps, whose tokens are counted."""

    def work() -> float:
        for at in range(steps):
            trainer.step(rows[at % len(rows)])
        return float(steps * len(rows[0]))

    return work


def product_alone(shape: Shape, rows: list[Tensor], steps: int) -> Callable[[], float]:
    encoder = torch.randn(shape.latents, shape.d_in, generator=torch.Generator().manual_seed(0))

    def work() -> float:
        for at in range(steps):
            functional.linear(rows[at % len(rows)], encoder)
        return float(steps * len(rows[0]))

    return work


def peak_memory(name: str, shape: Shape) -> float:
    """MiB that a contender's two steps add to a process that has the rows and the contender's imports."""
    words = [sys.executable, __file__, "--memory", name, *map(str, shape)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()[-1])


def memory_of(name: str, shape: Shape) -> float:
    tiny = Shape(8, 32, 2, 16)
    CONTENDERS[name](tiny, rows_of(tiny, 1)[0], 10).step(rows_of(tiny, 1)[0])
    rows = rows_of(shape, 1)
    before = _status("VmRSS")
    trainer = CONTENDERS[name](shape, rows[0], 10)
    for _ in range(2):
        trainer.step(rows[0])
    # not getrusage: its maximum is handed down from the process that started this one
    return _status("VmHWM") - before


def _status(name: str) -> float:
    """A figure of this process's memory in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def explained(name: str) -> float:
    """Explained variance of unseen rows after training at the size of the quality check."""
    rows = rows_of(QUALITY, 100)
    trainer = CONTENDERS[name](QUALITY, torch.cat(rows[:8]), QUALITY_STEPS)
    for step in range(QUALITY_STEPS):
        trainer.step(rows[step % len(rows)])
    unseen = torch.cat(rows_of(QUALITY, 4, seed=1))
    with torch.no_grad():
        error = (unseen - trainer.reconstruct(unseen)).square().sum()
    return 1 - float(error / (unseen - unseen.mean(0)).square().sum())


def main(small: bool) -> None:
    torch.set_num_threads(1)
    rates, claims, checks = [], [], {}
    for shape, rounds, steps in ((SMALL, 8, 2), (LARGE, 3, 1))[: 1 if small else 2]:
        rows = rows_of(shape, steps)
        works = {
            name: turns(make(shape, rows[0], (rounds + 1) * steps), rows, steps) for name, make in CONTENDERS.items()
        }
        works["encoder product alone, float32"] = product_alone(shape, rows, steps)
        rates += race(str(shape), "tokens/s", works, rounds, clock=time.process_time)
        del works
        targets = {"SAELens": 4.0, "dictionary_learning": 4.0, "sparsify": 1.5}
        for mine in ("Trimtab", "Trimtab, ranked in bfloat16"):
            claims += [Claim(str(shape), mine, peer, target) for peer, target in targets.items()]
        claims.append(Claim(str(shape), "Trimtab, ranked in bfloat16", "Trimtab", None))
        # a step of at most 1.7 times its product is 1 / 1.7 of the product's rate
        claims.append(Claim(str(shape), "Trimtab", "encoder product alone, float32", 0.588))
        checks |= {f"peak memory in MiB, {shape}, {name}": peak_memory(name, shape) for name in CONTENDERS}
    about = f"explained variance of unseen rows, {QUALITY}, {QUALITY_STEPS} steps"
    checks |= {f"{about}, {name}": explained(name) for name in CONTENDERS}
    write(
        "saes",
        "Training top-k SAEs",
        [
            "One thread, by its processor time; float32 unless it is said otherwise; synthetic rows of planted sparse",
            f"directions; Adam at {RATE:g} for everyone.",
            *(["The large shape was left out (`--small`)."] if small else []),
        ],
        rates,
        claims,
        PACKAGES,
        checks,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        torch.set_num_threads(1)
        print(memory_of(sys.argv[2], Shape(*map(int, sys.argv[3:7]))))
    else:
        main(small=sys.argv[1:] == ["--small"])
