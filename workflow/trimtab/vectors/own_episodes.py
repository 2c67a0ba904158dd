"""Rows of whole episodes, read again from the tokens that were played."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from trimtab.agent.played import Played
from trimtab.agent.protocol import Protocol
from trimtab.forward.sites import Site
from trimtab.steering.laid import Prompt
from trimtab.steering.packs import replays
from trimtab.steering.places import SYSTEM, Piece, Places, Segment
from trimtab.vectors.asked import OwnEpisode

PACK = 6
"""Episodes a sequence: attention between them is computed and thrown away, so a sequence must not grow."""


def read_rows(model: PreTrainedModel, protocol: Protocol, played: Sequence[Played], site: Site) -> list[OwnEpisode]:
    """Unsteered rows at a site of all tokens after the header, of each episode.

    Raises:
        TrimtabError: the model has no such site.
    """
    header = Segment(protocol.header_tokens(), written=False, role=SYSTEM)
    prompts: list[Prompt] = [[header, Piece(one.tokens, one.places)] for one in played]
    found: dict[int, OwnEpisode] = {}
    for pack, replay in replays(model, prompts, site.after, PACK):
        rows, owner = replay.at(site, replay.tail).cpu(), replay.owner.cpu()
        for at, i in enumerate(pack):
            texts = protocol.tokenizer.batch_decode([[token] for token in played[i].tokens])
            found[i] = OwnEpisode(played[i], texts, Places.of(torch.tensor(played[i].places)), rows[owner == at])
    return [found[i] for i in range(len(played))]
