"""A finished run as the report reads it: every artifact by its fixed name, once.

The page and the figures take all they show from here, so what the report needs of the other stages is this list.
Nothing is computed that a reader could mistake for a result: estimates come from `statistics`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from trimtab.agent.names import WITHOUT_VECTOR
from trimtab.artifacts import files
from trimtab.artifacts.manifest import Manifest
from trimtab.errors import TrimtabError
from trimtab.rollouts.conditions import Condition, conditions_of
from trimtab.rollouts.counted import turn_files
from trimtab.settings.experiment import Experiment
from trimtab.settings.gates import EditGate
from trimtab.settings.report import FigureSettings
from trimtab.settings.saes import GateSettings
from trimtab.statistics.declared import Plan, read_conditions
from trimtab.statistics.study import TRAITS
from trimtab.statistics.summary import Findings, read_findings
from trimtab.vectors.design import rule_of
from trimtab.vectors.methods import is_trained

TABLES = {
    "quality": "saes/quality.csv",
    "scores": "probes/scores.csv",
    "gaps": "probes/gaps.csv",
    "geometry": "vectors/geometry.csv",
    "doses": "vectors/doses.csv",
    "not_made": "vectors/not_made.csv",
    "gates": "rollouts/gates.csv",
    "dimensions": "vectors/dimensions.csv",
    "stability": "vectors/stability.csv",
    "comparison": "vectors/comparison.csv",
    "effects": "statistics/effects.csv",
    "models": "statistics/models.csv",
    "controls": "statistics/controls.csv",
    "contrasts": "statistics/contrasts.csv",
    "study": "statistics/study.csv",
    "dose_response": "statistics/dose_response.csv",
    "dose_fits": "statistics/dose_fits.csv",
    "structure": "statistics/structure.csv",
    "tools": "statistics/tools.csv",
    "prediction": "statistics/prediction.csv",
}
MANIFEST, PREFLIGHT, SUMMARY = "model/manifest.json", "model/preflight.json", "statistics/summary.json"
AGREEMENT, BEST_OF = "saes/agreement.csv", "rollouts/best_of.csv"
ENGINE = "rollouts/engine.json"
"""Checks of a run of which a part runs on vLLM."""
DRIFT, AXIS = "vectors/drift.csv", "assistant_axis"
"""A table that a run has whose methods hold the one whose axis it is along; among its tables it is called drift."""
TRAINED = {"trained": "vectors/training.csv", "margins": "vectors/margins.csv"}
"""Tables that a run has some of whose methods are trained through the model."""
EVALUATIONS = {name: f"evaluations/{name}.csv" for name in ("means", "conclusions")}
"""Tables of a run that has evaluators."""
NAMES = ("trait", "vector", "condition_id", "method", "timing", "gate", "tool", "outcome", "other")


@dataclass(frozen=True)
class Run:
    """The artifacts, as read, and what figures need of the config."""

    root: Path
    plan: Plan
    gates: GateSettings
    methods: tuple[str, ...]
    """Makers of vectors, as the config lists them."""
    manifest: Manifest
    checks: pd.DataFrame
    """Of the preflight."""
    summary: Findings
    tables: dict[str, pd.DataFrame]
    conditions: pd.DataFrame
    training: pd.DataFrame
    """The training curves of all SAEs, with a column `layer`."""
    turns: pd.DataFrame
    outcomes: pd.DataFrame

    @property
    def confirmatory(self) -> dict[str, str]:
        """The condition that each trait's declared claim is about."""
        return self.plan.confirmatory(self.conditions)

    @property
    def traits(self) -> list[str]:
        """Traits that were steered and have a declared outcome, as `primary` has them."""
        steered = {*self.conditions["trait"]}
        return [trait for trait in self.primary if trait in steered]

    @property
    def primary(self) -> dict[str, str]:
        """The outcome of each trait that has a declared one, the study's five first and in its order, whatever the
        config's order."""
        order = {name: place for place, name in enumerate(TRAITS)}
        return dict(sorted(self.plan.primary.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))

    @property
    def probe_scores(self) -> pd.DataFrame:
        """Nested scores of the probes on SAE latents, one row a trait and layer."""
        scores = self.tables["scores"]
        return scores[(scores["features"] == "sae") & (scores["split"] == "nested")]

    @property
    def best_scores(self) -> pd.DataFrame:
        """The same with the layer chosen inside the folds too, one row a trait: nothing chosen has seen what it "
        "scores."""
        scores = self.tables["scores"]
        return scores[(scores["features"] == "sae") & (scores["split"] == "nested_with_layer")]

    @cached_property
    def design(self) -> dict[str, Condition]:
        """The conditions by their ids, in the table's order."""
        return {each.condition_id: each for each in conditions_of(self.conditions)}

    def ids(self, which: Callable[[Condition], bool]) -> list[str]:
        """Of the conditions of a kind."""
        return [name for name, condition in self.design.items() if which(condition)]

    @property
    def applied(self) -> list[Condition]:
        """Conditions that apply a vector."""
        return [condition for condition in self.design.values() if condition.has_vector]

    def in_order(self, methods: Iterable[str]) -> list[str]:
        """Methods as the config lists them, and what has no vector after them; each once."""
        order = {name: place for place, name in enumerate([*self.methods, *WITHOUT_VECTOR])}
        return sorted(set(methods), key=lambda name: (order.get(name, len(order)), name))

    @property
    def control_methods(self) -> list[str]:
        """Methods that are run as controls, other than the declared one, random directions and hooks at dose 0."""
        controls = [each for each in self.design.values() if each.is_control and not (each.is_random or each.is_zero)]
        return [name for name in self.in_order(each.method for each in controls) if name != self.plan.method]

    def inputs(self) -> list[Path]:
        """The files read, but for the turns."""
        trained = [path for name, path in TRAINED.items() if name in self.tables]
        named = [MANIFEST, PREFLIGHT, SUMMARY, *TABLES.values(), "rollouts/conditions.csv", "rollouts/outcomes.parquet"]
        return [self.root / name for name in (*named, *([DRIFT] if "drift" in self.tables else []), *trained)]


@dataclass(frozen=True)
class WholeRun(Run):
    """A run with its whole config, which the page shows."""

    config: Experiment
    again: Mapping[int, float]
    """Share of a layer's latents that a dictionary of another seed has too, of layers that were trained twice."""
    best_of: pd.DataFrame | None
    """What unsteered episodes do that probes choose; None where none were run."""
    evaluations: Mapping[str, pd.DataFrame]
    """`EVALUATIONS` by name; empty where the experiment has no evaluators."""

    def inputs(self) -> list[Path]:
        """The files read, but for the turns."""
        more = {AGREEMENT: bool(self.again), BEST_OF: self.best_of is not None, ENGINE: bool(self.config.on_vllm)}
        more |= {EVALUATIONS[name]: True for name in self.evaluations}
        return [*super().inputs(), *(self.root / name for name, is_there in more.items() if is_there)]

    @property
    def actions(self) -> list[tuple[str, str]]:
        """Rules with their units as conditions apply them, the study's own first."""
        rollouts = self.config.rollouts
        pairs = [(condition.rule, condition.unit) for condition in self.applied]
        return list(dict.fromkeys([(rule_of(rollouts.study.method, rollouts.rule), rollouts.unit), *pairs]))

    @property
    def edit_gates(self) -> dict[str, EditGate]:
        """Gates that conditions stand behind, by name."""
        names = dict.fromkeys(condition.gate for condition in self.applied if condition.gate)
        return {name: self.config.rollouts.gates[name] for name in names}


def read_whole_run(root: Path, config: Experiment) -> WholeRun:
    """Read a run for the page.

    Raises:
        TrimtabError: an artifact is missing.
    """
    figures = FigureSettings(
        seed=config.seed, gates=config.saes.gates, methods=config.vectors.methods, statistics=config.statistics
    )
    run = read_run(root, figures)
    again: dict[int, float] = {}
    # what is pretrained has no second seed; a table of an earlier config may still lie there
    if config.saes.second_seeds and config.saes.pretrained is None:
        table = pd.read_csv(_present(root / AGREEMENT))
        again = dict(zip(table["layer"], table["alike_share"], strict=True))
    best_of = pd.read_csv(_present(root / BEST_OF)) if config.rollouts.best_of else None
    wanted = EVALUATIONS if config.evaluations.evaluators else {}
    evaluations = {name: _table(_present(root / path)) for name, path in wanted.items()}
    read = {field.name: getattr(run, field.name) for field in fields(run)}
    if config.on_vllm:
        read["checks"] = _stacked([run.checks, _checks(root / ENGINE)])
    return WholeRun(**read, config=config, again=again, best_of=best_of, evaluations=evaluations)


def read_run(root: Path, settings: FigureSettings) -> Run:
    """Read a run for the figures.

    Raises:
        TrimtabError: an artifact is missing.
    """
    manifest = Manifest.read(_present(root / MANIFEST))
    checks = _checks(root / PREFLIGHT)
    # a table of an earlier config may still lie there
    there = TABLES | ({"drift": DRIFT} if AXIS in settings.methods else {})
    there |= TRAINED if any(map(is_trained, settings.methods)) else {}
    tables = {name: _table(_present(root / path)) for name, path in there.items()}
    layers = sorted(tables["quality"]["layer"].unique())
    curves = [pd.read_csv(_present(root / f"saes/{layer}/training.csv")).assign(layer=layer) for layer in layers]
    conditions = read_conditions(_present(root / "rollouts/conditions.csv"))
    outcomes = pd.read_parquet(_present(root / "rollouts/outcomes.parquet"))
    turns = _stacked(map(pd.read_parquet, turn_files(root)))
    return Run(
        root=root,
        plan=Plan.of(settings.statistics, settings.seed),
        gates=settings.gates,
        methods=settings.methods,
        manifest=manifest,
        checks=checks,
        summary=read_findings(_present(root / SUMMARY)),
        tables=tables,
        conditions=conditions,
        training=_stacked(curves),
        turns=turns,
        outcomes=outcomes,
    )


def each(frame: pd.DataFrame) -> Iterator[Any]:
    """A frame's rows as named tuples, whose fields have the columns' own types."""
    yield from frame.itertuples()


def _checks(path: Path) -> pd.DataFrame:
    return pd.DataFrame(files.read_json(_present(path))["checks"])


def _present(path: Path) -> Path:
    if not path.exists():
        raise TrimtabError(f"{path}: not there; the report needs every stage's artifacts (run the earlier rules first)")
    return path


def _table(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path)
    # an empty name is a name: random directions have no trait
    names = [name for name in NAMES if name in table]
    return table.assign(**{name: table[name].astype(object).fillna("").astype(str) for name in names})


def _stacked(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True)
