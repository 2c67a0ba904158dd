"""What a request may say: OpenAI's fields as far as they are heeded here, and `steering`.

A field that would be left out of account in silence is refused, but for those that change no answer.
"""

from typing import Annotated, Literal

from pydantic import Field

from trimtab.settings.base import Settings
from trimtab.settings.rollouts import Rule, Unit

Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Tokens = Annotated[int, Field(ge=0)]
Zero = Annotated[float, Field(ge=0, le=0)]
Likeliest = Annotated[int, Field(ge=0, le=20)]
Stop = Annotated[str, Field(min_length=1, max_length=500)]
Stops = Annotated[tuple[Stop, ...], Field(max_length=16)]


class Push(Settings):
    """What is done to the model while it reads and answers one request."""

    vector: str
    """Method and trait of a vector, such as lda.autonomy."""
    dose: float
    """How far, in the unit; of edits, the share that is applied."""
    unit: Unit = "residual_share"
    """What a dose counts."""
    timing: str = "all"
    """Which tokens are steered."""
    rule: Rule | None = None
    """What the vector does to the stream. None adds it, and applies edits as they were made."""


class StreamOptions(Settings):
    include_usage: bool = False
    """Whether a last chunk counts tokens."""


class Asked(Settings):
    """What both kinds of requests may say."""

    model: str
    """The served model's name, and behind a colon a vector and its dose."""
    steering: Push | None = None
    """A vector, its dose and more, where the model's name says none."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """1 if it isn't given; 0 takes the likeliest token."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """The share of all chances that is drawn from."""
    seed: Seed | None = None
    """Of the draws. Without one, a new one is drawn, and the answer tells it."""
    stop: Stop | Stops | None = None
    """Texts before which an answer ends."""
    n: Annotated[int, Field(ge=1, le=16)] | None = None
    """How many answers."""
    stream: bool | None = None
    """Whether the answer comes in pieces, as it is written."""
    stream_options: StreamOptions | None = None
    """What else is streamed."""
    user: str | None = None
    """Changes nothing."""
    frequency_penalty: Zero | None = None
    """No penalty is offered."""
    presence_penalty: Zero | None = None
    """No penalty is offered."""
    logit_bias: None = None
    """No bias is offered."""

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else self.stop or ()


class Part(Settings):
    type: Literal["text"]
    """What kind of part it is."""
    text: str
    """What it says."""


class Message(Settings):
    role: Literal["system", "user", "assistant"]
    """Whose message it is."""
    content: str | tuple[Part, ...]
    """What it says, as text or as parts of text."""

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)

    @property
    def plain(self) -> dict[str, str]:
        """As chat templates take it."""
        return {"role": self.role, "content": self.text}


class TextFormat(Settings):
    type: Literal["text"]
    """What is answered."""


class ChatAsked(Asked):
    """A request for chat completions."""

    messages: tuple[Message, ...]
    """The chat so far."""
    max_tokens: Tokens | None = None
    """Tokens of an answer, at most."""
    max_completion_tokens: Tokens | None = None
    """The same."""
    logprobs: bool | None = None
    """Whether each token's chance is told."""
    top_logprobs: Likeliest | None = None
    """How many of the likeliest tokens are told with each."""
    response_format: TextFormat | None = None
    """No other than text is offered."""


class TextAsked(Asked):
    """A request for completions."""

    prompt: str | tuple[str, ...] | tuple[Tokens, ...] | tuple[tuple[Tokens, ...], ...]
    """A text or tokens to go on from, or a list of such."""
    max_tokens: Tokens | None = None
    """Tokens of an answer, at most; 16 if it isn't given."""
    logprobs: Likeliest | None = None
    """Each token's chance is told, and so many of the likeliest."""
    echo: bool | None = None
    """Whether the prompt comes before the answer."""

    @property
    def prompts(self) -> list[str | tuple[int, ...]]:
        """One or more, in order."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if self.prompt and all(isinstance(each, int) for each in self.prompt):
            return [self.prompt]  # type: ignore[list-item]
        return list(self.prompt)  # type: ignore[arg-type]
