"""Training of top-k SAEs: Trimtab beside SAELens, dictionary_learning and sparsify, on the same rows.

Every contender takes the same batches, shapes, learning rate and optimiser (Adam), by its own library's training step.
Rows are sums of planted directions, so that there is something to find; all contenders get them centred and scaled as
Trimtab scales them, and start with their bias at the mean. Memory is that of a process of its own for each contender;
quality is measured at a size where a few hundred steps take seconds.
"""

import logging
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from options import CPU, Options, asked
from rounds import Claim, race, write
from sae_trainers import CONTENDERS, PACKAGES, RATE, Shape, Trainer
from torch import Tensor
from torch.nn import functional


class Size(NamedTuple):
    races: Sequence[tuple[Shape, int, int]]
    """Shape, rounds, steps a round."""
    quality: Shape
    quality_steps: int


WHOLE = Size(
    [(Shape(576, 4608, 32, 4096), 8, 2), (Shape(2048, 16384, 64, 4096), 3, 1)], Shape(256, 2048, 32, 1024), 200
)
SMALL = Size([(Shape(16, 64, 4, 128), 1, 1)], Shape(16, 64, 4, 128), 8)


def rows_of(shape: Shape, batches: int, device: str, seed: int = 0) -> list[Tensor]:
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
    return [((rows - found[0].mean(0)) * scale).to(device) for rows in found]


def turns(trainer: Trainer, rows: list[Tensor], steps: int) -> Callable[[], float]:
    """The work of one round: `steps` steps, whose tokens are counted."""

    def work() -> float:
        for at in range(steps):
            trainer.step(rows[at % len(rows)])
        return float(steps * len(rows[0]))

    return work


def product_alone(shape: Shape, rows: list[Tensor], steps: int) -> Callable[[], float]:
    encoder = torch.randn(shape.latents, shape.d_in, generator=torch.Generator().manual_seed(0)).to(rows[0])

    def work() -> float:
        for at in range(steps):
            functional.linear(rows[at % len(rows)], encoder)
        return float(steps * len(rows[0]))

    return work


def peak_memory(name: str, shape: Shape, device: str) -> float:
    """MiB that a contender's two steps add to a process that has the rows and the contender's imports."""
    words = [sys.executable, __file__, "--memory", name, device, *map(str, shape)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()[-1])


def memory_of(name: str, shape: Shape, device: str) -> float:
    tiny = Shape(8, 32, 2, 16)
    (first,) = rows_of(tiny, 1, device)
    CONTENDERS[name](tiny, first, 10).step(first)
    (rows,) = rows_of(shape, 1, device)
    before = held(device)
    trainer = CONTENDERS[name](shape, rows, 10)
    for _ in range(2):
        trainer.step(rows)
    return held(device, most=True) - before


def held(device: str, most: bool = False) -> float:
    """MiB that this process has on the device, or had at most."""
    if device != CPU:
        return (torch.cuda.max_memory_allocated() if most else torch.cuda.memory_allocated()) / 2**20
    # not getrusage: its maximum is handed down from the process that started this one
    name = "VmHWM" if most else "VmRSS"
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def explained(name: str, size: Size, device: str) -> float:
    """Explained variance of unseen rows after training at the size of the quality check."""
    rows = rows_of(size.quality, 100, device)
    trainer = CONTENDERS[name](size.quality, torch.cat(rows[:8]), size.quality_steps)
    for step in range(size.quality_steps):
        trainer.step(rows[step % len(rows)])
    unseen = torch.cat(rows_of(size.quality, 4, device, seed=1))
    with torch.no_grad():
        error = (unseen - trainer.reconstruct(unseen)).square().sum()
    return 1 - float(error / (unseen - unseen.mean(0)).square().sum())


def bench(options: Options, size: Size) -> None:
    device = options.device
    rates, claims, checks = [], [], {}
    for shape, rounds, steps in size.races:
        rows = rows_of(shape, steps, device)
        works = {
            name: turns(make(shape, rows[0], (rounds + 1) * steps), rows, steps) for name, make in CONTENDERS.items()
        }
        works["encoder product alone, float32"] = product_alone(shape, rows, steps)
        rates += race(str(shape), "tokens/s", works, rounds, options.clock)
        del works
        targets = {"SAELens": 4.0, "dictionary_learning": 4.0, "sparsify": 1.5}
        for mine in ("Trimtab", "Trimtab, ranked in bfloat16"):
            claims += [Claim(str(shape), mine, peer, target) for peer, target in targets.items()]
        claims.append(Claim(str(shape), "Trimtab, ranked in bfloat16", "Trimtab", None))
        # a step of at most 1.7 times its product is 1 / 1.7 of the product's rate
        claims.append(Claim(str(shape), "Trimtab", "encoder product alone, float32", 0.588))
        checks |= {f"peak memory in MiB, {shape}, {name}": peak_memory(name, shape, device) for name in CONTENDERS}
    about = f"explained variance of unseen rows, {size.quality}, {size.quality_steps} steps"
    checks |= {f"{about}, {name}": explained(name, size, device) for name in CONTENDERS}
    write(
        "saes",
        "Training top-k SAEs",
        [
            "One thread, by its processor time; float32 unless it is said otherwise; synthetic rows of planted sparse",
            f"directions; Adam at {RATE:g} for everyone.",
        ],
        rates,
        claims,
        PACKAGES,
        checks,
        small=options.small,
        device=device,
    )


def main() -> None:
    torch.set_num_threads(1)
    # which products Trimtab takes on a GPU
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    if sys.argv[1:2] == ["--memory"]:
        name, device, *shape = sys.argv[2:]
        print(memory_of(name, Shape(*map(int, shape)), device))
        return
    options = asked(__doc__, model=False)
    bench(options, SMALL if options.small else WHOLE)


if __name__ == "__main__":
    main()
