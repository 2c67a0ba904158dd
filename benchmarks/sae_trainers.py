"""The trainers of the bench `saes`: each takes the same steps by its own library's training step."""

import os
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from options import CPU
from torch import Tensor

RATE, WARM_UP = 1e-3, 5
PACKAGES = ["torch", "sae-lens", "dictionary-learning", "eai-sparsify"]


class Shape(NamedTuple):
    d_in: int
    latents: int
    k: int
    batch: int

    def __str__(self) -> str:
        return f"d={self.d_in:,} m={self.latents:,} k={self.k} batch={self.batch:,}"


class Trainer(Protocol):
    def step(self, rows: Tensor) -> None: ...

    def reconstruct(self, rows: Tensor) -> Tensor: ...


class Ours:
    def __init__(self, shape: Shape, rows: Tensor, steps: int, precision: str = "float32") -> None:
        from trimtab.saes.dictionary import Dictionary
        from trimtab.saes.sparse import fastest
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
        products = fastest(rows.device, shape.batch, shape.latents, shape.d_in, shape.k)
        self.dictionary, self.done = Dictionary(rows, self.settings, 0, products), 0

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

        config = TopKTrainingSAEConfig(
            d_in=shape.d_in, d_sae=shape.latents, k=shape.k, aux_loss_coefficient=1 / 32, device=str(rows.device)
        )
        trainer = SAETrainerConfig(
            total_training_samples=shape.batch * steps,
            train_batch_size_samples=shape.batch,
            lr=RATE,
            lr_end=RATE,
            lr_warm_up_steps=WARM_UP,
            device=str(rows.device),
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
            device=str(rows.device),
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
        if rows.device.type == CPU:
            # sparsify's own switch: its Triton decoder needs a GPU
            os.environ["SPARSIFY_DISABLE_TRITON"] = "1"
        from sparsify import SparseCoder, SparseCoderConfig

        torch.manual_seed(0)
        settings = SparseCoderConfig(num_latents=shape.latents, k=shape.k)
        self.sae = SparseCoder(shape.d_in, settings, device=str(rows.device))
        self.optimiser = torch.optim.Adam(self.sae.parameters(), lr=RATE)
        self.silent = torch.zeros(shape.latents, dtype=torch.int64, device=rows.device)
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
