"""Rules and timings as a reader meets them: what each is called, what it does, and what its strength counts.

The functions are in `trimtab.steering.changes` and `trimtab.steering.places`, which import torch; the workflow's start
and the report read this module alone. A test holds the names here to those there.
"""

import re
from dataclasses import dataclass

from trimtab.wording import Wording

LENGTH = "length"
"""What a strength counts that has a unit (`trimtab.vectors.units.UNITS`)."""


@dataclass(frozen=True)
class Rule(Wording):
    counts: str = LENGTH
    """What a dose counts; anything but `LENGTH` is the dose's unit itself."""

    dose: str = ""
    """What a dose says under this rule: a full sentence."""


AS_MADE = "as_made"
EDIT_CODE = "edit_code"
"""The rule of methods that make edits of their own, and no vector that a rule could apply."""

ADDED = "A dose is the length of what is added."
RULES = {
    "add": Rule(
        label="added",
        sentence="The vector, at the length of the dose, is added to each row of the residual stream that is steered.",
        source="Rimsky et al. 2024",
        dose=ADDED,
    ),
    "add_relative": Rule(
        label="added as a share of each row",
        sentence="The vector is added to each steered row of the residual stream at a share of that row's own norm.",
        source="",
        counts="share of each row's norm",
        dose="A dose is the length of what is added as a share of each row's own norm.",
    ),
    "keep_norm": Rule(
        label="added at the row's norm",
        sentence="The vector, at the length of the dose, is added to each steered row of the residual stream, which is "
        "then scaled back to the norm it had.",
        source="",
        dose="A dose is the length of what is added before the row is scaled back.",
    ),
    "push_opposed": Rule(
        label="pushed where opposed",
        sentence="Each steered row of the residual stream is pushed along the vector by a share of its own norm, up to "
        "twice as hard the more it is opposed to the vector, and then scaled back to the norm it had.",
        source="VISTA, 2502.03628",
        counts="share of each row's norm, where it isn't opposed",
        dose="A dose is that share for a row that isn't opposed.",
    ),
    "project_out": Rule(
        label="projected out",
        sentence="What each steered row of the residual stream has along the vector is taken away.",
        source="Arditi et al. 2024",
        counts="share of what lies along the vector",
        dose="A dose is the share that is taken away: at 1 nothing is left along the vector.",
    ),
    "floor": Rule(
        label="raised to a floor",
        sentence="Steered rows of the residual stream that lie below a floor along the vector are raised to it; "
        "under a negative dose those above a ceiling are lowered to it.",
        source="Lu et al. 2026",
        dose="A dose is how far the floor lies along the vector from where unsteered rows lie on average.",
    ),
    "clamp": Rule(
        label="clamped",
        sentence="Every steered row of the residual stream is given the same value along the vector.",
        source="",
        dose="A dose is how far that value lies along the vector from where unsteered rows lie on average.",
    ),
    "rotate": Rule(
        label="rotated towards",
        sentence="Each steered row of the residual stream is turned towards the vector by an angle, in the plane of "
        "the vector and the mean row.",
        source="2601.19375",
        counts="degrees",
        dose="A dose is the angle of the turn in degrees.",
    ),
    "set_angle": Rule(
        label="set to an angle",
        sentence="Each steered row of the residual stream is given the same angle from the vector, in the plane of the "
        "vector and the mean row.",
        source="2510.26243",
        counts="degrees from the vector",
        dose="A dose is that angle in degrees; 0 points along the vector.",
    ),
    "slerp": Rule(
        label="moved on the sphere",
        sentence="Each steered row of the residual stream is moved along the sphere of its own norm towards the "
        "vector, or away from it under a negative dose.",
        source="2602.08169",
        counts="share of the way to the vector",
        dose="A dose is the share of the way that is gone.",
    ),
    EDIT_CODE: Rule(
        label="edited in the code",
        sentence="What the layer's dictionary reads in each steered row of the residual stream is edited by the "
        "vector's latents, and what it doesn't read is kept.",
        source="2601.08441",
        dose="A dose is the length of what the edit would add if no latent were held at 0.",
    ),
    AS_MADE: Rule(
        label="as made",
        sentence="The method's own edits are applied where and as it made them.",
        source="",
        counts="share of the edits",
        dose="A dose is the share of the edits that is applied: 1 is as they were made.",
    ),
}

ALONG = ("add", "add_relative", "project_out", "floor", "clamp")
"""Rules under which rows move along the vector and in no other way."""

FITTED_AT_ONE_LAYER = ("floor", "clamp", "rotate", "set_angle", EDIT_CODE)
"""Rules that use the mean row or the dictionary of a vector's layer."""

GATES = {
    "trigger": Wording(
        "at trigger tokens",
        "The edits are open at tokens whose text ends in one of the gate's texts.",
        "2504.07986",
    ),
    "latent": Wording(
        "where a latent reads",
        "The edits are open at tokens in which one latent of a layer's dictionary reads above a value, before the k "
        "largest are chosen.",
        "",
    ),
    "contrast": Wording(
        "where the low pole's latent reads",
        "The edits are open at tokens in which the latent that goes best with the trait's low pole reads above a "
        "value, before the k largest are chosen.",
        "2505.14536",
    ),
    "probe": Wording(
        "where the probe says so",
        "The edits are open at tokens of which the trait's logistic probe says more than a probability.",
        "",
    ),
    "projection": Wording(
        "beyond a threshold",
        "The edits are open at tokens that lie farther along the vector than the mean row, by more than a share of the "
        "residual norm.",
        "",
    ),
}
"""Kinds of gates (`trimtab.settings.gates`)."""

REMEMBERS = {
    "nothing": Wording("each token by itself", "Each token is by itself."),
    "any": Wording("from the first on", "Once a given token has opened the gate, it stays open for the episode."),
    "first": Wording(
        "as first decided", "What the gate says where the agent first goes on holds for the rest of the episode."
    ),
}

TIMINGS = {
    "all": Wording("all tokens", "The prompt, the answers of tools and the agent's own text are steered."),
    "prefill": Wording(
        "given text only", "The prompt and the answers of tools are steered, and not what the agent writes."
    ),
    "decode": Wording(
        "own text only", "The tokens that the agent writes itself are steered, and nothing that it is given."
    ),
    "last_prompt": Wording(
        "last given token", "The last given token before the agent goes on is steered, and no other."
    ),
    "prefill_but_last": Wording(
        "given text but its last token", "All given text is steered but the last token before the agent goes on."
    ),
    "last_cue": Wording(
        "last token of a cue", "The last token of each cue, behind which the agent chooses, is steered, and no other."
    ),
    "all_but_last_cue": Wording(
        "all tokens but a cue's last", "All is steered but the last token of each cue, behind which the agent chooses."
    ),
    "system": Wording("system text", "The system text is steered, with the markup around it."),
    "user": Wording("the user's text", "The user's turns are steered, with the markup around them."),
    "tool": Wording("answers of tools", "The answers of tools are steered, with the markup around them."),
    "assistant": Wording("the assistant's turns", "The assistant's turns are steered, with the markup around them."),
    "thinking": Wording(
        "own thoughts", "What the agent writes within its thoughts is steered, with the cue or the marks around them."
    ),
    "answer": Wording(
        "own text but thoughts", "What the agent writes outside of its thoughts is steered, with the cues within it."
    ),
    "before_call": Wording(
        "last token before a tool's name",
        "The token after which the agent names the tool that it calls is steered, and no other.",
        "2504.07986",
    ),
    "none": Wording("none", "No token is steered."),
    "decode_<number>": Wording(
        "first {number} own tokens",
        "The first {number} tokens of each turn that the agent writes are steered, with the cues before and between "
        "them.",
    ),
}
"""By name; of the last, `timing` fills in the number."""

FIRST = re.compile(r"decode_([1-9][0-9]*)")
"""decode_4: the first four written tokens of every turn, and the cues before and between them."""


def timing(name: str) -> Wording:
    """
    Raises:
        KeyError: there is no such timing.
    """
    if (first := FIRST.fullmatch(name)) is None:
        return TIMINGS[name]
    template = TIMINGS["decode_<number>"]
    return Wording(template.label.format(number=first[1]), template.sentence.format(number=first[1]))
