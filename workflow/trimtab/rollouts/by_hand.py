"""What a method made, tried by hand: one prompt under several doses side by side, as the text comes.

    from trimtab.rollouts.by_hand import ByHand

    run = "results/smollm2"
    hand = ByHand.of(f"{run}/model/manifest.json", f"{run}/vectors/lda/autonomy.safetensors", [0, 0.4])
    for piece in hand.generate("The best way to start is", tokens=40):
        print(piece.row, piece.text)

All doses are rows of one batch and draw with the same noise, so that they differ by the dose alone; dose 0 is
the model as it is. `python -m trimtab.steering` is the same from the command line (`trimtab.rollouts.side_by_side`).
Agents, whose answers are measured, run in `trimtab.rollouts.engine`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from trimtab import seeds
from trimtab.agent.protocol import start
from trimtab.errors import TrimtabError
from trimtab.forward.context import context_length
from trimtab.rollouts import continued, gumbel
from trimtab.rollouts.continued import Continued, Drawing, Piece
from trimtab.rollouts.loaded import Loaded, chat_text, ends
from trimtab.settings.rollouts import OF_THOUGHTS
from trimtab.steering import places
from trimtab.steering.batch import GrowingBatch
from trimtab.steering.edits import Edits
from trimtab.steering.steering import Steering
from trimtab.vectors import artifact

SAID = "trimtabsaid"
"""Stands for what the model said, which a template passes on as it is."""

GENERATE = "generate"
"""What goes on from plain text."""

OVERFLOW = "[logits are NaN or infinite]"
"""In place of the rest of a text that no token can be drawn for."""


class ByHand:
    """One model under several conditions, each a row of text that goes on from one prompt to the next."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, conditions: Sequence[Edits]) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._rows = len(conditions)
        self._batch = GrowingBatch(model, Steering(conditions, model.device), self._rows)
        self._ends = ends(model, tokenizer)
        self._waiting = [places.Piece([], []) for _ in conditions]
        """The last token that a row wrote, where its limit cut it: it is fed with what comes next."""
        self._turns = self._length = 0

    @classmethod
    def of(
        cls,
        model: Path | str,
        vector: Path | str,
        doses: Sequence[float],
        *,
        unit: str = "residual_share",
        rule: str | None = None,
        timing: str = "all",
        dtype: str | None = None,
        device: str | None = None,
    ) -> "ByHand":
        """
        Args:
            model: a run's model/manifest.json, or a folder with a model.
            vector: a file of a run's vectors/, which holds a vector or edits.
            rule: None adds a vector, and applies edits as they were made, of which a dose is the share.
            dtype: for a folder, float32 (if None) or bfloat16; a manifest says its own.
            device: for a folder, cpu (if None), cuda or auto; a manifest says its own.

        Raises:
            TrimtabError: no such model, vector, rule, unit or timing, or a vector or edits of another model or site.
        """
        if not doses or not all(map(math.isfinite, doses)):
            raise TrimtabError(f"--dose {' '.join(f'{dose:g}' for dose in doses)}: expected one finite dose at least")
        made = artifact.read(Path(vector))
        loaded = Loaded.of(Path(model), dtype, device)
        loaded.require(made)
        try:
            places.check_timing(timing)
        except ValueError as error:
            raise TrimtabError(str(error)) from error
        if timing in OF_THOUGHTS:
            raise TrimtabError(f"--timing {timing}: thoughts are told apart in rollouts alone; expected another timing")
        conditions = [loaded.edits(made, dose, unit, rule, timing) for dose in doses]
        return cls(loaded.model, loaded.tokenizer, conditions)

    def generate(self, prompt: str, tokens: int = 200, temperature: float = 0.0, seed: int = 0) -> Iterator[Piece]:
        """Text that goes on from a plain prompt."""
        fed = self._tokens(prompt)
        return self._written([*(start(self._tokenizer) if not self._turns else []), *fed], tokens, temperature, seed)

    def chat(
        self, message: str, tokens: int = 200, temperature: float = 0.0, seed: int = 0, system: str = ""
    ) -> Iterator[Piece]:
        """Answers to a message, in the model's chat template; the next message goes on from there.

        Args:
            system: the system line of a first message.

        Raises:
            TrimtabError: the model has no chat template, or one that fails.
        """
        first = [{"role": "system", "content": system}] if system else []
        if not self._turns:
            text = chat_text(self._tokenizer, [*first, {"role": "user", "content": message}], GENERATE)
        else:
            said = [{"role": "user", "content": "-"}, {"role": "assistant", "content": SAID}]
            # what the template puts between the assistant's turn and its next one
            told = chat_text(self._tokenizer, [*said, {"role": "user", "content": message}], GENERATE)
            text = told.partition(SAID)[2]
        return self._written(self._tokens(text), tokens, temperature, seed)

    def _tokens(self, text: str) -> list[int]:
        # bytes of the command line that are no text come as halves of characters
        if text.encode(errors="ignore").decode() != text:
            raise TrimtabError("the prompt holds bytes that are no UTF-8; expected text")
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _written(self, fed: list[int], limit: int, temperature: float, seed: int) -> Iterator[Piece]:
        """What each row writes after `fed`, until its end or the limit."""
        if not fed:
            raise TrimtabError("the prompt has no token; expected some text")
        if limit < 1 or not 0 <= temperature < math.inf:
            raise TrimtabError(f"--tokens {limit}, --temperature {temperature:g}: expected 1 or more, and 0 or more")
        self._turns, self._length = self._turns + 1, self._length + len(fed) + limit
        context = context_length(self._model.config)
        if context is not None and self._length > context:
            raise TrimtabError(f"prompt and text come to {self._length} tokens; the model reads at most {context}")
        noise = gumbel.noise(seeds.derive(seed, "by hand", self._turns), 1, [limit]).repeat(self._rows, axis=0)
        given = places.given(places.USER, len(fed), ends_prompt=True)
        prompts = [places.Piece([*last.tokens, *fed], [*last.places, *given]) for last in self._waiting]
        going = Continued(self._batch, self._decoded, self._ends, Drawing(temperature), noise)
        self._waiting = going.waiting
        for piece in going.pieces(prompts):
            overflown = piece.ended == continued.OVERFLOW
            yield replace(piece, text=piece.text + OVERFLOW) if overflown else piece

    def _decoded(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))
