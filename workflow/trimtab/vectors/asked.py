"""What a method may ask of the running model (`Readings`), and the nouns in which it is told.

Rows of the cache and of the corpus cost no pass of the model and are part of the material itself
(`trimtab.vectors.contract`). How the model is read is in `trimtab.vectors.readings`, and what a reading costs in
`trimtab.vectors.cost`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from jaxtyping import Bool, Float, Int
from torch import Tensor

from trimtab.agent.played import Played
from trimtab.forward.sites import Site
from trimtab.prompts.resources import Rule
from trimtab.steering.edits import Edits
from trimtab.steering.places import Places
from trimtab.vectors.cost import Cost
from trimtab.vectors.objective import Learned, Objective, Plan

if TYPE_CHECKING:
    # whoever reads a vector's parts needs no models of transformers
    from trimtab.forward.writers import Writer
    from trimtab.vectors.vocabulary import Vocabulary


class TokenRows(NamedTuple):
    """Rows of all tokens of some contrast prompts after their header, with what is known of each token."""

    rows: Float[Tensor, "token width"]
    pair: Int[Tensor, "token"]
    """The prompt's, as in `Material.high` and `low`."""
    high: Bool[Tensor, "token"]
    """Whether the prompt is of the high pole."""
    written: Bool[Tensor, "token"]
    """Whether the agent wrote it."""
    left: Int[Tensor, "token"]
    """How many tokens of the prompt come after it: 0 for the last, whose rows `Material` holds."""


class Behaviour(NamedTuple):
    """What the agent is about to do at contrast prompts of all traits, whatever their poles."""

    rows: Float[Tensor, "prompt d_model"]
    """After the material's layer, where an action is due."""
    log_odds: Float[Tensor, "prompt"]
    """Of the first actions that the trait's declared outcome counts, in nats."""


class Gradients(NamedTuple):
    """By which rows, where added to all tokens after the material's layer, first actions become likelier fastest.

    Means over calibration tasks, in nats a unit of length.
    """

    own: Float[Tensor, "d_model"]
    """Of the log-odds of the actions that the trait's declared outcome counts."""
    others: Mapping[str, Float[Tensor, "d_model"]]
    """Of the mean score of each other trait's actions less that of the rest, but for what is the trait's own in it:
    actions compete, so that what makes one likelier makes others less likely."""


Fit = Callable[[int, Iterator[TokenRows], Iterator[TokenRows]], Edits]
"""From a layer, and rows there of all tokens of the high pole's prompts as they are and of the low pole's under the
edits of the layers before, to edits at that layer."""


class OwnEpisode(NamedTuple):
    """One of the agent's own unsteered episodes on a development task."""

    played: Played
    texts: list[str]
    """Of each token after the header."""
    places: Places
    """Of the same."""
    rows: Float[Tensor, "token width"]
    """Of the same, at the site that was asked for."""


class Tried(NamedTuple):
    """What edits do to the trait's first actions at contrast prompts."""

    log_odds: Float[Tensor, "edits pole pair"]
    """Of the actions that the trait's declared outcome counts, in nats, at prompts of `high` and of `low`."""
    unsteered: Float[Tensor, "pole pair"]
    """The same without an edit."""
    kl: Float[Tensor, "edits pole pair"]
    """From the unsteered next-token distribution to the edited one, in nats, where an action is due."""


class Twin(NamedTuple):
    """The model beside one that was tuned from it, at the prompts of `high` and `low`, where an action is due."""

    model: Float[Tensor, "pole pair"]
    """Log-odds of the actions that the trait's declared outcome counts, in nats."""
    twin: Float[Tensor, "pole pair"]
    rows: Mapping[int, tuple[Float[Tensor, "pole pair d_model"], Float[Tensor, "pole pair d_model"]]]
    """By layer, of the model and of the twin."""


class Readings(Protocol):
    """What only the running model can tell (`trimtab.vectors.readings`); read when a method asks."""

    @property
    def spent(self) -> Mapping[str, Cost]:
        """By the name of a reading, what it has cost so far."""

    @property
    def entropies(self) -> Float[Tensor, "pole pair"]:
        """Of the action's distribution at the prompts of `high` and `low`, in nats."""

    @property
    def prompted(self) -> tuple[Float[Tensor, "task d_model"], Float[Tensor, "task d_model"]]:
        """Rows of the same tasks with and without the trait asked for in the system line."""

    def at(self, site: Site) -> tuple[Float[Tensor, "pair width"], Float[Tensor, "pair width"]]:
        """Rows at any site, of the last tokens of the prompts of `high` and `low`, pair by pair.

        Raises:
            TrimtabError: the model has no such site.
        """

    def tokens(self, site: Site) -> Iterator[TokenRows]:
        """Rows at any site of all tokens of these prompts after their header, some prompts at a time: no more are in
        memory than the caller keeps.

        Raises:
            TrimtabError: the model has no such site.
        """

    def episodes(self, site: Site) -> list[OwnEpisode]:
        """The agent's own, several on each development task, with rows at any site; a method that asks NEEDS episodes.

        Raises:
            TrimtabError: the model has no such site.
        """

    @property
    def behaviour(self) -> Behaviour:
        """At the contrast prompts of all traits' development templates; a method that asks NEEDS prompts."""

    @property
    def gradients(self) -> Gradients:
        """On calibration tasks; a method that asks NEEDS actions."""

    def ends(
        self, sites: Sequence[Site]
    ) -> Mapping[Site, tuple[Float[Tensor, "pair width"], Float[Tensor, "pair width"]]]:
        """What `at` gives, of many sites in one pass."""

    def in_order(self, places: Sequence[Site | int], fit: Fit) -> Edits:
        """What `fit` gives for each of some layers, which ascend, all together: the maps of a stream that each of them
        has already changed."""

    @property
    def heads(self) -> int:
        """How many heads an attention layer has."""

    def after(self, place: Site | int) -> "Readings":
        """The same for material of another layer, whose site it is; a number is the stream after that layer."""

    @property
    def layers(self) -> int:
        """How many the model has."""

    @property
    def writers(self) -> "list[Writer]":
        """The modules by which layers write to the stream.

        Raises:
            CannotBeMade: they are not all that a layer adds.
        """

    def weight(self, site: Site) -> Float[Tensor, "outputs inputs"]:
        """Of the linear module whose output a site is, in float32.

        Raises:
            CannotBeMade: it is no linear module.
        """

    def bias(self, site: Site) -> Float[Tensor, "outputs"]:
        """Of such a module; zeros where it has none."""

    def written(
        self, sites: Sequence[Site]
    ) -> Mapping[Site, tuple[Float[Tensor, "pair width"], Float[Tensor, "pair width"]]]:
        """Mean rows at sites of what the agent wrote in the prompts of `high` and `low`, pair by pair, in one pass.

        Raises:
            CannotBeMade: a prompt holds nothing that the agent wrote.
        """

    def attributions(self, pairs: Sequence[int], steps: int) -> list[list[Float[Tensor, "token"]]]:
        """Of the prompts of `high` and of `low` of these pairs, what the log-probability of the agent's own words owes
        to each token after the header, in nats: integrated gradients in so many steps.

        Raises:
            CannotBeMade: both prompts of all pairs hold the same words of the agent's own.
        """

    def without(
        self, pairs: Sequence[int], left_out: Sequence[Sequence[Sequence[int]]]
    ) -> Float[Tensor, "pole pair d_model"]:
        """Rows of the last tokens of the same prompts with some tokens after the header replaced by padding, which are
        told of each pole's prompt of each pair."""

    @property
    def neurons(self) -> list[Site]:
        """What linear modules give whose columns are single neurons', of layers whose MLP has one."""

    @property
    def vocabulary(self) -> "Vocabulary":
        """What tokens read as, and what the prompts of `high` and `low` say."""

    @property
    def unembedding(self) -> Float[Tensor, "token d_model"]:
        """The model's head, a row a token of its vocabulary.

        Raises:
            CannotBeMade: it is no linear layer.
        """

    @property
    def rules(self) -> Mapping[str, Rule]:
        """For the trait, by name; none where none are written. A method that asks NEEDS rules."""

    def under(self, sentences: Sequence[str]) -> list[Float[Tensor, "task d_model"]]:
        """Rows at the end of every third calibration task, with each of these in the system line; empty for none."""

    @property
    def unembedded(self) -> Float[Tensor, "d_model"]:
        """Mean row of the unembedding of the actions' first tokens that the trait's declared outcome counts, less that
        of the others; a method that asks NEEDS actions."""

    def personas(
        self, sites: Sequence[Site]
    ) -> Mapping[Site, tuple[Float[Tensor, "token width"], Float[Tensor, "role width"]]]:
        """Rows at sites of what is written in every third calibration prompt: all of them of the agent as it is, and
        the mean of each role's; a method that asks NEEDS roles."""

    def twin(self, layers: Sequence[int]) -> Twin:
        """The model and its tuned twin side by side; a method that asks NEEDS actions and twin.

        Raises:
            CannotBeMade: the config names no twin (`vectors.twin`).
        """

    def tried(self, edits: Sequence[Edits], pairs: Sequence[int]) -> Tried:
        """What edits do at the prompts of these pairs; a method that asks NEEDS actions."""

    def harmless(self, edits: Sequence[Edits]) -> list[float]:
        """Mean KL of the next token that edits come to at calibration tasks, where an action is due, in nats."""

    def train(
        self,
        objective: Objective,
        plan: Plan,
        selecting: Sequence[bool],
        seed: int,
        swap: Bool[Tensor, "pair"] | None = None,
    ) -> Learned:
        """What an objective comes to on the prompts of `high` and `low`, of the pairs that are not `selecting`, with
        poles that change places in those of `swap`; methods call `trimtab.vectors.training.learned`."""

    def slopes(
        self, objective: Objective, plan: Plan, selecting: Sequence[bool], swap: Bool[Tensor, "pair"] | None = None
    ) -> Mapping[str, Tensor]:
        """The gradient of an objective's loss where it starts, mean over the same pairs."""

    def margins(
        self,
        edits: Edits,
        pairs: Sequence[int],
        poles: Sequence[Sequence[Sequence[Mapping[str, str]]]] | None = None,
    ) -> Float[Tensor, "steered pair"]:
        """By how much likelier the high pole's words are than the low one's in these pairs, in nats, first unsteered
        and then under edits; of the prompts of `high` and `low` where no others are given."""
