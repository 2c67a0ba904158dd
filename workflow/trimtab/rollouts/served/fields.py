"""Episodes whose rows write a field a step, or choose an action: what vLLM is given at once, so that it can fill its
passes as it likes. Who answers the requests is a `Server`: `client`'s vLLM, or whatever a test puts there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from trimtab.agent.protocol import Protocol as AgentProtocol
from trimtab.artifacts import files
from trimtab.rollouts.chooser import Chooser
from trimtab.rollouts.episode import Arm, Episode, system
from trimtab.rollouts.episodes import Batch, Episodes
from trimtab.rollouts.journal import Choices
from trimtab.rollouts.player import Player
from trimtab.rollouts.served.requests import Order, Reply, Request, salt
from trimtab.settings.rollouts import EpisodeSettings
from trimtab.steering.edits import Edits
from trimtab.steering.gated import Opening
from trimtab.steering.places import Piece

OPENINGS = "openings"
"""Name of what a journal keeps of a step beside its choices."""


class Server(Protocol):
    def begin(self, chooser: Chooser, arms: Mapping[str, Edits]) -> None:
        """Be ready for requests under these edits, of which none is of strength 0, and no others."""

    def answer(self, requests: Sequence[Request], stops: Sequence[int]) -> list[Reply]:
        """Of each request, what it writes up to one of the tokens `stops`, or chooses."""


class ServedEngine(Episodes):
    """Runs episodes of a model that a server holds, under a protocol whose fields say beforehand where tokens stand."""

    def __init__(
        self,
        server: Server,
        protocol: AgentProtocol,
        settings: EpisodeSettings,
        action_bias: Mapping[str, float],
        context: float,
        dtype: str,
    ) -> None:
        super().__init__(protocol, settings, action_bias, context, dtype)
        self._server = server
        self._stops = [token for token, ends in enumerate(protocol.ends) if ends]

    def _opened(
        self, arms: Sequence[Arm], headers: Sequence[list[int]], episodes: Sequence[Episode], scenarios: int
    ) -> Batch:
        edits = {arm.condition_id: _active(arm.edits) for arm in arms}
        self._server.begin(self.chooser, {name: own for name, own in edits.items() if own})
        starts = [Piece(list(header), system(header)) for header in headers for _ in range(scenarios)]
        return Fields(self._server, self.player, self._stops, edits, list(episodes), starts)


def _active(edits: Edits) -> Edits:
    """Without what leaves every bit alone. A gate counts how it stood at an edit of strength 0 as well."""
    return tuple(e for e in edits if e.timing != "none" and (e.strength != 0 or e.gate is not None))


class Fields(Batch):
    """A batch of which every step is a request a row: its next field, written to its end, or the action."""

    def __init__(
        self,
        server: Server,
        player: Player,
        stops: Sequence[int],
        edits: Mapping[str, Edits],
        rows: list[Episode],
        starts: Sequence[Piece],
    ) -> None:
        self.rows = rows
        self._server, self._player, self._stops = server, player, stops
        self._edits, self._said = edits, list(starts)
        self._salts = {name: salt(own) for name, own in edits.items()}
        self._openings: list[list[Opening]] = [[] for _ in rows]

    def advance(self, chunks: Sequence[Piece], going: Sequence[Episode]) -> list[Choices]:
        self._feed(chunks)
        live = [row for row, episode in enumerate(self.rows) if not episode.done]
        replies = self._server.answer([self._request(row) for row in live], self._stops)
        for row, reply in zip(live, replies, strict=True):
            self._openings[row] = reply.openings
        return [reply.choices for reply in replies]

    def _feed(self, chunks: Sequence[Piece]) -> None:
        self._said = [
            Piece(said.tokens + chunk.tokens, said.places + chunk.places)
            for said, chunk in zip(self._said, chunks, strict=True)
        ]

    def _request(self, row: int) -> Request:
        episode, said = self.rows[row], self._said[row]
        condition, coming = episode.arm.condition_id, self._player.coming(episode)
        edits = self._edits[condition]
        order = Order(
            name=str(row),
            acts=coming.acts,
            draws=coming.draws,
            end=self._stops[0],
            arm=condition if edits else "",
            gated=any(edit.gate is not None for edit in edits),
            places=[*said.places, *coming.places] if edits else (),
        )
        return Request(order, said.tokens, self._salts[condition])

    def note_gates(self) -> None:
        for episode, seen in zip(self.rows, self._openings, strict=True):
            if episode.gated and episode.turns and not episode.turns[-1].gates:
                episode.turns[-1] = replace(episode.turns[-1], gates=files.canonical(seen))

    def leave(self, kept: Sequence[int]) -> None:
        self.rows = [self.rows[row] for row in kept]
        self._said = [self._said[row] for row in kept]
        self._openings = [self._openings[row] for row in kept]

    def added(self) -> dict[str, Tensor]:
        most = max(map(len, self._openings))
        rows = [[*seen, *[Opening(0, -1)] * (most - len(seen))] for seen in self._openings]
        return {OPENINGS: torch.tensor(rows, dtype=torch.float64).reshape(len(rows), most, 2)}

    def put_back(self, chunks: Sequence[Piece], added: Mapping[str, Tensor]) -> None:
        self._feed(chunks)
        self._openings = [
            [Opening(opened, int(tokens)) for opened, tokens in row if tokens >= 0] for row in added[OPENINGS].tolist()
        ]

    @property
    def has_states(self) -> bool:
        return False

    def states(self) -> dict[str, Tensor]:
        return {}

    def set_states(self, states: Mapping[str, Tensor]) -> None:
        raise NotImplementedError("rows of requests have no states")
