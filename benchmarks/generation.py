"""Text under one added vector, by Trimtab and by the tools that others steer with.

All write so many tokens after the same prompts, always the likeliest, with the same vector added after the same layer
at every token of every row. The tools have a model each, as transformers loads it in the dtype that this processor
multiplies fastest, and call its `generate` on all prompts at once, padded on the left.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import nnsight
import numpy as np
import torch
from rounds import Claim, Rates, race
from steering_vectors import SteeringVector
from transformers import AutoModelForCausalLM

from trimtab.model.source import load
from trimtab.rollouts.continued import Continued, Drawing
from trimtab.steering import places
from trimtab.steering.batch import GrowingBatch
from trimtab.steering.edits import added
from trimtab.steering.steering import Steering

OURS, HOOK = "Trimtab", "generate with a hook"


class Size(NamedTuple):
    prompts: int
    tokens: int
    rounds: int
    checked: int
    """Prompts by which it is seen that all do the same, in float32: rounding would part their texts."""
    checked_tokens: int


WHOLE, SMALL = Size(8, 16, 4, 3, 8), Size(2, 3, 1, 2, 3)
Written = dict[str, list[list[int]]]
"""Contender -> the tokens that it wrote, by prompt."""


def as_loaded(folder: Path, dtype: torch.dtype, device: Any) -> Any:
    """The model as its library loads it, but for a defect that would decide a race: its head is given contiguous rows,
    since a product with the strided slice that `generate` gives it takes 700 times as long."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(device).eval()
    model.lm_head.register_forward_pre_hook(lambda module, rows: (rows[0].contiguous(),))
    return model


@dataclass(frozen=True)
class Tools:
    """A model as each tool has it, and the push."""

    folder: Path
    ours: Any
    """The model as Trimtab loads it."""
    tokenizer: Any
    dtype: torch.dtype
    """Of the tools' models."""
    layer: int
    push: torch.Tensor
    size: Size

    def measured(
        self, header: Sequence[int], prompts: Sequence[Sequence[int]], clock: Callable[[], float]
    ) -> tuple[list[Rates], list[Claim], dict[str, float]]:
        """Rates with the header before the prompts and without, their comparisons, and how alike texts are."""
        ends, size, device = [self.tokenizer.eos_token_id], self.size, self.ours.device
        push = self.push.to(device)
        rates: list[Rates] = []
        for before, what in ((header, "behind one header"), ([], "of their own")):
            task = Task(before, prompts[: size.prompts], size.tokens, ends, self.layer, push)
            works = contenders(task, self.ours, lambda: as_loaded(self.folder, self.dtype, device), self.tokenizer, {})
            name = f"{len(task.prompts)} prompts {what} x {size.tokens} tokens"
            rates += race(name, "tokens/s", works, size.rounds, clock)
        exact, _ = load(self.folder, "float32", str(device))
        texts: Written = {}
        task = Task(header, prompts[: size.checked], size.checked_tokens, ends, self.layer, push)
        works = contenders(task, exact, lambda: as_loaded(self.folder, torch.float32, device), self.tokenizer, texts)
        for work in works.values():
            work()
        mine = texts.pop(OURS)
        same = {
            f"share of tokens under one vector as of {name}, in float32": agreement(mine, own)
            for name, own in texts.items()
        }
        claims = [Claim(each.task, OURS, each.contender, None) for each in rates if each.contender != OURS]
        return rates, claims, same


class Task:
    """Prompts behind a header, which may be empty, and the push."""

    def __init__(
        self,
        header: Sequence[int],
        prompts: Sequence[Sequence[int]],
        tokens: int,
        ends: Sequence[int],
        layer: int,
        push: torch.Tensor,
    ) -> None:
        """`ends`: tokens that would end a text, which nobody writes. The push is where the models are."""
        self.header, self.prompts, self.tokens = list(header), [list(each) for each in prompts], tokens
        self.ends, self.layer, self.push = tuple(ends), layer, push
        width = len(self.header) + max(map(len, prompts))
        whole = [[*header, *prompt] for prompt in prompts]
        self.inputs = {
            "input_ids": torch.tensor([[0] * (width - len(each)) + each for each in whole]).to(push.device),
            "attention_mask": torch.tensor([[0] * (width - len(each)) + [1] * len(each) for each in whole]).to(
                push.device
            ),
        }
        self.settings = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False, "pad_token_id": 0}
        self.settings["eos_token_id"] = list(ends)

    @property
    def count(self) -> float:
        """Tokens that are written."""
        return float(len(self.prompts) * self.tokens)

    def new(self, whole: torch.Tensor) -> list[list[int]]:
        """What was written of what `generate` gives."""
        written: list[list[int]] = whole[:, self.inputs["input_ids"].shape[1] :].tolist()
        return written


def contenders(
    task: Task, model: Any, plain: Callable[[], Any], tokenizer: Any, written: Written
) -> dict[str, Callable[[], float]]:
    """Each contender's work.

    Args:
        plain: a fresh model for a tool, which may change it.
        written: where each contender's tokens go.
    """
    works: Mapping[str, Callable[[], list[list[int]]]] = {
        OURS: lambda: ours(task, model),
        HOOK: with_hook(task, plain()),
        "steering-vectors": with_steering_vectors(task, plain()),
        "nnsight": with_nnsight(task, plain(), tokenizer),
    }

    def counted(name: str) -> Callable[[], float]:
        def work() -> float:
            written[name] = works[name]()
            return task.count

        return work

    return {name: counted(name) for name in works}


@dataclass(frozen=True)
class NoEnds(Drawing):
    """The likeliest token that doesn't end a row, as `min_new_tokens` has it."""

    ends: tuple[int, ...] = ()

    def tokens(self, logits: torch.Tensor, noise: Any) -> list[int]:
        logits[:, list(self.ends)] = -torch.inf
        return super().tokens(logits, noise)


def ours(task: Task, model: Any) -> list[list[int]]:
    edits, rows = added(task.layer, task.push / task.push.norm(), float(task.push.norm()), "all"), len(task.prompts)
    steering = Steering([edits] * rows, model.device)
    if task.header:
        batch = GrowingBatch(model, Steering([edits], model.device), 1)
        batch.advance([task.header], [places.given(places.SYSTEM, len(task.header))])
        batch.repeat(rows, steering)
    else:
        batch = GrowingBatch(model, steering, rows)
    noise = np.zeros((rows, task.tokens), np.int64)
    going = Continued(batch, lambda tokens: "", frozenset(), NoEnds(0.0, ends=task.ends), noise)
    given = [places.Piece(each, places.given(places.USER, len(each), ends_prompt=True)) for each in task.prompts]
    for _ in going.pieces(given):
        pass
    return going.written


def with_hook(task: Task, model: Any) -> Callable[[], list[list[int]]]:
    def hook(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return (output.float() + task.push).to(output.dtype)

    model.model.layers[task.layer].register_forward_hook(hook)
    return lambda: task.new(model.generate(**task.inputs, **task.settings))


def with_steering_vectors(task: Task, model: Any) -> Callable[[], list[list[int]]]:
    vector = SteeringVector({task.layer: task.push})

    def work() -> list[list[int]]:
        with vector.apply(model):
            return task.new(model.generate(**task.inputs, **task.settings))

    return work


def with_nnsight(task: Task, model: Any, tokenizer: Any) -> Callable[[], list[list[int]]]:
    traced = nnsight.TransformersModel(model, tokenizer=tokenizer, task="text-generation")
    push = task.push.to(model.dtype)

    def work() -> list[list[int]]:
        with traced.generate(dict(task.inputs), **task.settings) as tracer:
            whole = nnsight.save([])
            for _ in tracer.iter[: task.tokens]:
                traced.model.layers[task.layer].output[:] += push
            whole.append(tracer.result)
        return task.new(whole[0])

    return work


def agreement(one: Sequence[Sequence[int]], other: Sequence[Sequence[int]]) -> float:
    """Share of tokens before the first that differs, row by row: after it, rows go on from other texts."""
    same = 0
    for left, right in zip(one, other, strict=True):
        differing = (at for at, pair in enumerate(zip(left, right, strict=True)) if pair[0] != pair[1])
        same += next(differing, len(left))
    return same / sum(map(len, one))
