"""What a run will take before it is submitted, stage by stage, and what it came to afterwards.

Counted from the config and the model's shape alone, in operations: a forward pass is twice the parameters that a token
goes through, and what attention adds. Hours are operations by a rate, which is a machine's own; the table has both.
Stages that load no model are minutes and counted as nothing. Counts are upper bounds where episodes may end early.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from trimtab.activations.stream import WINDOW_ROWS
from trimtab.artifacts import files
from trimtab.prompts.resources import DOMAINS
from trimtab.rollouts.conditions import common_conditions, trait_conditions
from trimtab.saes.train import SAMPLE_BATCHES
from trimtab.settings.experiment import Experiment
from trimtab.settings.rollouts import WRITTEN
from trimtab.vectors.drawn import KINDS
from trimtab.vectors.methods import needs
from trimtab.vectors.nulls import vector_names

RATES = {"cpu": 1e11, "cuda": 1e14, "auto": 1e14}
"""Operations a second, by `model.device`. cpu: about what one core of a virtual Xeon with bfloat16 units does in this
project's default run. cuda: a tenth of what data sheets promise of an H100; assumed, not measured."""

BASE = 1.0e9
"""Bytes that a process takes before any model: Python, torch, transformers and their buffers."""

HEADER = 600
"""Tokens of the few-shot header, roughly; every prompt follows it."""

GIVEN = 40
"""Tokens a turn that the agent reads: task or observation, and cues."""

TEMPLATES, LEXICAL, CONTRAST_TOKENS = 10, 32, 40
"""Templates of one kind and part that a trait has, prompts of words alone, and how long a prompt is; each template has
two poles in each domain at each fill."""

CHANCE_MEASUREMENTS, CHANCE_PROMPTS = 3, 8
"""Passes over the calibration prompts per random direction in decisions, and how many prompts these are; each pass
reads the header again."""

MEASUREMENTS = 60
"""Forward passes over the calibration prompts per vector, roughly."""
CALIBRATION_TOKENS = 20
"""Tokens recomputed in each such pass: one per prompt."""

START = 10.0
"""Seconds in which a job starts, imports torch and loads what it reads."""


@dataclass(frozen=True)
class Shape:
    """What of a model counts here."""

    parameters: int
    active: int
    """Parameters that one token goes through, without the embedding: fewer than all where there are experts."""
    layers: int
    d_model: int
    key_value: int
    """Numbers that one token leaves in the cache of one layer."""
    bytes: int
    """Of a number: 2 or 4."""

    def forward(self, tokens: float, context: float) -> float:
        """Operations for `tokens` tokens that each look back on `context`."""
        return tokens * (2 * self.active + 4 * self.layers * self.d_model * context)


class Work(NamedTuple):
    """One stage, all its jobs together; memory is that of its largest job."""

    stage: str
    jobs: int
    operations: float
    memory: float
    disk: float

    def hours(self, rate: float) -> float:
        """One job after the other."""
        return (self.jobs * START + self.operations / rate) / 3600


class Taken(NamedTuple):
    """What a finished stage came to."""

    jobs: int
    hours: float
    memory: float
    disk: float


def work(config: Experiment, shape: Shape) -> list[Work]:
    """What each stage that computes with the model or its rows will take."""
    saes, prompts, rollouts = config.saes, config.prompts, config.rollouts
    traits, layers, latents = len(config.probes.traits), len(config.layers), saes.latents
    model = BASE + shape.parameters * shape.bytes
    row = shape.d_model * shape.bytes

    streams = saes.source == "stream"
    # of a corpus that is trained on as it is captured, one shard is stored
    shards = 1 if streams else prompts.corpus.shards
    corpus = prompts.corpus.tokens * shards / prompts.corpus.shards
    templates = TEMPLATES * len(prompts.contrast.templates)
    contrast = (traits + 1) * (2 * len(DOMAINS) * templates * prompts.contrast.fills + LEXICAL)
    context = HEADER + prompts.corpus.max_tokens / 2
    captured = shape.forward(corpus + contrast * CONTRAST_TOKENS, context)
    budget = config.activations.token_budget
    batch = budget * (layers + 24) * row if isinstance(budget, int) else config.activations.memory_mb * 1e6

    dictionaries = 0 if saes.pretrained else layers + saes.second_seeds
    # encoder over all latents forwards; k of them in the decoder and in both gradients; Adam on all weights a step
    weights = 2 * shape.d_model * latents
    trained = saes.tokens * (weights + 16 * saes.k * shape.d_model + 16 * weights / saes.batch)
    training = Work("saes", dictionaries, dictionaries * trained, BASE + 6 * 4 * weights, dictionaries * 4 * weights)
    if streams and dictionaries:
        passes = 1 + saes.second_seeds
        side_by_side = layers * (6 * 4 * weights + (WINDOW_ROWS + SAMPLE_BATCHES * saes.batch) * 4 * shape.d_model)
        training = training._replace(
            jobs=passes,
            operations=training.operations + passes * shape.forward(saes.tokens, context),
            memory=model + batch + side_by_side,
        )

    turn = GIVEN + sum(getattr(rollouts, limit) for limit in WRITTEN[rollouts.protocol])
    runs = conditions(config) * prompts.scenarios * len(rollouts.seeds)
    episode = turn * rollouts.max_turns
    together = rollouts.batch_conditions
    kept = (HEADER + episode) * shape.key_value * shape.layers * shape.bytes
    cache = together * prompts_a_batch(config) * kept if isinstance(together, int) else rollouts.memory_mb * 1e6

    # where an action is due, methods that go by the prompts of all traits read them once more
    behaviour = any("prompts" in needs(method) for method in config.vectors.methods)
    due = contrast * traits / (traits + 1) * CONTRAST_TOKENS if behaviour else 0
    methods = len(vector_names(config.vectors))
    measured = methods * MEASUREMENTS * CALIBRATION_TOKENS
    decided = methods * prompts.scenarios * turn
    # at most as many layers as traits, at each all of both kinds
    drawn = len(KINDS) * config.vectors.chance_draws
    # layers up to the direction's own are read once for all; a point is in about a third of the scenarios
    after = 1 - sum(config.layers) / len(config.layers) / shape.layers
    points = HEADER + prompts.scenarios / 3 * turn
    chance = drawn * after * (CHANCE_MEASUREMENTS * (HEADER + CHANCE_PROMPTS * turn) + points)
    return [
        Work("model", 2, shape.forward(10_000, HEADER), model, shape.parameters * shape.bytes),
        Work("prompts", 1, shape.forward(prompts.corpus.transcripts * episode, HEADER), model, 0),
        Work(
            "activations",
            shards + traits + 1,
            captured,
            model + batch,
            (corpus + contrast) * layers * row,
        ),
        training,
        Work("probes", traits, 0, BASE + 8 * contrast / (traits + 1) * latents, 0),
        Work(
            "vectors",
            (3 if behaviour else 2) * traits,
            shape.forward(due + traits * (measured + decided + chance), HEADER),
            model + batch,
            0,
        ),
        Work(
            "rollouts",
            (traits + 1) * len(rollouts.seeds),
            shape.forward(runs * episode, HEADER + episode / 2),
            model + cache,
            0,
        ),
    ]


def conditions(config: Experiment) -> int:
    """How many conditions the design has."""
    rollouts = config.rollouts
    own = sum(len(trait_conditions(trait, 0, rollouts)) for trait in config.probes.traits)
    return len(common_conditions(0, rollouts)) + own


def prompts_a_batch(config: Experiment) -> int:
    return int(min(config.prompts.scenarios, config.rollouts.batch_scenarios))


def taken(results: Path, stage: str) -> Taken | None:
    """What a stage has come to so far, from the benchmarks of its jobs; None before the first."""
    records = [
        files.read_jsonl(path)[-1]
        for path in sorted((results / "benchmarks" / stage).rglob("*.jsonl"))
        if path.is_file()
    ]
    if not records:
        return None
    size = sum(path.stat().st_size for path in (results / stage).rglob("*") if path.is_file())
    seconds = sum(record["s"] for record in records)
    return Taken(len(records), seconds / 3600, max(float(record["max_rss"]) for record in records) * 1e6, size)


def _cells(jobs: int, hours: float, memory: float, disk: float) -> str:
    """Half of a line: what is planned, or what was taken."""
    return f"{jobs:>6}{hours:>8.2f}{memory / 1e9:>7.1f}{disk / 1e9:>7.2f}"


def as_text(planned: Sequence[Work], rate: float, results: Path) -> str:
    """The table of what was planned, and of what was taken so far."""
    came = [taken(results, each.stage) for each in planned]
    ended = [done for done in came if done]
    heads = f"{'jobs':>6}{'hours':>8}{'memory':>7}{'disk':>7}"
    lines = [f"{'':<12}{'  planned':<40}  taken so far"] if ended else []
    lines.append(f"{'stage':<12}{heads}{'operations':>12}{heads if ended else ''}")
    for each, done in zip(planned, came, strict=True):
        line = f"{each.stage:<12}{_cells(each.jobs, each.hours(rate), each.memory, each.disk)}{each.operations:>12.1e}"
        lines.append(line + (_cells(*done) if done else ""))
    jobs, hours = sum(each.jobs for each in planned), sum(each.hours(rate) for each in planned)
    memory, disk = max(each.memory for each in planned), sum(each.disk for each in planned)
    operations = sum(each.operations for each in planned)
    line = f"{'all':<12}{_cells(jobs, hours, memory, disk)}{operations:>12.1e}"
    if ended:
        jobs, hours = sum(done.jobs for done in ended), sum(done.hours for done in ended)
        line += _cells(jobs, hours, max(done.memory for done in ended), sum(done.disk for done in ended))
    lines.append(line)
    lines.append(f"hours: one job after the other, at {rate:.1e} operations a second")
    lines.append("memory: GB of the largest job; disk: GB")
    return "\n".join(lines)
