"""Settings of the stage `rollouts`, and the choices of what a condition is made of."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Strict

from trimtab.settings.base import (
    AUTO,
    AboveZero,
    Automatic,
    Count,
    Listed,
    NotZero,
    Positive,
    Settings,
    Some,
    Text,
    default,
)
from trimtab.settings.engine import EngineSettings, VllmSettings
from trimtab.settings.gates import EditGate
from trimtab.settings.judge import JudgeSettings

ALWAYS = "always"
"""Name of a gate that is none."""

Applied = Annotated[
    str,
    Text(
        r"[a-z]\w*\.[a-z]\w*\.[+-]?\d+(\.\d+)?(\.L\d+)?(\.[a-z]\w*){0,2}",
        "<method>.<trait>.<dose>, such as mean_difference.deference.0.4, and more parts as .L12.keep_norm.a_gate",
    ),
]

Protocol = Literal["few_shot", "few_shot_at_once", "native", "native_thinking"]
Unit = Literal["residual_share", "absolute", "kl", "asc", "chance", "probability"]
Rule = Literal[
    "add",
    "add_relative",
    "keep_norm",
    "push_opposed",
    "project_out",
    "floor",
    "clamp",
    "rotate",
    "set_angle",
    "slerp",
    "edit_code",
]
RandomKind = Literal["random", "corpus_random"]
Coupling = Literal["gumbel", "inverse_cdf"]
StudyTiming = Literal["all", "prefill"]
OF_THOUGHTS = ("thinking", "answer")
"""Timings that part the agent's own text by its thoughts."""
ROLES = ("system", "user", "tool", "assistant")
TIMINGS = ("all", "prefill", "decode", "last_prompt", "prefill_but_last", "before_call", *ROLES, *OF_THOUGHTS)
"""Those that a block of the grid may name, besides decode_<number>."""

Timing = Annotated[
    str,
    Text("|".join((*TIMINGS, "decode_[1-9][0-9]*")), f"one of {', '.join(TIMINGS)} and decode_<number>"),
]

WRITTEN: dict[str, tuple[str, ...]] = {
    "few_shot": ("thought_tokens", "input_tokens"),
    "few_shot_at_once": ("input_tokens",),
    "native": ("reply_tokens",),
    "native_thinking": ("reply_tokens",),
}
"""The limits that count under each protocol: those of the fields that its agent writes."""

THINKING = ("few_shot", "native_thinking")
"""Protocols whose agent is asked for thoughts."""


class ProtocolSettings(Settings):
    protocol: Protocol = default("few_shot")
    """How the agent is asked for a turn. few_shot: lines of text, and its action chosen by score; few_shot_at_once:
    the same without thoughts, so that an action is decided at the prompt's last token; native: the model's own tool
    calls, through its chat template, thinking turned off where that has a switch; native_thinking: the same, turned
    on."""


Action = Literal["ask_user", "web_search", "code_execute", "file_read", "file_write", "finish"]


class WeightSettings(Settings):
    action_weights: dict[Action, AboveZero] = default({"ask_user": 5})
    """How likely the unsteered agent is to choose an action on calibration tasks, where actions that are left out have
    1: calibration makes all actions alike, and then these so many times as likely. What an agent hardly ever does has
    no room to become rarer. Protocols whose actions aren't chosen by score have them where decisions are read alone."""


class RoomSettings(Settings):
    on_no_room: Literal["report", "stop"] = default("report")
    """What happens where the unsteered agent's chance of a trait's actions is below 0.1 or above 0.9 on calibration
    tasks, so that the trait's measure can't move both ways (rollouts/room.csv). stop: the run ends before the rollouts,
    with a line for each such trait."""


class EpisodeSettings(Settings):
    """What shapes an episode."""

    max_turns: Positive = default(3)
    """Turns a rollout, at most."""

    thought_tokens: Positive | None = None
    input_tokens: Positive | None = None
    reply_tokens: Positive | None = None

    temperature: AboveZero = default(0.6)
    """Temperature of sampling."""

    coupling: Coupling = default("gumbel")
    """How conditions that share their noise draw with it. gumbel: each token of the vocabulary has noise of its own;
    inverse_cdf: one random number a token that is written, at which the distribution function is inverted. Both draw
    from the same distribution; under gumbel, conditions draw the same token more often."""

    @classmethod
    def keys(cls, section: Mapping[str, Any]) -> list[str]:
        """Without the limits of fields that the section's protocol doesn't have."""
        limits = WRITTEN[section["protocol"]]
        return [key for key in super().keys(section) if key in limits or not key.endswith("_tokens")]

    @property
    def limits(self) -> dict[str, int]:
        """`<field>_tokens` for each field that is written."""
        return {key: value for key, value in self.record().items() if key.endswith("_tokens")}


class StudySettings(Settings):
    """The study's conditions: unsteered, traits x doses x timings, and one decode-only condition a trait."""

    method: str = default("behaviour")
    """Maker of the study's vectors."""

    doses: Some[AboveZero] = default([0.025, 0.05, 0.1])
    """Doses of the study, above 0; the turned-round vector is rollouts.controls.negative."""

    timings: Some[StudyTiming] = default(["all", "prefill"])
    """Which tokens are steered; decode-only has its own key, decode_dose."""

    decode_dose: AboveZero | None = default(0.025)
    """Dose of the decode-only condition of each trait. null: no such condition."""


class ControlSettings(Settings):
    """The conditions that the study's are compared with."""

    dose: AboveZero = default(0.1)
    """All controls run at this dose. They are applied at all positions."""

    methods: Listed[str] = default(["sae_probe", "mean_difference", "raw_probe"])
    """Other makers of the same traits' vectors."""

    random: Count = default(6)
    """Random directions a trait of each kind, at that trait's layer. A verdict ranks a vector among those of all
    traits, of each kind by itself, and twenty of a kind are the fewest that allow p < 0.05."""

    random_kinds: Some[RandomKind] = default(["random", "corpus_random"])
    """Kinds of these directions: random, from the sphere, and corpus_random, as the corpus varies. Each must be among
    vectors.methods."""

    zero: bool = default(True)
    """Hooks on, dose 0."""

    negative: bool = default(True)
    """The study's vectors, turned round."""

    prompt: bool = default(True)
    """The trait is asked for in the prompt. No vector is added."""


class GridBlock(Settings):
    """All combinations of its lists. A list that is left out is the study's one choice."""

    methods: Some[str] | None = None
    """Makers of vectors. random and corpus_random mean rollouts.controls.random directions of that kind. Left out:
    the study's method."""

    traits: Some[str] | None = None
    """Some of probes.traits. Left out: all."""

    doses: Some[NotZero] | None = None
    """Negative ones turn the vector round. Left out: the controls' dose."""

    timings: Some[Timing] | None = None
    """Which tokens are steered. all, prefill, decode, last_prompt, prefill_but_last, decode_4 for the first four
    tokens of every turn, before_call for the one after which a tool is named, or the span of a role: system, user,
    tool, assistant. Of the agent's own text, thinking is its thoughts and answer all else, for protocols few_shot and
    native_thinking. Left out: all."""

    layers: Some[Count] | None = None
    """Where the vector is added. Left out: the layer of the trait's probe."""

    also: Some[Applied] | None = None
    """What is applied as well in each condition, all of it at once: <method>.<trait>.<dose>, such as
    mean_difference.deference.0.4 or random_0.deference.0.4. Vectors are added at their own layer and behind no gate,
    edits are as made. Another layer, rule or gate follows, as in mean_difference.deference.0.4.L12.keep_norm.ends; unit
    and timing are the condition's. Left out: nothing."""

    gates: Some[str] | None = None
    """Names of rollouts.gates, or always, which is no gate. Left out: always."""

    rules: Some[Rule] | None = None
    """What a vector does to the stream. Left out: rollouts.rule, and for a method that makes edits, as it made them."""


class CommonDesign(Settings):
    """What the conditions without a trait depend on."""

    unit: Unit = default("kl")
    """What a dose counts. residual_share: share of the mean residual norm at the layer; absolute: L2 length; kl: nats
    from the unsteered next-token distribution; asc: nats too, by a bound in closed form; chance: that of the first
    actions that the trait's declared outcome counts, at contrast prompts kept for choosing; probability: what a
    logistic probe shall say of every row at least, for logistic_probe and raptor. docs/doses.md says which rules,
    timings and layers go with kl, and so with chance, and which with asc."""

    rule: Rule = default("add")
    """What a vector does to the stream. The formulas are in workflow/trimtab/steering, in changes.py and codes.py. A
    dose is a length for add, keep_norm and edit_code; a length from the mean row for floor and clamp; a share for
    add_relative, push_opposed, project_out and slerp; degrees for rotate and set_angle. Methods that make edits and no
    vector have no rule: their dose is the share of the edits that is applied."""

    controls: ControlSettings


class Design(CommonDesign):
    """What a trait's conditions depend on."""

    study: StudySettings

    gates: dict[str, EditGate] = default({})
    """Gates by name, for blocks of the grid: what opens the edits of their conditions. A name is of small letters,
    digits and _."""

    grid: Annotated[tuple[GridBlock, ...], Strict(False)] = default([])
    """More conditions, block by block, in addition to the study's and their controls. A block is all combinations of
    its lists."""


class BatchSettings(Settings):
    """How many episodes share a batch of the model."""

    batch_conditions: Automatic = default("auto")
    """Conditions per batch, or auto. auto takes as many as memory_mb allows. Fewer, larger batches are faster."""

    batch_scenarios: Positive = default(50)
    """Scenarios per batch. Memory grows with conditions x scenarios."""

    memory_mb: Positive | None = None
    """Memory for a batch in megabytes, weights not counted. Used only where batch_conditions is auto."""

    @classmethod
    def keys(cls, section: Mapping[str, Any]) -> list[str]:
        """Without `memory_mb` where a number says how many conditions share a batch: there it can't change one."""
        kept = super().keys(section)
        return kept if section["batch_conditions"] == AUTO else [key for key in kept if key != "memory_mb"]


class Rollouts(EngineSettings, BatchSettings, Design, EpisodeSettings, RoomSettings, WeightSettings, ProtocolSettings):
    """Batches of steered agent episodes."""

    thought_tokens: Positive = default(10)
    """New tokens a thought, at most."""

    input_tokens: Positive = default(6)
    """New tokens a call's argument, at most."""

    reply_tokens: Positive = default(512)
    """New tokens a turn of the native protocols, thoughts among them, at most. The two above don't count there."""

    memory_mb: Positive = default(1500)
    """Memory for a batch in megabytes, weights not counted: for keys and values with engine vllm, and with
    transformers where batch_conditions is auto."""

    seeds: Some[Count] = default([0])
    """Rollouts a scenario and condition, one a seed. Sampling noise is shared by all conditions of a scenario and
    seed."""

    best_of: Count = default(0)
    """Unsteered episodes of each scenario among which each trait's probe chooses: rollouts/best_of.csv says what the
    best of one, two and so on up to these would do. 0: none are run."""

    vllm: VllmSettings

    judge: JudgeSettings
