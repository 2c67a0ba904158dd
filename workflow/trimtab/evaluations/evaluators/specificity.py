"""Whether a vector goes by what a text means or by its words, and whether its latent can be told from others."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from trimtab.evaluations.conclusions import Conclusion, Means
from trimtab.evaluations.contract import OfTrait, by_trait
from trimtab.evaluations.evaluators.anti_steerable import signs
from trimtab.evaluations.items import NearMiss
from trimtab.evaluations.steered import TOGETHER, Dictionary, Steered
from trimtab.forward.sites import Site
from trimtab.rollouts.conditions import Condition
from trimtab.steering.edits import Edits
from trimtab.steering.packs import replays

LABEL = "Specificity"
SENTENCE = (
    "Texts that show the trait, and near misses of them, which have much the same words and mean another thing, read "
    "without steering: how well the direction in which the condition pushes tells the two apart. And the latent whose "
    "decoder lies nearest to that direction: how close another latent's decoder is to it, and how often another one is "
    "active together with it."
)
SOURCE = "after 2601.03047"
ITEMS = "near_misses"
NEEDS = "actions dictionaries"
COST = "one pass over sixteen texts of about fifteen tokens, for all conditions of a trait together"
MEASURES = {
    "above_near_miss": (
        "texts of the trait above the near miss",
        "Share of the texts that show the trait which lie farther along the condition's push than this near miss; the "
        "mean is the area under the ROC curve, and one half is chance.",
        "share",
    ),
    "nearest_latent": (
        "cosine of the nearest latent",
        "Highest cosine of the condition's push with a latent's decoder; the same for all texts, as the next two.",
        "",
    ),
    "sibling_cosine": (
        "cosine of its nearest sibling",
        "Highest cosine of that latent's decoder with another one's: 1 for twins.",
        "",
    ),
    "sibling_together": (
        "active with a sibling",
        "Of the tokens of these texts at which that latent or another is active, the share at which both are, of the "
        "latent for which it is highest; no number where that latent is never active.",
        "share",
    ),
}


def measure(steered: Steered, items: Sequence[NearMiss]) -> pd.DataFrame:
    meant = signs(steered.conditions)

    def of_trait(trait: str) -> OfTrait:
        some = [each for each in items if each.trait == trait]
        texts = Texts(steered, some)
        found = {name: torch.full((len(steered.arms), len(some)), torch.nan, dtype=torch.float64) for name in MEASURES}
        for at, (condition, arm) in enumerate(zip(steered.conditions, steered.arms, strict=True)):
            if not some or not condition.has_vector or condition.trait != trait:
                continue
            site, push = texts.push(arm.edits, condition.layer)
            if push is None:
                continue
            # towards more of the trait, whichever way it is pushed
            push = meant[at] * push
            along = texts.ends(site).double().cpu() @ push
            found["above_near_miss"][at] = above(along[: len(some)], along[len(some) :])
            dictionary = steered.dictionaries.get(condition.layer)
            if dictionary is not None and dictionary.site == site:
                told = siblings(push, dictionary, texts.active(dictionary))
                for name, value in zip(("nearest_latent", "sibling_cosine", "sibling_together"), told, strict=True):
                    found[name][at] = value
        return [each.id for each in some], found

    return by_trait(steered, MEASURES, of_trait)


class Texts:
    """What the unsteered model makes of a trait's texts and then of their near misses, each site read once."""

    def __init__(self, steered: Steered, items: Sequence[NearMiss]) -> None:
        self._model = steered.model
        self._prompts = steered.texts([*(each.means for each in items), *(each.near for each in items)])("")
        self._ends: dict[Site, Float[Tensor, "text width"]] = {}
        self._active: dict[Site, Bool[Tensor, "token latent"]] = {}

    def ends(self, site: Site) -> Float[Tensor, "text width"]:
        """Rows of each text's last token."""
        if site not in self._ends:
            rows: dict[int, Tensor] = {}
            for pack, replay in replays(self._model, self._prompts, site.after, TOGETHER):
                rows |= zip(pack, replay.at_ends([site])[site], strict=True)
            self._ends[site] = torch.stack([rows[at] for at in range(len(rows))])
        return self._ends[site]

    def active(self, dictionary: Dictionary) -> Bool[Tensor, "token latent"]:
        """Which latents are active at each token."""
        site, sae = dictionary
        if site not in self._active:
            read = [
                sae.latents(replay.at(site, replay.tail).to(self._model.device)) > 0
                for _, replay in replays(self._model, self._prompts, site.after, TOGETHER)
            ]
            self._active[site] = torch.cat(read).cpu()
        return self._active[site]

    def push(self, edits: Edits, layer: int) -> tuple[Site, Float[Tensor, "width"] | None]:
        """Where at a layer edits act first, and the unit direction of what they add there to the texts' last rows on
        average; None for those that add nothing, or go by more than the rows."""
        there = [edit for edit in edits if edit.site.layer == layer]
        site = there[0].site if there else Site(layer)
        before = after = self.ends(site)
        for edit in there:
            if edit.change.takes_inputs:
                return site, None
            if edit.site == site:
                after = edit.change(after, edit.strength)
        added = (after - before).double().mean(0).cpu()
        return site, added / added.norm() if added.norm() > 0 else None


def above(texts: Float[Tensor, "text"], near: Float[Tensor, "near"]) -> Float[Tensor, "near"]:
    """The share of the texts above each near miss; one at the same place is half above it."""
    over = texts[None] - near[:, None]
    return ((over > 0).double() + 0.5 * (over == 0).double()).mean(1)


def siblings(
    push: Float[Tensor, "width"], dictionary: Dictionary, active: Bool[Tensor, "token latent"]
) -> tuple[float, float, float]:
    """The highest cosine of a direction with a decoder; of that latent's decoder with another's; and the highest share
    of tokens that the latent has in common with another."""
    decoders = torch.nn.functional.normalize(dictionary.sae.W_dec.double().cpu(), dim=1)
    cosines = decoders @ push
    nearest = int(cosines.argmax())
    others = torch.arange(len(decoders)) != nearest
    own = active[:, nearest, None]
    both, either = ((each.sum(0).double()) for each in (active & own, active | own))
    together = float((both / either)[others].max()) if own.any() else float("nan")
    return float(cosines[nearest]), float((decoders @ decoders[nearest])[others].max()), together


def concluded(means: Means, conditions: Sequence[Condition]) -> Iterator[Conclusion]:
    """How well each vector tells its trait's texts from near misses, and what its nearest latent is close to."""
    quantities: Mapping[str, str] = {
        "auroc_against_near_misses": "above_near_miss",
        "cosine_of_the_nearest_latent": "nearest_latent",
        "cosine_of_its_nearest_sibling": "sibling_cosine",
        "share_active_with_a_sibling": "sibling_together",
    }
    for each in conditions:
        if each.has_vector:
            for quantity, measured in quantities.items():
                yield Conclusion(quantity, each.condition_id, means.mean(each.condition_id, measured))
