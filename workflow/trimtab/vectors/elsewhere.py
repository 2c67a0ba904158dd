"""What a trait's vectors may be made from besides its own pairs: other traits' prompts and rows, the corpus, and what
the agent itself did.

Rows are not read before a method asks. Of contrast prompts only development templates are, and no scenario is among
these files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.activations.reader import Cache
from trimtab.agent import played
from trimtab.agent.points import START, Decisions, conversations
from trimtab.errors import TrimtabError
from trimtab.model.source import differentiable, twin_of
from trimtab.prompts import resources
from trimtab.prompts.contrast import DEVELOPMENT
from trimtab.settings.statistics import PrimarySettings
from trimtab.vectors import due
from trimtab.vectors.declared import Declared
from trimtab.vectors.material import Pairs, TraitFiles, read_pairs

CORPUS_ROWS = 8192
"""So many of a shard are read: a few dozen documents, which differ far more than a document's rows do."""


class ElsewhereSettings(PrimarySettings):
    """Declared outcomes and files of all traits, a file of the corpus and one of the agent's own episodes, roles, rules
    and a twin, as far as some method needs them."""

    prompts: tuple[str, ...]
    """prompts/contrast/<trait>.jsonl of every trait."""
    caches: tuple[str, ...]
    """activations/contrast/<trait>.h5 of the same."""
    due: tuple[str, ...]
    """vectors/due/<trait>.parquet of the same."""
    corpus: tuple[str, ...]
    """One shard of activations/corpus."""
    episodes: tuple[str, ...]
    """rollouts/development.jsonl."""
    roles: tuple[str, ...]
    """roles.yaml."""
    rules: tuple[str, ...]
    """rules.yaml."""
    twin: str | None
    """Folder of a tuned twin of the model."""


@dataclass(frozen=True)
class ElsewhereFiles:
    """Files of all traits and of the corpus, for one trait."""

    trait: str
    layer: int
    kind: str
    """Which kind of contrast prompts (`probes.contrast`)."""
    given: ElsewhereSettings
    decisions: Decisions

    @classmethod
    def beside(cls, trait: str, made: TraitFiles, given: ElsewhereSettings, points: Path) -> "ElsewhereFiles":
        """For the trait whose files those are.

        Args:
            points: decisions.yaml.
        """
        return cls(trait, made.layer, made.kind, given, Decisions.read(points))

    @property
    def caches(self) -> list[Path]:
        """Every cache among the files."""
        return [*map(Path, (*self.given.caches, *self.given.corpus))]

    @property
    def read(self) -> list[Path]:
        """Every file that vectors may depend on."""
        given = self.given
        twin = [] if given.twin is None else sorted(Path(given.twin).glob("*.safetensors"))
        return [*map(Path, (*given.prompts, *given.caches, *given.due, *given.corpus, *given.episodes)), *twin]

    def record(self) -> dict[str, Any]:
        """What is declared, for provenance; nothing where no method goes by it."""
        found: dict[str, Any] = {}
        if self.given.primary:
            measured = {trait: asdict(each) for trait, each in self.decisions.measured(self.given.primary).items()}
            found |= {"primary": dict(self.given.primary), "measures": measured}
        if self.given.roles:
            found["roles"] = self._roles
        if self.given.rules:
            found["rules"] = {name: each._asdict() for name, each in self._rules.items()}
        return found

    @property
    def _roles(self) -> dict[str, str]:
        return {name: text for path in self.given.roles for name, text in resources.roles(Path(path)).items()}

    @property
    def _rules(self) -> dict[str, resources.Rule]:
        every = [resources.rules(Path(path)) for path in self.given.rules]
        return {name: rule for known in every for name, rule in known.get(self.trait, {}).items()}

    def declared(
        self,
        manifest: Path,
        tools: Sequence[str],
        tasks: Mapping[str, Sequence[str]],
        offsets: Mapping[str, Mapping[str, float]],
    ) -> Declared:
        """What readings of the declared actions and of the agent's own episodes need, of the manifest's model.

        Args:
            tools: the agent's actions.
            tasks: those of the calibration, by domain.
            offsets: what is subtracted from scores, by point (rollouts/calibration.json).
        """
        measured = self.decisions.measured(self.given.primary)
        point = measured[self.trait].point if self.trait in measured else START
        return Declared(
            self.trait,
            {trait: each.actions for trait, each in measured.items()},
            partial(due.read, [*map(Path, self.given.due)], tools=tools),
            partial(differentiable, manifest),
            conversations(self.decisions.points[point], tasks),
            offsets[point],
            [one for path in self.given.episodes for one in played.read(Path(path))],
            None if self.given.twin is None else partial(twin_of, manifest, Path(self.given.twin)),
            self._roles,
            self._rules,
        )

    def after(self, layer: int) -> "ElsewhereFiles":
        """The same at another layer."""
        return replace(self, layer=layer)

    @cached_property
    def _others(self) -> Mapping[str, Pairs]:
        return {
            prompts.stem: read_pairs(prompts, cache, self.layer, self.kind, DEVELOPMENT)
            for prompts, cache in zip(map(Path, self.given.prompts), map(Path, self.given.caches), strict=True)
            if prompts.stem != self.trait
        }

    @property
    def gaps(self) -> Mapping[str, Float[Tensor, "d_model"]]:
        """Mean differences of the other traits' poles."""
        return {trait: (pairs.high.double() - pairs.low.double()).mean(0) for trait, pairs in self._others.items()}

    @property
    def highs(self) -> Mapping[str, Float[Tensor, "d_model"]]:
        """Mean rows of the other traits' high poles."""
        return {trait: pairs.high.double().mean(0) for trait, pairs in self._others.items()}

    @cached_property
    def corpus(self) -> Float[Tensor, "row d_model"]:
        """Rows of the corpus, first tokens left out.

        Raises:
            TrimtabError: there are fewer than two, or some aren't finite.
        """
        (path,) = map(Path, self.given.corpus)
        return corpus_rows(path, self.layer)


def corpus_rows(path: Path, layer: int) -> Float[Tensor, "row d_model"]:
    """Rows of a shard of the corpus, first tokens left out.

    Raises:
        TrimtabError: there are fewer than two, or some aren't finite.
    """
    with Cache.open(path) as cache:
        end = min(CORPUS_ROWS, cache.n_rows)
        rows = cache.rows(layer, 0, end).float()
        _, positions = cache.tokens(0, end)
    kept = rows[torch.tensor(positions) > 0]
    if len(kept) < 2 or not kept.isfinite().all():
        raise TrimtabError(f"{path}: layer {layer}: expected at least two rows that are finite")
    return kept
