"""How the peers of the bench `capture` capture: each a function that prepares the work and returns it.

nnsight and TransformerLens keep rows in memory; SAELens writes Arrow files, one hook a run, from sequences of one
length.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nnsight
import sae_lens.cache_activations_runner as sae_lens_runner
import torch
from datasets import Dataset
from sae_lens import CacheActivationsRunner, CacheActivationsRunnerConfig
from sae_lens.load_model import HookedProxyLM
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM, PreTrainedModel

from trimtab.forward.capture import Prompt

BATCH = 4
"""Prompts a batch, in the order given, padded to the longest."""
Rows = dict[int, torch.Tensor]


def count(prompts: Sequence[Prompt]) -> float:
    """Tokens of all."""
    return float(sum(len(prompt.tokens) for prompt in prompts))


def padded(batch: Sequence[Prompt], device: torch.device) -> dict[str, torch.Tensor]:
    """A batch as models take it."""
    longest = max(len(prompt.tokens) for prompt in batch)
    ids = [p.tokens + [0] * (longest - len(p.tokens)) for p in batch]
    mask = [[1] * len(p.tokens) + [0] * (longest - len(p.tokens)) for p in batch]
    return {"input_ids": torch.tensor(ids, device=device), "attention_mask": torch.tensor(mask, device=device)}


@dataclass(frozen=True)
class Capturers:
    """The peers on one model."""

    folder: Path
    tokenizer: Any
    device: str
    layers: Sequence[int]
    scratch: Path
    kept: dict[str, Rows] = field(default_factory=dict)
    """Contender -> what it captured last."""

    def _plain(self) -> PreTrainedModel:
        """The model as `transformers` loads it."""
        model: Any = AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.bfloat16)
        loaded: PreTrainedModel = model.to(self.device).eval().requires_grad_(False)
        return loaded

    def _gathered(self, name: str, parts: Iterator[tuple[Sequence[Prompt], Sequence[torch.Tensor]]]) -> None:
        """Keep each prompt's rows but the first, cut out of padded batches."""
        rows: dict[int, list[torch.Tensor]] = {layer: [] for layer in self.layers}
        for batch, streams in parts:
            for layer, stream in zip(self.layers, streams, strict=True):
                rows[layer] += [stream[at, 1 : len(prompt.tokens)] for at, prompt in enumerate(batch)]
        self.kept[name] = {layer: torch.cat(own) for layer, own in rows.items()}

    def nnsight(self, prompts: Sequence[Prompt], stop: bool) -> Callable[[], float]:
        """`stop`: leave each pass behind the deepest layer."""
        model = nnsight.TransformersModel(self._plain(), tokenizer=self.tokenizer, task="text-generation")
        layers = self.layers

        def parts() -> Iterator[tuple[Sequence[Prompt], Sequence[torch.Tensor]]]:
            for batch in _in_order(prompts):
                with torch.inference_mode(), model.trace(padded(batch, model.device)) as tracer:
                    streams = nnsight.save([])
                    for layer in layers:
                        streams.append(model.model.layers[layer].output)
                    if stop:
                        tracer.stop()
                yield batch, streams

        def work() -> float:
            self._gathered("nnsight", parts())
            return count(prompts)

        return work

    def transformer_lens(self, prompts: Sequence[Prompt]) -> Callable[[], float]:
        loaded = self._plain()
        model = TransformerBridge.boot_transformers(
            str(self.folder), hf_model=loaded, tokenizer=self.tokenizer, device=self.device, dtype=torch.bfloat16
        )
        names = [f"blocks.{layer}.hook_resid_post" for layer in self.layers]

        def parts() -> Iterator[tuple[Sequence[Prompt], Sequence[torch.Tensor]]]:
            for batch in _in_order(prompts):
                given = padded(batch, loaded.device)
                _, cache = model.run_with_cache(
                    given["input_ids"], attention_mask=given["attention_mask"],
                    names_filter=lambda name: name in names, stop_at_layer=max(self.layers) + 1,
                )  # fmt: skip
                yield batch, [cache[name] for name in names]

        @torch.inference_mode()
        def work() -> float:
            self._gathered("TransformerLens", parts())
            return count(prompts)

        return work

    def sae_lens(self, windows: Sequence[Prompt]) -> Callable[[], float]:
        """`windows`: of one length."""
        loaded = self._plain()
        hooks = {layer: f"model.layers.{layer}" for layer in self.layers}
        shared = HookedProxyLM(loaded, self.tokenizer, hook_names=[*hooks.values()])
        # every run would load the model again
        sae_lens_runner.load_model = lambda **_: shared
        dataset = Dataset.from_dict({"input_ids": [p.tokens for p in windows]})
        width = int(loaded.config.hidden_size)

        def written(hook: str) -> Any:
            out = self.scratch / "sae_lens" / hook
            shutil.rmtree(out, ignore_errors=True)
            config = CacheActivationsRunnerConfig(
                dataset_path="",
                model_name=str(self.folder),
                model_class_name="AutoModelForCausalLM",
                model_batch_size=BATCH,
                hook_name=hook,
                d_in=width,
                training_tokens=int(count(windows)),
                context_size=len(windows[0].tokens),
                new_cached_activations_path=str(out),
                # else it goes round the data until two gigabytes are full
                buffer_size_gb=(count(windows) * width * 4 + 1) / 1e9,
                shuffle=False,
                device=self.device,
                prepend_bos=False,
                streaming=False,
            )
            return CacheActivationsRunner(config, override_dataset=dataset).run()

        def work() -> float:
            rows = {layer: written(hook) for layer, hook in hooks.items()}
            self.kept["SAELens"] = {
                layer: torch.cat([torch.tensor(row[hooks[layer]])[1:] for row in own]) for layer, own in rows.items()
            }
            return count(windows)

        return work


def _in_order(prompts: Sequence[Prompt]) -> Iterator[Sequence[Prompt]]:
    for at in range(0, len(prompts), BATCH):
        yield prompts[at : at + BATCH]
