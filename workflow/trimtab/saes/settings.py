"""What shapes one dictionary: the config's keys, and what follows from them."""

import math
from dataclasses import dataclass, fields

from trimtab.errors import TrimtabError
from trimtab.saes import schedule
from trimtab.saes.architectures import ARCHITECTURES


@dataclass(frozen=True)
class SaeSettings:
    """The keys of `saes` in the config that shape one dictionary."""

    architecture: str
    latents: int
    k: int
    tokens: int
    batch: int
    learning_rate: float
    warmup_steps: int
    aux_coefficient: float
    dead_steps: int
    resample_steps: int
    bias: str
    precision: str

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str):
                continue
            if value < 0 or (value == 0 and field.name not in ("warmup_steps", "aux_coefficient", "resample_steps")):
                raise TrimtabError(f"config, saes.{field.name}: {value} is not positive")
        if self.architecture not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            raise TrimtabError(f"config, saes.architecture: {self.architecture!r} is not one of {known}")
        if self.k >= self.latents:
            raise TrimtabError(
                f"config, saes.k: {self.k} is not below saes.latents ({self.latents}); "
                "k is how many latents stay active a token"
            )

    @property
    def steps(self) -> int:
        """Training steps in all."""
        return math.ceil(self.tokens / self.batch)

    def rate(self, step: int) -> float:
        """Learning rate of `step`, counted from 0."""
        return schedule.rate(step, self.steps, self.warmup_steps, self.learning_rate)
