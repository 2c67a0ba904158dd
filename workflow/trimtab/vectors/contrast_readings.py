"""Rows of the running model at a trait's own contrast prompts, at any site.

They are of last tokens, of what the agent wrote, of all tokens, or of layers in order, each edited before the next is
read. All else that methods ask of the model is in `trimtab.vectors.readings`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.agent.protocol import Protocol
from trimtab.forward.sites import Site, as_site
from trimtab.steering.edits import Edits
from trimtab.steering.packs import PACK, replays
from trimtab.steering.replay import Replay
from trimtab.vectors.asked import Fit, TokenRows
from trimtab.vectors.cost import Cost
from trimtab.vectors.unmade import CannotBeMade

Message = Mapping[str, str]
Packs = Sequence[tuple[list[int], Replay]]
"""Prompts by number, and the replay that reads them."""


class ContrastReadings:
    """Readings of one model at one site, at contrast prompts of the two poles."""

    def __init__(
        self,
        model: PreTrainedModel,
        protocol: Protocol,
        place: Site | int,
        poles: Sequence[Sequence[Sequence[Message]]],
    ) -> None:
        """
        Args:
            place: the site; a layer's number is the stream after it.
            poles: conversations of the high and of the low pole, in the order of the pairs.
        """
        self._model, self._protocol, self._site, self._poles = model, protocol, as_site(place), poles
        self.spent: dict[str, Cost] = {}
        """By the name of a reading, what it has cost so far."""

    def _spend(self, name: str, forwards: int, backwards: int = 0) -> None:
        self.spent[name] = self.spent.get(name, Cost()) + Cost(forwards, backwards)

    def at(self, site: Site) -> tuple[Float[Tensor, "pair width"], Float[Tensor, "pair width"]]:
        """Rows at a site of the last tokens of the contrast prompts, of the high and of the low pole."""
        self._spend("at", self._prompts)
        return self._of_pairs([site], lambda replay: {site: replay.at(site, replay.ends)})[site]

    def ends(
        self, sites: Sequence[Site]
    ) -> Mapping[Site, tuple[Float[Tensor, "pair width"], Float[Tensor, "pair width"]]]:
        """Rows at many sites of the last tokens of the contrast prompts, of the high and of the low pole."""
        self._spend("ends", self._prompts)
        return self._of_pairs(sites, lambda replay: replay.at_ends(sites))

    def written(
        self, sites: Sequence[Site]
    ) -> Mapping[Site, tuple[Float[Tensor, "pair width"], Float[Tensor, "pair width"]]]:
        """Mean rows at sites of what the agent wrote in each contrast prompt, of the high and of the low pole."""
        self._spend("written", self._prompts)
        found = self._of_pairs(sites, lambda replay: replay.written_means(sites))
        if not all(bool(pole.isfinite().all()) for poles in found.values() for pole in poles):
            raise CannotBeMade("a contrast prompt ends before the agent's own text, or holds rows that aren't finite")
        return found

    def tokens(self, site: Site) -> Iterator[TokenRows]:
        """Rows at a site of all tokens of the contrast prompts after their header, some prompts at a time."""
        self._spend("tokens", self._prompts)
        return self._tokens(site)

    def _tokens(self, site: Site) -> Iterator[TokenRows]:
        pairs = len(self._poles[0])
        for pack, replay in self._contrast(site.after):
            prompt = torch.tensor(pack)[replay.owner.cpu()]
            yield _token_rows(replay, site, prompt % pairs, prompt < pairs)

    def in_order(self, places: Sequence[Site | int], fit: Fit) -> Edits:
        """What a function gives for each layer in order, from rows there under what it gave for those before."""
        self._spend("in_order", self._prompts)
        sites = [as_site(place) for place in places]
        sides: list[Packs] = []
        for pole in self._poles:
            prompts = [self._protocol.prompt(messages) for messages in pole]
            sides.append([*replays(self._model, prompts, sites[0].after, PACK)])
        high, low = sides
        made: Edits = ()
        last: Edits = ()
        for site in sites:
            for side, edits in ((high, ()), (low, last)):
                for _, replay in side:
                    if site != sites[0]:
                        replay.advance(site.after, edits)
            last = fit(site.layer, _of_pole(high, site, True), _of_pole(low, site, False))
            made += last
        return made

    @property
    def _prompts(self) -> int:
        """How many contrast prompts there are."""
        return sum(map(len, self._poles))

    def _contrast(self, layer: int) -> Iterator[tuple[list[int], Replay]]:
        """The contrast prompts, read up to a layer: those of the high pole, then those of the low one, by number."""
        prompts = [self._protocol.prompt(messages) for pole in self._poles for messages in pole]
        return replays(self._model, prompts, layer, PACK)

    def _of_pairs(
        self, sites: Sequence[Site], read: Callable[[Replay], Mapping[Site, Float[Tensor, "prompt width"]]]
    ) -> dict[Site, tuple[Float[Tensor, "pair width"], Float[Tensor, "pair width"]]]:
        """One row a prompt at each site, of the high and of the low pole."""
        found: dict[Site, dict[int, Tensor]] = {site: {} for site in sites}
        for pack, replay in self._contrast(min(site.after for site in sites)):
            for site, rows in read(replay).items():
                found[site] |= zip(pack, rows.cpu(), strict=True)
        rows_of = {site: torch.stack([own[i] for i in range(self._prompts)]) for site, own in found.items()}
        return {site: (rows[: len(rows) // 2], rows[len(rows) // 2 :]) for site, rows in rows_of.items()}


def _of_pole(side: Packs, site: Site, is_high: bool) -> Iterator[TokenRows]:
    """Rows of all tokens after the header of one pole's prompts."""
    for pack, replay in side:
        pair = torch.tensor(pack)[replay.owner.cpu()]
        yield _token_rows(replay, site, pair, torch.full_like(pair, is_high, dtype=torch.bool))


def _token_rows(replay: Replay, site: Site, pair: Int[Tensor, "token"], high: Bool[Tensor, "token"]) -> TokenRows:
    """Rows of all tokens of a replay after the header; pair and pole are those of each token."""
    left = (replay.ends[replay.owner] - replay.tail).cpu()
    return TokenRows(replay.at(site, replay.tail).cpu(), pair, high, replay.written.cpu(), left)
