"""Material for methods, made of small random parts; a test names what it cares about."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from planted import Planted

from trimtab.agent.played import Played
from trimtab.forward.sites import Site, as_site
from trimtab.forward.writers import Writer
from trimtab.organism.tokenizer import word_tokenizer
from trimtab.prompts.resources import Rule
from trimtab.saes.sae import SAE, TopKActivation
from trimtab.steering import places
from trimtab.steering.edits import Edits
from trimtab.steering.places import Places
from trimtab.vectors.asked import Behaviour, Gradients, OwnEpisode, TokenRows, Tried, Twin
from trimtab.vectors.contract import LinearProbe, Material
from trimtab.vectors.cost import Cost
from trimtab.vectors.objective import Course, Plan
from trimtab.vectors.training import order, train
from trimtab.vectors.vocabulary import Vocabulary

D_MODEL, D_SAE, D_INNER, D_HEADS = 6, 9, 48, 32
"""The last two are what the toy llama's MLP and its heads hold."""


def generator(seed):
    return torch.Generator().manual_seed(seed)


def probe(weight, scale=None, mean=None, intercept=0.0):
    weight = torch.as_tensor(weight, dtype=torch.float32)
    return LinearProbe(
        weight,
        torch.zeros_like(weight) if mean is None else torch.as_tensor(mean, dtype=torch.float32),
        torch.ones_like(weight) if scale is None else torch.as_tensor(scale, dtype=torch.float32),
        intercept,
    )


def dictionary(decoder, k=3):
    """An SAE with this decoder; its encoder is the decoder turned over."""
    decoder = torch.as_tensor(decoder, dtype=torch.float32)
    return SAE(
        decoder.T.contiguous(), torch.zeros(len(decoder)), decoder, torch.zeros(decoder.shape[1]), TopKActivation(k)
    )


@dataclass
class Said:
    """What the model would have told."""

    entropies: torch.Tensor | None = None
    prompted: tuple[torch.Tensor, torch.Tensor] | None = None
    at_sites: tuple[torch.Tensor, torch.Tensor] | None = None
    of_tokens: Sequence[TokenRows] = ()
    behaviour: Behaviour | None = None
    gradients: Gradients | None = None
    at_many: dict[Site, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    heads: int = 4
    played: Sequence[OwnEpisode] = ()

    def episodes(self, site):
        """At a module, other rows for the same tokens, as small as those within a toy's MLP."""
        if not site.module:
            return list(self.played)
        shapes = [(len(each.texts), D_INNER) for each in self.played]
        return [
            each._replace(rows=torch.randn(shape, generator=generator(at)) / 100)
            for at, (each, shape) in enumerate(zip(self.played, shapes, strict=True))
        ]

    spent: dict[str, Cost] = field(default_factory=dict)
    writers: Sequence[Writer] = ()
    weights: dict[Site, torch.Tensor] = field(default_factory=dict)
    means: dict[Site, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    layers: int = 4
    side_by_side: Twin | None = None
    of_personas: dict[Site, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    unembedded: torch.Tensor | None = None
    neurons: Sequence[Site] = ()
    vocabulary: Vocabulary | None = None
    unembedding: torch.Tensor | None = None
    rules: dict[str, Rule] = field(default_factory=dict)
    with_sentences: dict[str, torch.Tensor] = field(default_factory=dict)
    tries: Callable[[Edits], tuple[torch.Tensor, torch.Tensor]] | None = None
    """From edits to log-odds (pole, pair) and KL at all pairs."""
    harms: Callable[[Edits], float] = lambda edits: 0.0
    words: Planted | None = None
    """Of the pairs, what a planted model that gradients pass through tells."""

    def train(self, objective, plan, selecting, seed, swap=None):
        words = (self.words if swap is None else self.words.swapped(swap)).of(objective.poles)
        fit, kept = ([pair for pair, each in enumerate(selecting) if each == which] for which in (False, True))
        batches = [[words.some(pairs)] for pairs in order(fit, plan.batch, seed)]
        return train(objective, Course(batches, [words.some(kept)]), plan, seed, swap is not None)

    def slopes(self, objective, plan, selecting, swap=None):
        words = (self.words if swap is None else self.words.swapped(swap)).of(objective.poles)
        own = {name: value.clone().requires_grad_() for name, value in objective.start.items()}
        fit = [pair for pair, kept in enumerate(selecting) if not kept]
        return objective.slopes(own, [words.some(fit)], 1.0)[1]

    def margins(self, edits, pairs, poles=None):
        words = self.words.of((0, 1)).some(pairs)
        high, low = words.log_probabilities([(), edits]).detach().unbind(1)
        return high - low

    ablated: torch.Tensor | None = None
    """Rows without some tokens, of both poles."""
    asked: dict[str, list[int]] = field(default_factory=dict)
    """By what is trained or chosen by it, the pairs that were asked for."""

    def attributions(self, pairs, steps):
        self.asked["attributions"] = list(pairs)
        return [[torch.arange(5.0) for _ in pairs] for _ in (0, 1)]

    def without(self, pairs, left_out):
        assert all(tokens == [0, 1, 2, 3] for pole in left_out for tokens in pole)
        return self.ablated[:, pairs]

    def weight(self, site):
        return self.weights[site]

    def bias(self, site):
        return torch.zeros(len(self.weights[site]))

    def written(self, sites):
        """In the stream the high pole's are those that are planted, and 1 more."""
        high, low = self.words.poles
        return {site: self.means[site] if site in self.means else (high + 1, low) for site in sites}

    def twin(self, layers):
        return self.side_by_side

    def under(self, sentences):
        return [self.with_sentences[sentence] for sentence in sentences]

    def personas(self, sites):
        return {site: self.of_personas[site] for site in sites}

    def tried(self, edits, pairs):
        still, _ = self.tries(())
        odds, moved = (torch.stack(each) for each in zip(*map(self.tries, edits), strict=True))
        return Tried(odds[..., pairs], still[..., pairs], moved[..., pairs])

    def harmless(self, edits):
        return [self.harms(each) for each in edits]

    def at(self, site):
        return self.at_sites

    def tokens(self, site):
        return iter(self.of_tokens)

    def ends(self, sites):
        return self.at_many or {site: tuple(100 * rows[:, :D_HEADS] for rows in self.at(site)) for site in sites}

    def in_order(self, places, fit):
        def pole(high):
            return (TokenRows(*(each[part.high == high] for each in part)) for part in self.of_tokens)

        return tuple(edit for place in places for edit in fit(as_site(place).layer, pole(True), pole(False)))

    def after(self, layer):
        return self


@dataclass
class Kept:
    """Rows of cached layers."""

    poles: dict[int, tuple[torch.Tensor, torch.Tensor]]

    @property
    def layers(self):
        return sorted(self.poles)

    def __call__(self, layer):
        return self.poles[layer]


@dataclass
class Around:
    """Rows that are not of the trait's own pairs."""

    corpus: torch.Tensor
    gaps: dict[str, torch.Tensor]
    highs: dict[str, torch.Tensor] = field(default_factory=dict)

    def after(self, layer):
        return self


SAID = [["I will begin boldly.", "I will decide boldly."], ["I will wait here.", "I will ask here."]]
RULES = {"code": Rule("the code. the test.", "Mend it."), "mail": Rule("the letter. the code.", "Send it.")}
VOCABULARY = Vocabulary(
    word_tokenizer([*(f" {text}" for texts in SAID for text in texts), *(f" {each.text}" for each in RULES.values())]),
    SAID,
)
"""Of a high pole that says begin, decide and boldly, and rules that share a word."""


def said(pairs, prompted):
    """Random readings; rows at sites are as small as those within a toy's MLP."""
    inner = torch.randn(2, pairs, D_INNER, generator=generator(9)) / 100
    written = torch.randn(2, pairs, prompted[0].shape[1], generator=generator(10))
    entropies = torch.rand(2, pairs, generator=generator(7))
    width = prompted[0].shape[1]
    behaviour = Behaviour(torch.randn(12, width, generator=generator(9)), torch.randn(12, generator=generator(10)))
    own, other = torch.randn(2, width, generator=generator(11))
    return Said(
        entropies,
        prompted,
        (inner[0], inner[1]),
        [tokens((written[0] + 1, written[1]))],
        behaviour,
        Gradients(own, {"persistence": other}),
        played=[
            episode(f"dev_{task}", run, ["wait", " so", "."][run:], task < 2, seed=20 + 2 * task + run, width=width)
            for task in range(4)
            for run in range(2)
        ],
        **weights(pairs, width),
    )


def episode(task, run, words, success, rows=None, seed=0, width=D_MODEL):
    """One turn: a task of one token, and words of the agent's own, after which it names a tool."""
    at = [*places.given(places.USER, 1, ends_prompt=True), *places.written(len(words), calls=True)]
    rows = torch.randn(len(at), width, generator=generator(seed)) if rows is None else torch.tensor(rows)
    played = Played(task, run, success, 1, [*range(len(at))], at, [0] * len(at))
    return OwnEpisode(played, ["Task", *words], Places.of(torch.tensor(at)), rows)


def weights(pairs, width):
    """Writers of layers, as a toy llama's, and what they take; edits that move first actions, and harm nothing."""
    found = [Writer(Site(layer, "self_attn.o_proj"), width, 2) for layer in (1, 2, 3)]
    found += [Writer(Site(layer, "mlp.down_proj"), D_INNER, 0) for layer in (1, 2, 3)]
    draws = {one.site: generator(20 + at) for at, one in enumerate(found)}

    def tries(edits):
        return torch.stack([torch.full((pairs,), -1.0), torch.full((pairs,), float(len(edits)))]), torch.zeros(2, pairs)

    return {
        "writers": found,
        "weights": {one.site: torch.randn(width, one.inputs, generator=draws[one.site]) for one in found},
        "means": {
            one.site.inputs: tuple(torch.randn(2, pairs, one.inputs, generator=draws[one.site])) for one in found
        },
        "side_by_side": Twin(
            torch.tensor([[-1.0], [1.0]]).expand(2, pairs),
            torch.tensor([[1.0], [-1.0]]).expand(2, pairs),
            {2: tuple(torch.randn(2, 2, pairs, width, generator=generator(32)))},
        ),
        "of_personas": {
            Site(2): (
                torch.randn(12, width, generator=generator(30)) + 4,
                torch.randn(5, width, generator=generator(31)),
            )
        },
        "ablated": torch.randn(2, pairs, width, generator=generator(40)),
        "unembedded": torch.randn(width, generator=generator(19)),
        "neurons": [one.site for one in found if not one.heads],
        "vocabulary": VOCABULARY,
        "unembedding": torch.randn(len(VOCABULARY.pieces), width, generator=generator(33)),
        "rules": RULES,
        "with_sentences": {
            sentence: torch.randn(3, width, generator=generator(34 + at))
            for at, sentence in enumerate(["", *(each.rule for each in RULES.values())])
        },
        "tries": tries,
        "words": Planted(
            torch.randn(2, pairs, width, generator=generator(40)), torch.randn(5, width, generator=generator(41))
        ),
    }


def tokens(poles):
    """One written token a prompt, whose rows are given: of the high pole, then of the low one."""
    count = [len(rows) for rows in poles]
    pair, high = torch.cat([torch.arange(n) for n in count]), torch.arange(sum(count)) < count[0]
    return TokenRows(torch.cat(poles), pair, high, torch.ones_like(high), torch.zeros_like(pair))


def material(**parts):
    high = parts.get("high", torch.randn(8, D_MODEL, generator=generator(0)) + 1)
    pairs, width = high.shape
    asked = torch.randn(2, 4, width, generator=generator(5))
    defaults = {
        "trait": "autonomy",
        "layer": 2,
        "high": high,
        "low": torch.randn(pairs, width, generator=generator(1)),
        "selecting": [pair % 3 == 2 for pair in range(pairs)],
        "latent_probe": probe(torch.randn(D_SAE, generator=generator(2))),
        "residual_probe": probe(torch.randn(width, generator=generator(3))),
        "logistic_probe": probe(torch.randn(width, generator=generator(6)), intercept=0.25),
        "penalty": 10.0,
        "raw_penalties": (10.0, 1.0),
        "association": torch.linspace(-1, 2, D_SAE),
        "sae": dictionary(torch.randn(D_SAE, width, generator=generator(4))),
        "readings": said(pairs, (asked[0] + 1, asked[1])),
        "elsewhere": Around(
            torch.randn(20, width, generator=generator(12)),
            {"persistence": torch.randn(width, generator=generator(13))},
            {"persistence": torch.randn(width, generator=generator(14))},
        ),
        "seed": 7,
        "imported": torch.randn(width, generator=generator(8)),
        "training": Plan(passes=24, looks=2),
    }
    defaults["dictionary"] = lambda layer: parts.get("sae", defaults["sae"])
    others = torch.randn(2, 2, pairs, width, generator=generator(15)) + torch.tensor([1.0, -1.0])[:, None, None]
    own = parts.get("layer", 2)
    defaults["rows"] = Kept(
        {own: (high, parts.get("low", defaults["low"])), **{own - 1 + 2 * at: tuple(others[at]) for at in (0, 1)}}
    )
    return Material(**{**defaults, **parts})
