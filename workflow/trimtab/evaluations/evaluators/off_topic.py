"""Whether the model notices text that is off its topic, and whether latents that tell such text carry that.

In episodes of small models nothing is taken back, so a rate of corrections says little (`self_correction` counts them).
How likely a sentence that takes the text back is, after text that missed the topic against text that didn't, is a
number for any model. Latents that are found on some texts are ablated on others.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from trimtab import seeds
from trimtab.evaluations.conclusions import Conclusion, Means
from trimtab.evaluations.contract import own, rows
from trimtab.evaluations.evaluators.held_out_text import surprise
from trimtab.evaluations.items import Passage
from trimtab.evaluations.steered import TOGETHER, Dictionary, Steered
from trimtab.rollouts.conditions import Condition
from trimtab.settings.base import Positive, Share
from trimtab.steering.codes import EditCode
from trimtab.steering.edits import Edit
from trimtab.steering.packs import replays

LABEL = "Off-topic detectors"
SENTENCE = (
    "Beginnings of texts go on as they do, or as another one does: how much likelier the second makes a sentence that "
    "takes it back. Latents of the layer's dictionary that are silent in half of the texts as they are, and active in "
    "nearly all that go on as another, are ablated in the other half; and, against that, as many random latents."
)
SOURCE = "after 2602.06941"
ITEMS = "passages take_backs"
NEEDS = "dictionaries"
COST = "four passes over forty texts of about fifty tokens"
MEASURES = {
    "notices": (
        "notices what is off topic",
        "Mean log-probability of the tokens that take the text back where it went on as another text does, less the "
        "same where it went on as it does.",
        "nats a token",
    ),
    "detectors": ("detectors", "Off-topic detectors at the condition's layer, found on the other half.", "latents"),
    "without_detectors": (
        "change without detectors",
        "What ablating these detectors adds to the first measure; no number where there are none.",
        "nats a token",
    ),
    "without_random": (
        "change without random latents",
        "What ablating as many other latents that texts off their topic make active adds to it, mean over draws.",
        "nats a token",
    ),
}

SILENT = 1e-8
"""A latent is active above it."""
NONE = -1e30
"""What is added to a latent to leave none of it."""


@dataclass(frozen=True)
class Settings:
    active: Share = 0.8
    """In which share of the texts that go on as another one a detector is active, by its strongest token."""
    draws: Positive = 2
    """Sets of random latents for each set of detectors."""


Sets = Mapping[int, Sequence[int]]
"""Latents by layer."""


def measure(steered: Steered, items: Sequence[Passage]) -> pd.DataFrame:
    settings = own(Settings, steered.settings)
    found = {name: torch.full((len(steered.arms), len(items)), torch.nan, dtype=torch.float64) for name in MEASURES}
    texts = [*range(len(items))]
    for half in (0, 1):
        held = texts[half::2]
        fires = {
            layer: firing(steered, each, [items[at] for at in texts[1 - half :: 2]])
            for layer, each in steered.dictionaries.items()
        }
        told = {layer: detectors(*each, settings.active) for layer, each in fires.items()}
        plain = noticed(steered, items, held)
        found["notices"][:, held] = plain
        counts = [float(len(told[each.layer])) if each.layer in told else torch.nan for each in steered.conditions]
        found["detectors"][:, held] = torch.tensor(counts, dtype=torch.float64)[:, None]
        found["without_detectors"][:, held] = without(steered, items, held, told) - plain
        drawn = []
        for draw in range(settings.draws):
            others = {
                layer: random_latents(
                    fires[layer][1], latents, seeds.derive(steered.seed, "off_topic", layer, half, draw)
                )
                for layer, latents in told.items()
            }
            drawn.append(without(steered, items, held, others))
        found["without_random"][:, held] = torch.stack(drawn).mean(0) - plain
    return rows(steered.conditions, [item.id for item in items], found)


def firing(
    steered: Steered, dictionary: Dictionary, items: Sequence[Passage]
) -> tuple[Bool[Tensor, "matched latent"], Bool[Tensor, "deranged latent"]]:
    """Which latents are active somewhere in what follows a beginning: its own, and then every other text's."""
    shifts = [*range(len(items))]
    given = [item.given for _ in shifts for item in items]
    follows = [items[(at + shift) % len(items)].follows for shift in shifts for at in range(len(items))]
    active = torch.zeros(len(given), len(dictionary.sae.b_enc), dtype=torch.bool)
    prompts = steered.texts(given, follows)("")
    for pack, replay in replays(steered.model, prompts, dictionary.site.after, TOGETHER):
        written = replay.tail[replay.written]
        codes = dictionary.sae.latents(replay.at(dictionary.site, written).to(steered.model.device))
        count = codes.new_zeros(len(pack), codes.shape[1]).index_add(0, replay.owner[written], (codes > SILENT).float())
        active[pack] = (count > 0).cpu()
    return active[: len(items)], active[len(items) :]


def detectors(
    matched: Bool[Tensor, "matched latent"], deranged: Bool[Tensor, "deranged latent"], share: float
) -> list[int]:
    """Latents that no text that goes on as it does makes active, and such a share of the others does."""
    # without another text nothing is off topic
    if not len(deranged):
        return []
    tells = ~matched.any(0) & (deranged.double().mean(0) >= share)
    return [int(each) for each in tells.nonzero()[:, 0]]


def random_latents(deranged: Bool[Tensor, "deranged latent"], told: Sequence[int], seed: int) -> list[int]:
    """As many latents as these, of the others that some text off its topic makes active; none where there are fewer."""
    alive = deranged.any(0)
    alive[list(told)] = False
    others = alive.nonzero()[:, 0]
    drawn = torch.randperm(len(others), generator=torch.Generator().manual_seed(seed))[: len(told)]
    return [int(each) for each in others[drawn]] if len(drawn) == len(told) else []


def noticed(steered: Steered, items: Sequence[Passage], held: Sequence[int]) -> Float[Tensor, "condition text"]:
    """By how much a sentence that takes a text back is likelier where the text went on as another one."""
    backs = steered.beside["take_backs"]
    said = [backs[at % len(backs)].given for at in held]
    own_topic = [items[at].given + items[at].follows for at in held]
    # two further on: of the same half, so that no latent was found on it
    other = [items[at].given + items[(at + 2) % len(items)].follows for at in held]
    missed = steered.scored(steered.texts([*own_topic, *other], [*said, *said]), {"missed": surprise})["missed"]
    return missed[:, : len(held)] - missed[:, len(held) :]


def without(
    steered: Steered, items: Sequence[Passage], held: Sequence[int], latents: Sets
) -> Float[Tensor, "condition text"]:
    """`noticed` where latents of each condition's layer are ablated; NaN for conditions that have none there."""
    some = [at for at, each in enumerate(steered.conditions) if latents.get(each.layer)]
    found = torch.full((len(steered.arms), len(held)), torch.nan, dtype=torch.float64)
    if some:
        ablated = {layer: ablation(steered.dictionaries[layer], own) for layer, own in latents.items() if own}
        arms = [
            replace(steered.arms[at], edits=(*steered.arms[at].edits, ablated[steered.conditions[at].layer]))
            for at in some
        ]
        conditions = [steered.conditions[at] for at in some]
        found[some] = noticed(replace(steered, conditions=conditions, arms=arms), items, held)
    return found


def ablation(dictionary: Dictionary, latents: Sequence[int]) -> Edit:
    """An edit that leaves nothing of some latents, and all else of a row."""
    code = torch.zeros_like(dictionary.sae.b_enc)
    code[list(latents)] = NONE
    return Edit(dictionary.site, EditCode(dictionary.sae, code), 1.0)


def concluded(means: Means, conditions: Sequence[Condition]) -> Iterator[Conclusion]:
    """What detectors carry of noticing beyond random latents: below 0 where it is less without them."""
    for each in conditions:
        with_detectors, with_random = (
            means.mean(each.condition_id, name) for name in ("without_detectors", "without_random")
        )
        yield Conclusion("detectors_beyond_random_latents", each.condition_id, with_detectors - with_random)
