"""How a request becomes text: it is read and checked, becomes rows of a batch of its own, and these are written.

Every request has its own steering, caches and draws, made anew for it, and only one is written at a time. So no push
can reach another request, and what is answered depends on the request alone: the same body with the same seed has the
same answer, whatever else is asked meanwhile. Requests that share a seed draw with the same noise, so that doses can be
compared as in rollouts.
"""

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from trimtab import seeds
from trimtab.agent.protocol import start
from trimtab.errors import TrimtabError
from trimtab.forward.context import context_length
from trimtab.rollouts import continued, draws, gumbel
from trimtab.rollouts.continued import Continued, Drawing, Scored
from trimtab.rollouts.loaded import Loaded, ends
from trimtab.serve import chats
from trimtab.serve.asked import ChatAsked, Push, TextAsked
from trimtab.serve.named import Made, asked_by, check_timing, check_unit, vector_of
from trimtab.steering.batch import GrowingBatch
from trimtab.steering.edits import Edits
from trimtab.steering.places import Piece
from trimtab.steering.steering import Steering

PLAIN_TOKENS = 16
"""Of a plain text's answer where the request says nothing, as OpenAI has it."""

SEEDS = 2**53
"""Seeds that are drawn lie below it, so that any client reads them as they are."""

SCORED_TOGETHER = 512
"""Tokens of a prompt whose chances are computed in one pass: each is a row of the whole vocabulary."""

OVERFLOWN = "the logits are NaN or infinite, so that no token has a chance; expected a smaller dose"

Show = Callable[[int, str], None]
"""What is given each piece of a row's text."""


@dataclass(frozen=True)
class Task:
    """One prompt of a request that has been found sound."""

    prompt: Piece
    edits: Edits
    rows: int
    """How many answers."""
    limit: int
    drawing: Drawing
    seed: int
    stops: tuple[str, ...] = ()
    likeliest: int | None = None
    """Each token's chance is told, and so many of the likeliest; None for none."""
    echo: bool = False
    """Whether the prompt comes before the answer."""


@dataclass(frozen=True)
class Plan:
    """What a request comes to."""

    push: Push | None
    seed: int
    tasks: list[Task]


@dataclass
class Answer:
    """One row's."""

    text: str = ""
    ended: str = continued.LENGTH
    tokens: int = 0
    """Written, its end not counted."""
    scores: list[Scored] = field(default_factory=list)


class Writer:
    """One model and its vectors."""

    def __init__(self, loaded: Loaded, name: str, vectors: Mapping[str, Made], longest: int) -> None:
        """
        Args:
            name: of the model, in requests.
            longest: tokens of an answer, at most.
        """
        self.name, self.vectors = name, vectors
        self._loaded, self._longest = loaded, longest
        self._ends = ends(loaded.model, loaded.tokenizer)
        self._context = context_length(loaded.model.config)
        self._turn = threading.Lock()
        # a tokenizer is changed by each text that it takes apart
        self._tokenizing = threading.Lock()

    # --- from a request to tasks ---

    def plan(self, asked: ChatAsked | TextAsked) -> Plan:
        """
        Raises:
            NoSuchModel: it names another model or vector.
            TrimtabError: it asks for what can't be done.
        """
        push = asked_by(asked.model, self.name)
        if push is not None and asked.steering is not None:
            raise TrimtabError(f"steering: given, and model {asked.model} says a vector too; expected one of both")
        push = asked.steering if push is None else push
        is_chat = isinstance(asked, ChatAsked)
        edits = () if push is None else self._edits(push, is_chat)
        drawing = Drawing(1.0 if asked.temperature is None else asked.temperature, asked.top_p or 1.0)
        seed = secrets.randbelow(SEEDS) if asked.seed is None else asked.seed
        limit, likeliest, echo = _wanted(asked)
        tasks = []
        with self._tokenizing:
            prompts = self._prompts(asked, edits)
        for number, prompt in enumerate(prompts):
            room = self._room(number, len(prompt.tokens), limit, is_chat)
            own = seeds.derive(seed, "served", number)
            tasks.append(Task(prompt, edits, asked.n or 1, room, drawing, own, asked.stops, likeliest, echo))
        return Plan(push, seed, tasks)

    def _edits(self, push: Push, is_chat: bool) -> Edits:
        made = vector_of(push, self.vectors)
        check_timing(push.timing, is_chat)
        check_unit(push, made.plain.rule if push.rule is None else push.rule)
        return self._loaded.edits(made, push.dose, push.unit, push.rule, push.timing)

    def _prompts(self, asked: ChatAsked | TextAsked, edits: Edits) -> list[Piece]:
        tokenizer = self._loaded.tokenizer
        if isinstance(asked, ChatAsked):
            if not asked.messages:
                raise TrimtabError("messages: an empty list; expected at least one")
            parted = any(edit.timing != "all" or edit.gate is not None for edit in edits)
            return [chats.chat(tokenizer, [message.plain for message in asked.messages], parted)]
        found = []
        for prompt in asked.prompts:
            if isinstance(prompt, str):
                prompt = (*start(tokenizer), *tokenizer(prompt, add_special_tokens=False)["input_ids"])
            if not prompt:
                raise TrimtabError("prompt: has no token; expected some text")
            if beyond := [token for token in prompt if token >= len(tokenizer)]:
                raise TrimtabError(f"prompt: token {beyond[0]}; expected numbers below {len(tokenizer)}")
            found.append(chats.plain(prompt))
        if not found:
            raise TrimtabError("prompt: an empty list; expected at least one")
        return found

    def _room(self, number: int, given: int, limit: int | None, is_chat: bool) -> int:
        """Tokens that an answer may have."""
        if limit is not None and limit > self._longest:
            raise TrimtabError(
                f"max_tokens: {limit}; this server writes at most {self._longest} (--tokens of trimtab.serve)"
            )
        wanted = limit if limit is not None else self._longest if is_chat else min(PLAIN_TOKENS, self._longest)
        if self._context is None:
            return wanted
        room = self._context - given
        if room < 1 or (limit is not None and limit > room):
            raise TrimtabError(
                f"prompt {number} has {given} tokens{f' and max_tokens is {limit}' if limit is not None else ''}; this "
                f"model's maximum context length is {self._context}"
            )
        return min(wanted, room)

    # --- from tasks to text ---

    def write(self, task: Task, show: Show = lambda row, text: None) -> list[Answer]:
        """Each row's answer; `show` is given its pieces as they come.

        Raises:
            TrimtabError: the logits are not finite.
        """
        with self._turn:
            steering = Steering([task.edits] * task.rows, self._loaded.model.device)
            batch = GrowingBatch(self._loaded.model, steering, task.rows)
            prompt, before = task.prompt, list[Scored]()
            if task.echo and task.likeliest is not None:
                prompt, before = self._scored(batch, task, task.likeliest)
            answers = self._continued(batch, task, prompt, show) if task.limit else [Answer() for _ in range(task.rows)]
        for answer in answers:
            answer.scores = [*before, *answer.scores]
            answer.text = self.decoded(task.prompt.tokens) * task.echo + answer.text
        return answers

    def _scored(self, batch: GrowingBatch, task: Task, likeliest: int) -> tuple[Piece, list[Scored]]:
        """The prompt's last token, which has yet to be fed, and the chances of all."""
        tokens, at = task.prompt
        scores = [Scored(tokens[0], None)]
        for begin in range(0, len(tokens) - 1, SCORED_TOGETHER):
            some = slice(begin, min(begin + SCORED_TOGETHER, len(tokens) - 1))
            fed = tokens[some]
            # of rows, all of which read the same, the first
            logits = batch.advance([fed] * task.rows, [at[some]] * task.rows, all_logits=True)[: len(fed)]
            if not all(draws.finite(logits)):
                raise TrimtabError(OVERFLOWN)
            scores += continued.scored(logits, tokens[begin + 1 : begin + 1 + len(fed)], likeliest)
        return Piece(tokens[-1:], at[-1:]), scores

    def _continued(self, batch: GrowingBatch, task: Task, prompt: Piece, show: Show) -> list[Answer]:
        noise = np.concatenate(
            [gumbel.noise(seeds.derive(task.seed, row), 1, [task.limit]) for row in range(task.rows)]
        )
        going = Continued(batch, self.decoded, self._ends, task.drawing, noise, task.stops, task.likeliest)
        answers = [Answer() for _ in range(task.rows)]
        for piece in going.pieces([prompt] * task.rows):
            if piece.ended == continued.OVERFLOW:
                raise TrimtabError(OVERFLOWN)
            answers[piece.row].text += piece.text
            answers[piece.row].ended = piece.ended or answers[piece.row].ended
            if piece.text:
                show(piece.row, piece.text)
        for answer, written, scores in zip(answers, going.written, going.scores, strict=True):
            answer.tokens, answer.scores = len(written), scores
        return answers

    def decoded(self, tokens: Sequence[int]) -> str:
        """Text of tokens, without what only marks it up."""
        with self._tokenizing:
            return str(self._loaded.tokenizer.decode(list(tokens), skip_special_tokens=True))

    def token(self, token: int) -> str:
        """Text of one token, whatever it is."""
        with self._tokenizing:
            return str(self._loaded.tokenizer.decode([token], skip_special_tokens=False))


def _wanted(asked: ChatAsked | TextAsked) -> tuple[int | None, int | None, bool]:
    """Tokens of an answer, how many chances are told with each, and whether the prompt comes before it.

    Raises:
        TrimtabError: fields are at odds.
    """
    if isinstance(asked, TextAsked):
        if asked.stream and (asked.echo or asked.logprobs is not None):
            raise TrimtabError("stream: with echo or logprobs, which are told of whole answers; expected one of both")
        return asked.max_tokens, asked.logprobs, bool(asked.echo)
    limits = {asked.max_tokens, asked.max_completion_tokens} - {None}
    if len(limits) > 1:
        raise TrimtabError("max_completion_tokens: differs from max_tokens; expected one of both")
    if asked.stream and asked.logprobs:
        raise TrimtabError("stream: with logprobs, which are told of whole answers; expected one of both")
    if asked.top_logprobs is not None and not asked.logprobs:
        raise TrimtabError("top_logprobs: without logprobs; expected logprobs true")
    return next(iter(limits), None), (asked.top_logprobs or 0) if asked.logprobs else None, False
