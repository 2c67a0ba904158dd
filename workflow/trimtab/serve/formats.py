"""Answers in OpenAI's formats; `steering` and `seed` stand beside its own fields."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from trimtab.rollouts.continued import Scored
from trimtab.serve.named import Made
from trimtab.serve.writer import Answer, Plan, Writer
from trimtab.vectors.artifact import OwnEdits

Body = dict[str, Any]


@dataclass(frozen=True)
class Format:
    """How one request is answered."""

    chat: bool
    """Chat completions, or completions."""
    model: str
    """As the request calls it."""
    plan: Plan
    token: Callable[[int], str]
    """A token's text."""
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, answers: Sequence[Sequence[Answer]]) -> Body:
        """Of all tasks' answers."""
        rows = [answer for each in answers for answer in each]
        choices = [self._choice(index, answer) for index, answer in enumerate(rows)]
        kind = "chat.completion" if self.chat else "text_completion"
        return self._body(kind) | {"choices": choices, "usage": self.usage(rows)}

    def _choice(self, index: int, answer: Answer) -> Body:
        scores = self._scores(answer.scores) if answer.scores else None
        said = {"message": {"role": "assistant", "content": answer.text}} if self.chat else {"text": answer.text}
        return {"index": index, **said, "logprobs": scores, "finish_reason": answer.ended}

    def usage(self, answers: Sequence[Answer]) -> Body:
        given = sum(len(task.prompt.tokens) for task in self.plan.tasks)
        written = sum(answer.tokens for answer in answers)
        return {"prompt_tokens": given, "completion_tokens": written, "total_tokens": given + written}

    # --- pieces of a stream ---

    def begun(self, index: int) -> Body:
        """The first of an answer's chunks."""
        return self._chunk(index, {"role": "assistant", "content": ""}, None)

    def piece(self, index: int, text: str) -> Body:
        """A chunk with the answer's next piece."""
        return self._chunk(index, {"content": text}, None)

    def ended(self, index: int, answer: Answer) -> Body:
        """The last of an answer's chunks."""
        return self._chunk(index, {}, answer.ended)

    def counted(self, answers: Sequence[Answer]) -> Body:
        """The chunk that counts tokens."""
        return self._body(self._streamed) | {"choices": [], "usage": self.usage(answers)}

    def _chunk(self, index: int, delta: Body, ended: str | None) -> Body:
        said = {"delta": delta} if self.chat else {"text": delta.get("content", "")}
        return self._body(self._streamed) | {
            "choices": [{"index": index, **said, "logprobs": None, "finish_reason": ended}]
        }

    @property
    def _streamed(self) -> str:
        return "chat.completion.chunk" if self.chat else "text_completion"

    def _body(self, kind: str) -> Body:
        return {
            "id": f"{'chatcmpl' if self.chat else 'cmpl'}-{self.id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "seed": self.plan.seed,
            "steering": None if self.plan.push is None else self.plan.push.model_dump(),
        }

    # --- chances of tokens ---

    def _scores(self, scores: Sequence[Scored]) -> Body:
        texts = [self.token(each.token) for each in scores]
        if self.chat:
            told = zip(texts, scores, strict=True)
            return {"content": [self._scored(text, each) for text, each in told], "refusal": None}
        offsets = [0]
        for text in texts[:-1]:
            offsets.append(offsets[-1] + len(text))
        best = [{self.token(token): chance for token, chance in each.likeliest} for each in scores]
        return {
            "tokens": texts,
            "token_logprobs": [each.log_chance for each in scores],
            "top_logprobs": [None if each.log_chance is None else own for each, own in zip(scores, best, strict=True)],
            "text_offset": offsets,
        }

    def _scored(self, text: str, scored: Scored) -> Body:
        best = [(self.token(token), chance) for token, chance in scored.likeliest]
        return _chance(text, scored.log_chance) | {"top_logprobs": [_chance(*each) for each in best]}


def _chance(text: str, chance: float | None) -> Body:
    return {"token": text, "logprob": chance, "bytes": list(text.encode())}


def models(writer: Writer, created: int) -> list[Body]:
    """The model, and each vector at the doses in nats that were searched for it, all under names that requests take."""
    known = [_model(writer.name, created)]
    known[0]["vectors"] = {name: _about(made) for name, made in writer.vectors.items()}
    for name, made in writer.vectors.items():
        doses = sorted(dose for dose, length in made.record.lengths(made.plain).items() if length is not None)
        known += [_model(f"{writer.name}:{name}@{dose:g}:kl", created) for dose in doses]
    return known


def _model(name: str, created: int) -> Body:
    return {"id": name, "object": "model", "created": created, "owned_by": "trimtab"}


def _about(made: Made) -> Body:
    return {"kind": "edits" if isinstance(made, OwnEdits) else "vector", "layer": made.layer}


def error(message: str, kind: str, code: str | None = None) -> Body:
    """What went wrong, in one line."""
    return {"error": {"message": " ".join(message.split()), "type": kind, "param": None, "code": code}}
