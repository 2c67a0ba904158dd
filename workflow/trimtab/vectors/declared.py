"""What readings of the model need to know besides the model: how first actions go with a trait, and what is at hand.

It is gathered from files in `trimtab.vectors.elsewhere`, as far as some method of the config asks for it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedModel

from trimtab.agent.played import Played
from trimtab.forward.sites import Site
from trimtab.prompts.resources import Rule
from trimtab.vectors.contrast_readings import Message
from trimtab.vectors.due import Due


@dataclass(frozen=True)
class Declared:
    """What is needed to tell how first actions go with a trait, where some method asks for that."""

    trait: str
    actions: Mapping[str, Sequence[str]]
    """Of every trait that actions show, those that its measure counts (`trimtab.agent.points`)."""
    at_due: Callable[[Site], Due]
    """What was read at a site where contrast prompts of all traits' development templates end."""
    differentiable: Callable[[], PreTrainedModel]
    """Loads the model once more, for gradients."""
    due: Sequence[Sequence[Message]]
    """Calibration tasks as conversations up to the point of the trait's measure."""
    bias: Mapping[str, float]
    """What is subtracted from each action's log-probability there."""
    episodes: Sequence[Played] = ()
    """The agent's own, unsteered, on development tasks."""
    twin: Callable[[], PreTrainedModel] | None = None
    """Loads a tuned twin of the model, where one is named."""
    roles: Mapping[str, str] = field(default_factory=dict)
    """Sentences of the system line that give the agent a role, by its name."""
    rules: Mapping[str, Rule] = field(default_factory=dict)
    """The trait's, by name."""
