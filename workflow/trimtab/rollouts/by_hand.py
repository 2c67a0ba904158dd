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
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from trimtab import seeds
from trimtab.agent import dates
from trimtab.agent.chat_template import FAILURES
from trimtab.agent.protocol import start
from trimtab.artifacts.border import read_object, readable
from trimtab.errors import TrimtabError
from trimtab.forward.context import context_length
from trimtab.forward.contributions import sites_of
from trimtab.forward.hooks import check_layers
from trimtab.forward.sites import Sites
from trimtab.model.source import DTYPES, from_manifest, load
from trimtab.rollouts import draws, gumbel
from trimtab.settings.model import DEVICES
from trimtab.settings.rollouts import OF_THOUGHTS
from trimtab.steering import places
from trimtab.steering.batch import GrowingBatch
from trimtab.steering.edits import Edits
from trimtab.steering.steering import Steering
from trimtab.vectors import artifact
from trimtab.vectors.applications import Application
from trimtab.vectors.apply import edits
from trimtab.vectors.artifact import OwnEdits, Vector
from trimtab.vectors.dose import Scale

SAID = "trimtabsaid"
"""Stands for what the model said, which a template passes on as it is."""

OVERFLOW = "[logits are NaN or infinite]"
"""In place of the rest of a text that no token can be drawn for."""


@dataclass(frozen=True)
class Piece:
    """The next piece of one row's text."""

    row: int
    """Place of the dose in those asked for."""
    text: str
    ended: bool = False
    """Whether it is the row's last."""


class ByHand:
    """One model under several conditions, each a row of text that goes on from one prompt to the next."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, conditions: Sequence[Edits]) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._rows = len(conditions)
        self._batch = GrowingBatch(model, Steering(conditions, model.device), self._rows)
        ends = model.generation_config.eos_token_id
        self._ends = {*(ends if isinstance(ends, list) else [ends]), tokenizer.eos_token_id} - {None}
        self._waiting: list[tuple[list[int], list[int]]] = [([], []) for _ in conditions]
        """The last token that a row wrote and its place, where its limit cut it: it is fed with what comes next."""
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
        loaded, tokenizer, sites = _loaded(Path(model), made, dtype, device)
        application = Application(made.layer, made.record.plain.rule if rule is None else rule, timing)
        scale = Scale.of(str(vector), made.record, made.record.residual_norm.centred_mean, application)
        try:
            places.check_timing(timing)
        except ValueError as error:
            raise TrimtabError(str(error)) from error
        if timing in OF_THOUGHTS:
            raise TrimtabError(f"--timing {timing}: thoughts are told apart in rollouts alone; expected another timing")
        conditions = [edits(made, application, dose, unit, scale, sites=sites) for dose in doses]
        return cls(loaded, tokenizer, conditions)

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
            text = self._rendered([*first, {"role": "user", "content": message}])
        else:
            said = [{"role": "user", "content": "-"}, {"role": "assistant", "content": SAID}]
            # what the template puts between the assistant's turn and its next one
            text = self._rendered([*said, {"role": "user", "content": message}]).partition(SAID)[2]
        return self._written(self._tokens(text), tokens, temperature, seed)

    def _tokens(self, text: str) -> list[int]:
        # bytes of the command line that are no text come as halves of characters
        if text.encode(errors="ignore").decode() != text:
            raise TrimtabError("the prompt holds bytes that are no UTF-8; expected text")
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _rendered(self, messages: list[dict[str, str]]) -> str:
        if self._tokenizer.chat_template is None:
            raise TrimtabError("this model has no chat template; use generate, which goes on from plain text")
        try:
            text = self._tokenizer.apply_chat_template(
                messages,
                chat_template=dates.dated(self._tokenizer.get_chat_template()),
                tokenize=False,
                add_generation_prompt=True,
                date_string=dates.TEXT,
            )
            return str(text)
        except FAILURES as error:
            raise TrimtabError(f"this model's chat template fails ({' '.join(str(error).split())})") from error

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
        (noise,) = gumbel.noise(seeds.derive(seed, "by hand", self._turns), 1, [limit])
        given = places.given(places.USER, len(fed), ends_prompt=True)
        chunks = [[*tokens, *fed] for tokens, _ in self._waiting]
        at = [[*own, *given] for _, own in self._waiting]
        written: list[list[int]] = [[] for _ in range(self._rows)]
        shown = [""] * self._rows
        going = list(range(self._rows))
        self._waiting = [([], []) for _ in range(self._rows)]
        for step in range(limit):
            logits = self._batch.advance(chunks, at)
            chunks, at = [[] for _ in range(self._rows)], [[] for _ in range(self._rows)]
            finite = draws.finite(logits)
            tokens = _drawn(logits, temperature, noise[step])
            still = []
            for row, token, sound in zip(going, tokens, finite, strict=True):
                if not sound or token in self._ends:
                    yield Piece(row, self._rest(written[row], shown[row]) + ("" if sound else OVERFLOW), ended=True)
                    continue
                at[row] = places.written(1, len(written[row]))
                chunks[row] = [token]
                written[row].append(token)
                text = self._decoded(written[row])
                # half a character waits for its other half
                if not text.endswith("\ufffd"):
                    yield Piece(row, text[len(shown[row]) :])
                    shown[row] = text
                still.append(row)
            going = still
            if not going:
                return
        for row in going:
            self._waiting[row] = chunks[row], at[row]
            yield Piece(row, self._rest(written[row], shown[row]), ended=True)

    def _decoded(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def _rest(self, written: Sequence[int], shown: str) -> str:
        return self._decoded(written)[len(shown) :]


def _drawn(logits: torch.Tensor, temperature: float, noise: np.int64) -> list[int]:
    """The next token of each row: the likeliest at temperature 0, else by the same noise for all rows."""
    if temperature == 0:
        greedy: list[int] = logits.argmax(-1).tolist()
        return greedy
    return gumbel.tokens(logits.nan_to_num(), range(len(logits)), temperature, np.full(len(logits), noise))


def _loaded(
    path: Path, made: Vector | OwnEdits, dtype: str | None, device: str | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, Sites]:
    """Model and tokenizer, and where in it a vector of this kind of site is added."""
    if path.is_file():
        if dtype is not None or device is not None:
            raise TrimtabError(f"{path}: says its own dtype and device; expected neither beside it")
        # whatever file somebody names
        read_object(path)
        described, model, tokenizer = from_manifest(path)
        made.record.require(made.path, described)
        sites = Sites.of(described)
    elif (path / "config.json").is_file():
        if (dtype or "float32") not in DTYPES:
            raise TrimtabError(f"--dtype {dtype}: expected one of {', '.join(DTYPES)}")
        if device not in (None, *DEVICES):
            raise TrimtabError(f"--device {device}: expected one of {', '.join(DEVICES)}")
        model, tokenizer = load(path, dtype or "float32", device or "cpu")
        sites = sites_of(model, made.record.site)
    else:
        raise TrimtabError(f"{path}: expected a run's model/manifest.json, or a folder with a model")
    if isinstance(made, OwnEdits):
        _check_edits(path, made, model)
    else:
        _check_vector(path, made, model)
    return model, tokenizer, sites


def _check_vector(path: Path, vector: Vector, model: PreTrainedModel) -> None:
    config = model.config.get_text_config(decoder=True)
    if vector.layer >= config.num_hidden_layers or len(vector.unit) != config.hidden_size:
        raise TrimtabError(
            f"{vector.path}: is of layer {vector.layer} and {len(vector.unit)} dimensions; {path} has "
            f"{config.num_hidden_layers} layers of {config.hidden_size}"
        )


def _check_edits(path: Path, made: OwnEdits, model: PreTrainedModel) -> None:
    """Pass edits whose sites and widths are the model's, as a pass over one token tells."""
    sites = {site for edit in made.edits for site in (edit.site, *edit.reads)}
    stack = check_layers(model, (site.layer for site in sites))
    for site in sites:
        site.module_of(stack)
    # behind a gate that is closed nothing would be tried
    conditions = [made.edits, tuple(replace(edit, gate=None, timing="all") for edit in made.edits)]
    rows = GrowingBatch(model, Steering(conditions, model.device), len(conditions))
    with readable(f"{made.path}: its edits don't fit {path}"):
        rows.advance([[0]] * len(conditions), [places.given(places.USER, 1, ends_prompt=True)] * len(conditions))
