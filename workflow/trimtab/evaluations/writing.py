"""What the model writes on plain beginnings of texts, under every condition of a batch.

Every row draws with the noise of its item and place alone, so that two conditions of an item differ by their
steering. Agents, whose turns have a protocol, write in `trimtab.rollouts.engine`.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Shaped
from numpy import ndarray

from trimtab import seeds
from trimtab.evaluations.steered import PromptsOf, Steered
from trimtab.rollouts import draws
from trimtab.rollouts.draws import COUPLINGS
from trimtab.steering import places
from trimtab.steering.batch import GrowingBatch
from trimtab.steering.edits import Edits
from trimtab.steering.laid import Prompt
from trimtab.steering.steering import Steering

ROWS = 64
"""Texts a batch."""


def written(steered: Steered, prompts: PromptsOf, tokens: int, temperature: float) -> list[list[str]]:
    """What each condition writes after each prompt, `tokens` long unless the model ends it."""
    items = range(len(prompts("")))
    of = COUPLINGS[steered.coupling].noise
    noise = np.concatenate([of(seeds.derive(steered.seed, "evaluations", item), 1, [tokens]) for item in items])
    texts: list[list[str]] = []
    for arm in steered.arms:
        asked = prompts(arm.instruction)
        own: list[str] = []
        for at in range(0, len(asked), ROWS):
            some = slice(at, at + ROWS)
            own += _batch(steered, arm.edits, asked[some], noise[some], tokens, temperature)
        texts.append(own)
    return texts


def _batch(
    steered: Steered,
    edits: Edits,
    prompts: Sequence[Prompt],
    noise: Shaped[ndarray, "text token"],
    tokens: int,
    temperature: float,
) -> Iterator[str]:
    model, tokenizer, coupling = steered.model, steered.protocol.tokenizer, COUPLINGS[steered.coupling]
    said = model.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(said if isinstance(said, list) else [said])}
    batch = GrowingBatch(model, Steering([edits] * len(prompts), model.device), len(prompts))
    chunks = [[token for piece in prompt for token in piece.tokens] for prompt in prompts]
    at = [[place for piece in prompt for place in piece.places] for prompt in prompts]
    found: list[list[int]] = [[] for _ in prompts]
    going = list(range(len(prompts)))
    for step in range(tokens):
        logits = batch.advance(chunks, at)
        chunks, at = [[] for _ in prompts], [[] for _ in prompts]
        finite = draws.finite(logits)
        drawn = coupling.tokens(logits.nan_to_num(), range(len(going)), temperature, noise[going, step])
        still = []
        for row, token, sound in zip(going, drawn, finite, strict=True):
            # a text that no token can be drawn for is as long as it is
            if not sound or token in ends:
                continue
            at[row] = places.written(1, len(found[row]))
            chunks[row] = [token]
            found[row].append(token)
            still.append(row)
        going = still
        if not going:
            break
    return (str(tokenizer.decode(each, skip_special_tokens=True)) for each in found)
