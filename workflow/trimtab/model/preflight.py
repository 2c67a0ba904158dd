"""Checks of the user's own stack: does this model, on this machine, compute what every later stage takes for granted?

Each check compares two ways to the same numbers on real prompts and records the difference. Differences of logits are
relative (root mean square of the difference over that of the logits), with a tolerance that follows the dtype; captured
rows, a hook of dose 0, hooks and selectors have none to spare. What mends a failure is in `trimtab.model.stack`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.errors import TrimtabError
from trimtab.forward.capture import reads_cache
from trimtab.forward.hooks import Stream, capture, decoder_layers, hooked
from trimtab.model.stack import CHUNKS, PADDED, SECOND_TURN, SHARED, advice
from trimtab.steering.batch import GrowingBatch
from trimtab.steering.steering import Push, Steering

Logits = Sequence[Float[Tensor, "vocabulary"]]
"""Of each prompt's last token."""

TOLERANCE = {torch.bfloat16: 0.125, torch.float16: 0.02, torch.float32: 1e-4}
"""Largest relative difference that rounding may cause; a padding leak was seen to cause 0.3 (field notes)."""

ZERO_DOSE = "a hook with dose 0 changes no bit"
SELECTOR = "a position selector touches exactly its tokens"
BATCHED = "batch of unequal lengths equals each prompt alone"
GROWING = (ZERO_DOSE, SELECTOR, BATCHED, CHUNKS, SHARED, SECOND_TURN)
"""Checks of the batches that rollouts run in, which need a key-value cache."""


@dataclass(frozen=True)
class Check:
    name: str
    passed: bool
    figure: float | None
    """The difference found, what it counts is said in `detail`; None for a check that couldn't be run."""
    tolerance: float
    detail: str
    accepted: bool = False
    """Failed, and named in the config's `model.accepted_failures`."""


def judge(checks: Sequence[Check], model: PreTrainedModel, accepted: Sequence[str], source: str) -> list[Check]:
    """The checks, with those marked that failed and that the config accepts.

    Raises:
        TrimtabError: a check failed that isn't accepted, or what is accepted is no check's name.
    """
    names = [check.name for check in checks]
    wrong = [
        f"config.yaml, model.accepted_failures: {name!r} is no check; checks are: {'; '.join(names)}"
        for name in accepted
        if name not in names
    ]
    for check in checks:
        if not check.passed and check.name not in accepted:
            line = f"{source}: preflight, {check.name}: {check.detail}"
            if check.figure is not None:
                line += f" {check.figure:.3g}, expected at most {check.tolerance:.3g}"
            mend = advice(model, check.name)
            wrong.append(line + (f"; {mend}" if mend else ""))
    if wrong:
        raise TrimtabError("\n".join(wrong))
    return [replace(check, accepted=not check.passed) for check in checks]


def preflight(model: PreTrainedModel, prompts: Sequence[Sequence[int]], layers: Sequence[int]) -> list[Check]:
    """All checks, on prompts of unequal length (token ids).

    Raises:
        TrimtabError: a prompt's logits are not finite, so that there is nothing to compare with.
    """
    torch.manual_seed(0)
    alone = [_logits(model, prompt) for prompt in prompts]
    for at, logits in enumerate(alone):
        if not logits.isfinite().all():
            raise TrimtabError(
                f"preflight: the model's logits on prompt {at} of {len(prompts)} are NaN or infinite; expected weights "
                f"without such numbers, and a model.dtype that holds all others (now {model.dtype})"
            )
    checks = [
        _rows_are_hidden_states(model, prompts[0], layers),
        _hooks_removed(model, prompts[0], layers),
        _compare(model, PADDED, alone[:1], [_padded(model, prompts[0])]),
    ]
    if not reads_cache(model):
        why = "not run, since the model's forward takes no past_key_values with position_ids, as rollouts need it"
        return checks + [Check(name, False, None, TOLERANCE[model.dtype], why) for name in GROWING]
    return [
        *checks,
        _zero_dose(model, prompts[0], layers[0]),
        _selector(model, prompts[0], layers[0]),
        _compare(model, BATCHED, alone, _batched(model, prompts)),
        _compare(model, CHUNKS, alone[:1], [_chunked(model, prompts[0])]),
        _compare(model, SHARED, *_shared(model, prompts)),
        _compare(model, SECOND_TURN, alone, _second_turn(model, prompts)),
    ]


@torch.inference_mode()
def _logits(model: PreTrainedModel, prompt: Sequence[int]) -> Float[Tensor, "vocabulary"]:
    ids = torch.tensor([list(prompt)], device=model.device)
    logits: Tensor = model(input_ids=ids, use_cache=False).logits
    return logits[0, -1].float()


def _compare(model: PreTrainedModel, name: str, wanted: Logits, got: Logits) -> Check:
    tolerance = TOLERANCE[model.dtype]
    differences = [(a - b).square().mean().sqrt() / a.square().mean().sqrt() for a, b in zip(wanted, got, strict=True)]
    # of tensors, the largest is NaN wherever one is; NaN is within no tolerance
    worst = float(torch.stack(differences).max())
    if math.isnan(worst):
        return Check(name, False, None, tolerance, "logits are NaN or infinite, expected finite numbers")
    return Check(name, worst <= tolerance, worst, tolerance, "relative difference of the last token's logits")


def _growing(model: PreTrainedModel, rows: int) -> GrowingBatch:
    return GrowingBatch(model, Steering([None] * rows, model.device), rows)


def _given(chunks: Sequence[Sequence[int]]) -> list[list[bool]]:
    return [[False] * len(chunk) for chunk in chunks]


def _batched(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> Logits:
    return list(_growing(model, len(prompts)).advance(prompts, _given(prompts)))


@torch.inference_mode()
def _padded(model: PreTrainedModel, prompt: Sequence[int]) -> Float[Tensor, "vocabulary"]:
    pad = 5
    ids = torch.tensor([[0] * pad + list(prompt)], device=model.device)
    mask = torch.tensor([[0] * pad + [1] * len(prompt)], device=model.device)
    positions = (mask.cumsum(1) - 1).clamp_min(0)
    logits: Tensor = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).logits
    return logits[0, -1].float()


def _chunked(model: PreTrainedModel, prompt: Sequence[int]) -> Float[Tensor, "vocabulary"]:
    batch = _growing(model, 1)
    third = max(1, len(prompt) // 3)
    chunks = [prompt[:third], prompt[third : 2 * third], prompt[2 * third :]]
    return [batch.advance([chunk], _given([chunk])) for chunk in chunks][-1][0]


def _shared(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> tuple[Logits, Logits]:
    """Two headers of unequal length, each before every prompt."""
    headers = [prompts[0], prompts[1][:-1]]
    steering = Steering([None] * len(headers), model.device)
    batch = GrowingBatch(model, steering, len(headers))
    batch.advance(headers, _given(headers))
    batch.repeat(len(prompts), steering.select(range(len(headers)), len(prompts)))
    tails = [prompt for _ in headers for prompt in prompts]
    together = list(batch.advance(tails, _given(tails)))
    return [_logits(model, [*header, *prompt]) for header in headers for prompt in prompts], together


def _second_turn(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> Logits:
    batch = _growing(model, len(prompts))
    first = [prompt[: len(prompt) // 2] for prompt in prompts]
    second = [prompt[len(prompt) // 2 :] for prompt in prompts]
    batch.advance(first, _given(first))
    return list(batch.advance(second, _given(second)))


@torch.inference_mode()
def _rows_are_hidden_states(model: PreTrainedModel, prompt: Sequence[int], layers: Sequence[int]) -> Check:
    ids = torch.tensor([list(prompt)], device=model.device)
    # the last layer's entry comes after the final norm, so it is no residual stream
    comparable = [layer for layer in layers if layer < len(decoder_layers(model)) - 1]
    rows = capture(model, comparable, input_ids=ids)
    inputs: list[Tensor] = []
    handle = decoder_layers(model)[0].register_forward_pre_hook(
        lambda _, given, named: inputs.append(given[0] if given else named["hidden_states"]), with_kwargs=True
    )
    try:
        states = model(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states
    finally:
        handle.remove()
    # Mamba's list begins after the first layer, all others' before it
    first = int(torch.equal(states[0], inputs[0]))
    worst = max(float((rows[layer] - states[layer + first]).abs().max()) for layer in comparable)
    return Check("captured rows equal hidden_states[layer + 1]", worst == 0, worst, 0.0, "largest difference")


def _zero_dose(model: PreTrainedModel, prompt: Sequence[int], layer: int) -> Check:
    direction = torch.ones(model.config.get_text_config(decoder=True).hidden_size)
    clean = _growing(model, 1).advance([prompt], _given([prompt]))
    push = Push(layer, direction / direction.norm(), 0.0, "all")
    steered = GrowingBatch(model, Steering([push], model.device), 1).advance([prompt], _given([prompt]))
    worst = float((clean - steered).abs().max())
    return Check(ZERO_DOSE, torch.equal(clean, steered), worst, 0.0, "largest difference")


def _hooks_removed(model: PreTrainedModel, prompt: Sequence[int], layers: Sequence[int]) -> Check:
    def fail(stream: Stream) -> None:
        raise ArithmeticError

    def hooks() -> int:
        return sum(len(layer._forward_hooks) for layer in decoder_layers(model))

    # `transformers` keeps hooks of its own once hidden states have been asked for
    before = hooks()
    capture(model, layers, input_ids=torch.tensor([list(prompt)], device=model.device))
    try:
        with hooked(model, {layers[0]: fail}):
            _logits(model, prompt)
    except ArithmeticError:
        pass
    left = hooks() - before
    return Check("no hook is left behind, after success or failure", left == 0, float(left), 0.0, "hooks left")


@torch.inference_mode()
def _selector(model: PreTrainedModel, prompt: Sequence[int], layer: int) -> Check:
    """A decode-only push over given text and three written tokens must touch exactly the three."""
    direction = torch.zeros(model.config.get_text_config(decoder=True).hidden_size)
    direction[0] = 1.0
    push = Push(layer, direction, 1e3, "decode")
    touched: list[bool] = []
    steering = Steering([push], model.device)
    batch = GrowingBatch(model, steering, 1)
    before: list[Tensor] = []
    # hooks run in the order of installation: this one sees the stream before the push, the reader after it
    for chunk, written in [(prompt[:-3], False), *(([token], True) for token in prompt[-3:])]:
        with hooked(model, {layer: lambda stream: before.append(stream.clone())}):
            batch.advance([chunk], [[written] * len(chunk)])
        after = steering.pushed(layer, before[-1])
        touched += (after != before[-1]).any(-1)[0].tolist()
    wrong = sum(is_touched != (at >= len(prompt) - 3) for at, is_touched in enumerate(touched))
    return Check(SELECTOR, wrong == 0, float(wrong), 0.0, "tokens wrong")
