"""The same recipe without the trait: what a method makes where all that says what the trait is was shuffled.

Poles are swapped in a random half of the pairs, and probes fitted anew with the penalties of the true ones; what the
agent is about to do (its log-odds, its uncertainty) is dealt to other prompts, and what a request adds has its sign
drawn a task. What is trained through the model is trained on the swapped pairs. Gradients of first actions stay as they
are: a method that chooses or turns by them does so here, too, on the same tasks. So the method's gain over this null is
the trait's, and this null's gain over random directions is the choice's. Methods that make edits have this null, too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from trimtab import seeds
from trimtab.forward.sites import Site
from trimtab.forward.writers import Writer
from trimtab.prompts.resources import Rule
from trimtab.steering.edits import Edits
from trimtab.steering.packing import pack
from trimtab.vectors.asked import Behaviour, Fit, Gradients, OwnEpisode, Readings, TokenRows, Tried, Twin
from trimtab.vectors.contract import Direction, Material, Rows
from trimtab.vectors.cost import Cost
from trimtab.vectors.layers import refitted
from trimtab.vectors.objective import Learned, Objective, Plan
from trimtab.vectors.unmade import CannotBeMade

if TYPE_CHECKING:
    # whoever transforms needs no models of transformers
    from trimtab.vectors.vocabulary import Vocabulary

LABEL = "shuffled labels"
SENTENCE = (
    "It is made from shuffled labels: poles swapped in a random half of the pairs, and what the agent is about to do "
    "dealt to other prompts; what gradients choose is chosen alike, so it has no aim."
)
SOURCE = ""
NULL_OF = "itself"
TAKES = "edits"
KEEPS = "code"

Of = TypeVar("Of")


def make(recipe: Callable[[Material], Direction | Edits], material: Material) -> Direction | Edits:
    """
    Raises:
        CannotBeMade: the method asks for nothing that was shuffled.
    """
    made = recipe(shuffled(material))
    # a training reads the swapped pairs, and to train once more on the true ones would tell nothing
    if not material.training.trained and same(made, recipe(material)):
        raise CannotBeMade(f"shuffled labels of {material.trait}: the method is the same without labels; leave it out")
    return replace(made, towards=None) if isinstance(made, Direction) else made


def same(one: Direction | Edits, other: Direction | Edits) -> bool:
    """Whether two vectors, or two tuples of edits, are the same."""
    if isinstance(one, Direction) or isinstance(other, Direction):
        return isinstance(one, Direction) and isinstance(other, Direction) and torch.equal(one.unit, other.unit)
    (own, said), (theirs, told) = pack(one), pack(other)
    return said == told and own.keys() == theirs.keys() and all(torch.equal(own[name], theirs[name]) for name in own)


def shuffled(material: Material) -> Material:
    """The same material, in which nothing goes with the trait."""
    seed = seeds.derive(material.seed, "labels")
    pairs = len(material.high)
    swap = torch.randperm(pairs, generator=torch.Generator().manual_seed(seed)) < pairs // 2
    high, low = swapped(swap, (material.high, material.low))
    readings, rows = ShuffledReadings(material.readings, swap, seed), SwappedRows(material.rows, swap)
    return refitted(replace(material, high=high, low=low, readings=readings, rows=rows))


def swapped(
    swap: Bool[Tensor, "pair"], poles: tuple[Float[Tensor, "pair d_model"], Float[Tensor, "pair d_model"]]
) -> tuple[Float[Tensor, "pair d_model"], Float[Tensor, "pair d_model"]]:
    """Both poles with the rows of some pairs exchanged."""
    high, low = poles
    return torch.where(swap[:, None], low, high), torch.where(swap[:, None], high, low)


@dataclass(frozen=True)
class SwappedRows:
    """Rows of all cached layers with the same pairs swapped."""

    rows: Rows
    swap: Bool[Tensor, "pair"]

    @property
    def layers(self) -> list[int]:
        return self.rows.layers

    def __call__(self, layer: int) -> tuple[Float[Tensor, "pair d_model"], Float[Tensor, "pair d_model"]]:
        return swapped(self.swap, self.rows(layer))


@dataclass(frozen=True)
class ShuffledReadings:
    """What the model tells, dealt to other prompts; gradients and episodes as they are."""

    true: Readings
    swap: Bool[Tensor, "pair"]
    seed: int

    @property
    def entropies(self) -> Float[Tensor, "pole pair"]:
        found = self.true.entropies
        return found.flatten()[self._order(found.numel())].reshape(found.shape)

    @property
    def prompted(self) -> tuple[Float[Tensor, "task d_model"], Float[Tensor, "task d_model"]]:
        asked, plain = self.true.prompted
        return swapped(self._order(len(asked)) % 2 == 0, (asked, plain))

    def at(self, site: Site) -> tuple[Float[Tensor, "pair width"], Float[Tensor, "pair width"]]:
        return swapped(self.swap, self.true.at(site))

    def tokens(self, site: Site) -> Iterator[TokenRows]:
        for part in self.true.tokens(site):
            yield part._replace(high=part.high ^ self.swap[part.pair])

    def episodes(self, site: Site) -> list[OwnEpisode]:
        return self.true.episodes(site)

    @property
    def behaviour(self) -> Behaviour:
        rows, log_odds = self.true.behaviour
        return Behaviour(rows, log_odds[self._order(len(log_odds))])

    @property
    def gradients(self) -> Gradients:
        return self.true.gradients

    def ends(
        self, sites: Sequence[Site]
    ) -> Mapping[Site, tuple[Float[Tensor, "pair width"], Float[Tensor, "pair width"]]]:
        return {site: swapped(self.swap, poles) for site, poles in self.true.ends(sites).items()}

    def in_order(self, places: Sequence[Site | int], fit: Fit) -> Edits:
        raise CannotBeMade("shuffled labels: maps of layers in order are fitted on whole poles")

    @property
    def heads(self) -> int:
        return self.true.heads

    def after(self, place: Site | int) -> Readings:
        return ShuffledReadings(self.true.after(place), self.swap, self.seed)

    def _order(self, count: int) -> Tensor:
        return torch.randperm(count, generator=torch.Generator().manual_seed(seeds.derive(self.seed, "order")))

    @property
    def spent(self) -> Mapping[str, Cost]:
        return self.true.spent

    @property
    def layers(self) -> int:
        return self.true.layers

    @property
    def writers(self) -> list[Writer]:
        return self.true.writers

    def weight(self, site: Site) -> Float[Tensor, "outputs inputs"]:
        return self.true.weight(site)

    def bias(self, site: Site) -> Float[Tensor, "outputs"]:
        return self.true.bias(site)

    def written(
        self, sites: Sequence[Site]
    ) -> Mapping[Site, tuple[Float[Tensor, "pair width"], Float[Tensor, "pair width"]]]:
        return {site: swapped(self.swap, poles) for site, poles in self.true.written(sites).items()}

    @property
    def neurons(self) -> list[Site]:
        return self.true.neurons

    @property
    def vocabulary(self) -> "Vocabulary":
        return self.true.vocabulary

    @property
    def unembedding(self) -> Float[Tensor, "token d_model"]:
        return self.true.unembedding

    @property
    def rules(self) -> Mapping[str, Rule]:
        return self.true.rules

    def under(self, sentences: Sequence[str]) -> list[Float[Tensor, "task d_model"]]:
        return self.true.under(sentences)

    @property
    def unembedded(self) -> Float[Tensor, "d_model"]:
        return self.true.unembedded

    def personas(
        self, sites: Sequence[Site]
    ) -> Mapping[Site, tuple[Float[Tensor, "token width"], Float[Tensor, "role width"]]]:
        return self.true.personas(sites)

    def twin(self, layers: Sequence[int]) -> Twin:
        return self.true.twin(layers)

    def tried(self, edits: Sequence[Edits], pairs: Sequence[int]) -> Tried:
        swap, found = self.swap[torch.tensor(list(pairs))], self.true.tried(edits, pairs)

        def turned(poles: Float[Tensor, "*any pole pair"]) -> Float[Tensor, "*any pole pair"]:
            return torch.where(swap, poles.flip(-2), poles)

        return Tried(*map(turned, found))

    def harmless(self, edits: Sequence[Edits]) -> list[float]:
        return self.true.harmless(edits)

    def attributions(self, pairs: Sequence[int], steps: int) -> list[list[Float[Tensor, "token"]]]:
        return self._turned(pairs, self.true.attributions(pairs, steps))

    def without(
        self, pairs: Sequence[int], left_out: Sequence[Sequence[Sequence[int]]]
    ) -> Float[Tensor, "pole pair d_model"]:
        found = self.true.without(pairs, self._turned(pairs, left_out))
        return torch.where(self.swap[torch.tensor(list(pairs))][:, None], found.flip(0), found)

    def _turned(self, pairs: Sequence[int], poles: Sequence[Sequence[Of]]) -> list[list[Of]]:
        """What there is of each pole's prompts, with the same pairs swapped."""
        swap = [bool(self.swap[pair]) for pair in pairs]
        return [[poles[pole ^ turn][at] for at, turn in enumerate(swap)] for pole in (0, 1)]

    def train(
        self,
        objective: Objective,
        plan: Plan,
        selecting: Sequence[bool],
        seed: int,
        swap: Bool[Tensor, "pair"] | None = None,
    ) -> Learned:
        return self.true.train(objective, plan, selecting, seed, self.swap if swap is None else self.swap ^ swap)

    def slopes(
        self, objective: Objective, plan: Plan, selecting: Sequence[bool], swap: Bool[Tensor, "pair"] | None = None
    ) -> Mapping[str, Tensor]:
        return self.true.slopes(objective, plan, selecting, self.swap if swap is None else self.swap ^ swap)

    def margins(
        self,
        edits: Edits,
        pairs: Sequence[int],
        poles: Sequence[Sequence[Sequence[Mapping[str, str]]]] | None = None,
    ) -> Float[Tensor, "steered pair"]:
        return self.true.margins(edits, pairs, poles)
