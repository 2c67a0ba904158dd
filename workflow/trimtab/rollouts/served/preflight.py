"""Checks of vLLM on the user's machine: it gives what `transformers` alone gives, steered and not, before episodes run.

The other side of each comparison is `trimtab.model.reference`, as in the model's own preflight, with its tolerances.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.forward.proof import TOLERANCE
from trimtab.forward.sites import STREAM, Sites
from trimtab.model.checks import SERVED, SERVED_AGAIN, SERVED_FIRST, SERVED_ROWS, SERVED_STEERED
from trimtab.model.judged import Check, compared
from trimtab.model.reference import Reference, push_of
from trimtab.rollouts.chooser import Chooser
from trimtab.rollouts.served.requests import MOST_LIKELY, Order, Reply, Request, salt
from trimtab.rollouts.served.rows import RowServer, rows_after
from trimtab.steering import places
from trimtab.steering.edits import Edits, added

STEERED_PROMPT = "steered"


class LogitServer(RowServer, Protocol):
    """A server that gives logits and rows as well (`trimtab.rollouts.served.client`)."""

    def begin(self, chooser: Chooser, arms: Mapping[str, Edits]) -> None: ...

    def answer_with_logits(
        self, requests: Sequence[Request], stops: Sequence[int]
    ) -> tuple[list[Reply], dict[str, Tensor]]: ...


def served_checks(
    server: LogitServer,
    prompts: Sequence[Sequence[int]],
    wanted: Reference,
    width: int,
    dtype: torch.dtype,
    sites: Sites,
) -> list[Check]:
    """All checks, on the prompts of `wanted`.

    Args:
        width: of the residual stream.
        sites: what is steered.
    """
    push = added(sites.at(wanted.place), push_of(width), wanted.strength)
    server.begin(MOST_LIKELY, {STEERED_PROMPT: push})
    asked = [_request(str(at), prompt) for at, prompt in enumerate(prompts)]
    steered = _request(STEERED_PROMPT, prompts[0], push)
    # the steered one first: were its keys and values taken for the unsteered prompt's, both would be wrong
    replies, logits = server.answer_with_logits([steered, *asked], [])
    _, again = server.answer_with_logits([*asked, steered], [])
    alone = [logits[each.order.name] for each in asked]
    warm = [again[each.order.name] for each in (*asked, steered)]
    # as far as they are finite, which the comparison of logits tells
    first = [reply.choices[0].number if reply.choices[0] else -1 for reply in replies[1:]]
    return [
        compared(dtype, SERVED, wanted.alone, alone),
        compared(dtype, SERVED_AGAIN, [*wanted.alone, wanted.steered], warm),
        compared(dtype, SERVED_STEERED, [wanted.steered, wanted.alone[0]], [logits[STEERED_PROMPT], alone[0]]),
        _first_tokens(dtype, wanted.alone, first),
        *([] if sites.modules else [_rows(server, prompts, wanted, dtype)]),
    ]


def _rows(server: RowServer, prompts: Sequence[Sequence[int]], wanted: Reference, dtype: torch.dtype) -> Check:
    got = rows_after(server, [(list(prompt), 1) for prompt in prompts], STREAM.of_layers(wanted.rows))
    own = [got[layer] for layer in wanted.rows]
    return compared(dtype, SERVED_ROWS, [*wanted.rows.values()], own, "all rows of a layer")


def _request(name: str, prompt: Sequence[int], edits: Edits = ()) -> Request:
    where = [*places.given(places.USER, len(prompt), ends_prompt=True), *places.written(1)] if edits else ()
    order = Order(name, False, [0.5], 0, name if edits else "", places=where, keeps_logits=True)
    return Request(order, list(prompt), salt(edits))


def _first_tokens(dtype: torch.dtype, wanted: Sequence[Float[Tensor, "vocabulary"]], got: Sequence[int]) -> Check:
    """Whether the most likely tokens are the same, but for those as likely as rounding can tell."""
    wrong = sum(token < 0 or _less_likely(TOLERANCE[dtype], own, token) for own, token in zip(wanted, got, strict=True))
    return Check(SERVED_FIRST, wrong == 0, float(wrong), 0.0, f"of {len(got)} prompts, those with another first token")


def _less_likely(tolerance: float, logits: Float[Tensor, "vocabulary"], token: int) -> bool:
    """Whether a token's logit lies below the largest by more than both may be off."""
    return float(logits.max() - logits[token]) > 2 * tolerance * float(logits.square().mean().sqrt())
