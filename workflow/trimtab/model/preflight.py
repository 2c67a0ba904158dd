"""Checks of the user's own stack: does this model, on this machine, compute what every later stage takes for granted?

Each check compares two ways to the same numbers on real prompts and records the difference. One of them is what
`transformers` alone makes of the prompts, one by one, in a load of its own (`trimtab.model.reference`); it is never the
fast way held against itself. Differences are relative (root mean square of the difference over that of what is wanted),
with a tolerance that follows the dtype; a hook's own row, a hook of dose 0, hooks and selectors have none to spare. A
number that isn't finite fails a check. What follows from a check is in `trimtab.model.judged`.
"""

import inspect
import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.artifacts.border import in_short
from trimtab.errors import TrimtabError
from trimtab.forward import own_states
from trimtab.forward.capture import Prompt, kept_rows
from trimtab.forward.hooks import Stream, base_model, capture, decoder_layers, hooked
from trimtab.forward.proof import FAILURES, TOLERANCE
from trimtab.forward.single import goes_alone
from trimtab.forward.sites import STREAM, Site, Sites
from trimtab.model.checks import (
    ADDED,
    BATCHED,
    CAPTURED,
    CHUNKS,
    GROWING,
    HOOKS,
    MODULE,
    PADDED,
    PLAIN,
    ROWS,
    SECOND_TURN,
    SELECTOR,
    SHARED,
    STEERED,
    ZERO_DOSE,
)
from trimtab.model.judged import Check, compared, exact
from trimtab.model.reference import (
    Logits,
    Reference,
    comparable_layers,
    hidden_states,
    last_logits,
    push_direction,
    reference,
    two_headers,
)
from trimtab.steering.batch import GrowingBatch
from trimtab.steering.edits import added
from trimtab.steering.steering import Steering


def preflight(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    layers: Sequence[int],
    wanted: Reference | None = None,
    sites: Sites = STREAM,
    beside: Sites = STREAM,
) -> list[Check]:
    """All checks, on prompts of unequal length (token ids).

    Args:
        wanted: what a plain load of the model makes of the same prompts and layers; None for a model that is plain.
        sites: what is read and steered.
        beside: where that is one of a layer's two contributions to the stream, the other.

    Raises:
        TrimtabError: a prompt's logits are not finite, so that there is nothing to compare with.
    """
    torch.manual_seed(0)
    if wanted is None:
        wanted = reference(model, prompts, layers, sites)
    for at, logits in enumerate(wanted.alone):
        if not logits.isfinite().all():
            raise TrimtabError(
                f"preflight: the model's logits on prompt {at} of {len(prompts)} are NaN or infinite; expected weights "
                f"without such numbers, and a model.dtype that holds all others (now {model.dtype})"
            )
    checks = [
        (
            _rows_add_up(model, prompts[0], layers, (sites, beside))
            if sites.modules
            else _rows_are_hidden_states(model, prompts[0], layers)
        ),
        _rows_are_plain(model, prompts, wanted, sites),
        _hooks_removed(model, prompts[0], sites.of_layers(layers)),
        compared(model.dtype, PLAIN, wanted.alone, [last_logits(model, prompt) for prompt in prompts]),
        _unpadded(model) or compared(model.dtype, PADDED, wanted.alone[:1], [_padded(model, prompts[0])]),
    ]
    if why := _cannot_grow(model):
        return checks + [Check(name, False, None, TOLERANCE[model.dtype], f"not run, since {why}") for name in GROWING]
    growing: dict[str, Callable[[], Check]] = {
        ZERO_DOSE: lambda: _zero_dose(model, prompts[0], sites.at(layers[0])),
        SELECTOR: lambda: _selector(model, prompts[0], sites.at(layers[0])),
        BATCHED: lambda: compared(model.dtype, BATCHED, wanted.alone, _batched(model, prompts)),
        CHUNKS: lambda: compared(model.dtype, CHUNKS, wanted.alone[:1], [_chunked(model, prompts[0])]),
        SHARED: lambda: compared(model.dtype, SHARED, wanted.joined, _shared(model, prompts)),
        SECOND_TURN: lambda: compared(model.dtype, SECOND_TURN, wanted.alone, _second_turn(model, prompts)),
        STEERED: lambda: compared(
            model.dtype, STEERED, [wanted.steered, wanted.alone[0]], _steered(model, prompts[0], wanted, sites)
        ),
    }
    return [*checks, *(_tried(model, name, check) for name, check in growing.items())]


def _unpadded(model: PreTrainedModel) -> Check | None:
    """The check of padding where no row has any."""
    if goes_alone(model):
        told = "this model's rows can't be padded, so they run one at a time, which is exact and slower"
    elif own_states.places(model):
        told = "this model's layers take padding into their states, so rows grow without any"
    else:
        return None
    return Check(PADDED, True, None, 0.0, f"not run: {told}")


def _cannot_grow(model: PreTrainedModel) -> str:
    """Why rollouts can't run the model, as far as its signature tells; empty where it doesn't."""
    if "past_key_values" not in inspect.signature(base_model(model).forward).parameters:
        return "the model's forward takes no past_key_values, as rollouts need it"
    return ""


def _tried(model: PreTrainedModel, name: str, check: Callable[[], Check]) -> Check:
    """A check of a way in which not every architecture can be fed."""
    try:
        return check()
    except FAILURES as error:
        why = f"not run to its end: {type(model).__name__} raises {type(error).__name__} ({in_short(error)})"
        return Check(name, False, None, TOLERANCE[model.dtype], why)


def _growing(model: PreTrainedModel, rows: int) -> GrowingBatch:
    return GrowingBatch(model, Steering([()] * rows, model.device), rows)


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


def _shared(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> Logits:
    """Two headers of unequal length, each before every prompt."""
    headers = two_headers(prompts)
    steering = Steering([()] * len(headers), model.device)
    batch = GrowingBatch(model, steering, len(headers))
    batch.advance(headers, _given(headers))
    batch.repeat(len(prompts), steering.select(range(len(headers)), len(prompts)))
    tails = [prompt for _ in headers for prompt in prompts]
    return list(batch.advance(tails, _given(tails)))


def _steered(model: PreTrainedModel, prompt: Sequence[int], wanted: Reference, sites: Sites) -> Logits:
    """The prompt twice, once pushed: layers below the push compute both rows at once."""
    push = added(sites.at(wanted.place), push_direction(model), wanted.strength)
    both = [prompt, prompt]
    return list(GrowingBatch(model, Steering([push, ()], model.device), 2).advance(both, _given(both)))


def _second_turn(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> Logits:
    batch = _growing(model, len(prompts))
    first = [prompt[: len(prompt) // 2] for prompt in prompts]
    second = [prompt[len(prompt) // 2 :] for prompt in prompts]
    batch.advance(first, _given(first))
    return list(batch.advance(second, _given(second)))


@torch.inference_mode()
def _rows_are_hidden_states(model: PreTrainedModel, prompt: Sequence[int], layers: Sequence[int]) -> Check:
    comparable = comparable_layers(layers, len(decoder_layers(model)))
    if not comparable:
        return Check(CAPTURED, True, None, 0.0, "not run: the model's one layer is its last")
    rows = capture(model, comparable, input_ids=torch.tensor([list(prompt)], device=model.device))
    states = hidden_states(model, prompt)
    return exact(
        CAPTURED,
        torch.stack([rows[layer][0].cpu() for layer in comparable]),
        torch.stack([states[layer].cpu() for layer in comparable]),
    )


@torch.inference_mode()
def _rows_add_up(
    model: PreTrainedModel, prompt: Sequence[int], layers: Sequence[int], both: tuple[Sites, Sites]
) -> Check:
    # the library's list has what is before the second layer and all later ones
    comparable = [layer for layer in comparable_layers(layers, len(decoder_layers(model))) if layer > 0]
    if not comparable:
        return Check(ADDED, True, None, 0.0, "not run: it needs a layer below the last and above the first")
    ids = torch.tensor([list(prompt)], device=model.device)
    one, other = (capture(model, sites.of_layers(comparable), input_ids=ids) for sites in both)
    states = hidden_states(model, prompt)
    worst = Check(ADDED, True, 0.0, 0.0, "largest difference")
    for layer in comparable:
        before, a, b = states[layer - 1], one[layer][0], other[layer][0]
        # in the order of summation that the architecture has
        sums = (before + a + b, before + b + a, before + (a + b))
        worst = max(worst, min((exact(ADDED, each, states[layer]) for each in sums), key=_figure), key=_figure)
    return worst


def _figure(check: Check) -> float:
    return math.inf if check.figure is None else check.figure


def _rows_are_plain(model: PreTrainedModel, prompts: Sequence[Sequence[int]], wanted: Reference, sites: Sites) -> Check:
    """The way in which activations are stored: a batch of unequal lengths."""
    layers = list(wanted.rows)
    batch = [Prompt(str(at), list(prompt)) for at, prompt in enumerate(prompts)]
    rows = kept_rows(model, batch, sites.of_layers(layers), "all") if layers else {}
    name = MODULE if sites.modules else ROWS
    return compared(
        model.dtype, name, [wanted.rows[layer] for layer in layers], [rows[layer] for layer in layers], "rows"
    )


def _zero_dose(model: PreTrainedModel, prompt: Sequence[int], site: Site) -> Check:
    direction = torch.ones(model.config.get_text_config(decoder=True).hidden_size)
    clean = _growing(model, 1).advance([prompt], _given([prompt]))
    push = added(site, direction / direction.norm(), 0.0)
    steered = GrowingBatch(model, Steering([push], model.device), 1).advance([prompt], _given([prompt]))
    return exact(ZERO_DOSE, clean, steered)


def _hooks_removed(model: PreTrainedModel, prompt: Sequence[int], sites: Sequence[Site]) -> Check:
    def fail(stream: Stream) -> None:
        raise ArithmeticError

    def hooks() -> int:
        return sum(len(each._forward_hooks) for layer in decoder_layers(model) for each in layer.modules())

    # `transformers` keeps hooks of its own once hidden states have been asked for
    before = hooks()
    capture(model, sites, input_ids=torch.tensor([list(prompt)], device=model.device))
    try:
        with hooked(model, {sites[0]: fail}):
            last_logits(model, prompt)
    except ArithmeticError:
        pass
    left = hooks() - before
    return Check(HOOKS, left == 0, float(left), 0.0, "hooks left")


@torch.inference_mode()
def _selector(model: PreTrainedModel, prompt: Sequence[int], site: Site) -> Check:
    """A decode-only push over given text and three written tokens must touch exactly the three."""
    direction = torch.zeros(model.config.get_text_config(decoder=True).hidden_size)
    direction[0] = 1.0
    push = added(site, direction, 1e3, "decode")
    touched: list[bool] = []
    steering = Steering([push], model.device)
    batch = GrowingBatch(model, steering, 1)
    before: list[Tensor] = []
    # hooks run in the order of installation: this one sees the stream before the push, the reader after it
    for chunk, written in [(prompt[:-3], False), *(([token], True) for token in prompt[-3:])]:
        with hooked(model, {site: lambda stream: before.append(stream.clone())}):
            batch.advance([chunk], [[written] * len(chunk)])
        after = steering.edited(site, before[-1])
        touched += (after != before[-1]).any(-1)[0].tolist()
    wrong = sum(is_touched != (at >= len(prompt) - 3) for at, is_touched in enumerate(touched))
    return Check(SELECTOR, wrong == 0, float(wrong), 0.0, "tokens wrong")
