"""What methods ask of the running model, beyond the cached rows: what the agent is about to do and by which rows it is
moved, its uncertainty, and what a prompt adds.

Nothing is read before a method asks, and then once. Nothing is read at a scenario, nor at a template of the split test:
tasks are those of the calibration, contrast prompts those of development templates, and episodes on tasks of their own.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.agent.played import Played
from trimtab.agent.points import OPENING
from trimtab.agent.protocol import Protocol
from trimtab.errors import TrimtabError
from trimtab.forward.hooks import decoder_layers
from trimtab.forward.linear import bias_of, weight_of
from trimtab.forward.sites import Site, as_site
from trimtab.forward.writers import Writer, writers
from trimtab.steering.edits import Edits, added, after
from trimtab.steering.replay import Prompt, Replay, packs
from trimtab.vectors.asked import Behaviour, Fit, Gradients, OwnEpisode, TokenRows, Tried, Twin
from trimtab.vectors.cost import Cost
from trimtab.vectors.log_odds import apart, contrast, log_odds
from trimtab.vectors.own_episodes import read_rows
from trimtab.vectors.unmade import CannotBeMade

LOG = logging.getLogger(__name__)

PACK = 25
"""Prompts a sequence: attention between prompts is computed and thrown away, so a sequence must not grow."""


Message = Mapping[str, str]


@dataclass(frozen=True)
class Declared:
    """What is needed to tell how first actions go with a trait, where some method asks for that."""

    trait: str
    actions: Mapping[str, Sequence[str]]
    """Of every trait that actions show, those that its measure counts (`trimtab.agent.points`)."""
    prompts: Sequence[Sequence[Message]]
    """Contrast prompts of all traits' development templates."""
    differentiable: Callable[[], PreTrainedModel]
    """Loads the model once more, for gradients."""
    due: Sequence[Sequence[Message]]
    """Calibration tasks as conversations up to the point of the trait's measure."""
    bias: Mapping[str, float]
    """What is subtracted from each action's log-probability there."""
    episodes: Sequence[Played] = ()
    """The agent's own, unsteered, on development tasks."""
    twin: Callable[[], PreTrainedModel] | None = None
    """Loads a tuned twin of the model, where one is named."""
    roles: Mapping[str, str] = field(default_factory=dict)
    """Sentences of the system line that give the agent a role, by its name."""


class ModelReadings:
    """Readings of one model at one site, for one trait."""

    def __init__(
        self,
        model: PreTrainedModel,
        protocol: Protocol,
        place: Site | int,
        poles: Sequence[Sequence[Sequence[Mapping[str, str]]]],
        tasks: Sequence[Sequence[Mapping[str, str]]],
        instruction: str,
        bias: Mapping[str, float],
        declared: Declared,
    ) -> None:
        """
        Args:
            place: the site; a layer's number is the stream after it.
            poles: conversations of the high and of the low pole, in the order of the pairs.
            tasks: conversations without a system message.
            instruction: the sentence that asks for the trait.
            bias: what is subtracted from each action's log-probability (rollouts/calibration.json).
        """
        self._model, self._protocol, self._site = model, protocol, as_site(place)
        self._poles, self._tasks, self._instruction, self._bias = poles, tasks, instruction, bias
        self._declared = declared
        self.spent: dict[str, Cost] = {}
        """By the name of a reading, what it has cost so far."""

    def _spend(self, name: str, forwards: int, backwards: int = 0) -> None:
        self.spent[name] = self.spent.get(name, Cost()) + Cost(forwards, backwards)

    @cached_property
    def entropies(self) -> Float[Tensor, "pole pair"]:
        """Of the action's distribution at every contrast prompt, in nats."""
        prompts = [self._protocol.prompt(messages) for pole in self._poles for messages in pole]
        self._spend("entropies", len(prompts))
        chances = action_chances(self._model, self._protocol, self._bias, prompts, self._site.after)
        entropies: Tensor = torch.special.entr(chances).sum(1).reshape(len(self._poles), -1)
        return entropies

    @cached_property
    def prompted(self) -> tuple[Float[Tensor, "task d_model"], Float[Tensor, "task d_model"]]:
        """Rows at the end of each task, with and without the instruction in the system line."""
        system = {"role": "system", "content": self._instruction}
        asked = [self._protocol.prompt([system, *messages]) for messages in self._tasks]
        self._spend("prompted", 2 * len(asked))
        return self._rows(asked), self._rows([self._protocol.prompt(messages) for messages in self._tasks])

    def at(self, site: Site) -> tuple[Float[Tensor, "pair width"], Float[Tensor, "pair width"]]:
        """Rows at a site of the last tokens of the contrast prompts, of the high and of the low pole."""
        found: dict[int, Tensor] = {}
        self._spend("at", self._prompts)
        for pack, replay in self._contrast(site.after):
            found |= zip(pack, replay.at(site, replay.ends).cpu(), strict=True)
        rows = torch.stack([found[i] for i in range(len(found))])
        return rows[: len(rows) // 2], rows[len(rows) // 2 :]

    def tokens(self, site: Site) -> Iterator[TokenRows]:
        """Rows at a site of all tokens of the contrast prompts after their header, some prompts at a time."""
        self._spend("tokens", self._prompts)
        return self._tokens(site)

    @property
    def _prompts(self) -> int:
        """How many contrast prompts there are."""
        return sum(map(len, self._poles))

    def _tokens(self, site: Site) -> Iterator[TokenRows]:
        pairs = len(self._poles[0])
        for pack, replay in self._contrast(site.after):
            prompt = torch.tensor(pack)[replay.owner.cpu()]
            left = (replay.ends[replay.owner] - replay.tail).cpu()
            rows, written = replay.at(site, replay.tail).cpu(), replay.written.cpu()
            yield TokenRows(rows, prompt % pairs, prompt < pairs, written, left)

    def _contrast(self, layer: int) -> Iterator[tuple[list[int], Replay]]:
        """The contrast prompts, read up to a layer: those of the high pole, then those of the low one, by number."""
        prompts = [self._protocol.prompt(messages) for pole in self._poles for messages in pole]
        for pack in packs(prompts, PACK):
            yield pack, Replay(self._model, [prompts[i] for i in pack], layer)

    def episodes(self, site: Site) -> list[OwnEpisode]:
        """The agent's own episodes, with rows at a site of all tokens after the header."""
        self._spend("episodes", len(self._declared.episodes))
        return read_rows(self._model, self._protocol, self._declared.episodes, site)

    @cached_property
    def behaviour(self) -> Behaviour:
        """The agent's own log-odds at contrast prompts of all traits, and the rows there.

        A prompt without a thought gets the one without a lean, so that all end where an action is due.
        """
        counted = self._counted(self._declared.trait)
        prompts = [self._due(messages) for messages in self._declared.prompts]
        self._spend("behaviour", len(prompts))
        rows = torch.empty(len(prompts), self._width)
        odds = torch.empty(len(prompts), dtype=torch.float64)
        for pack in packs(prompts, PACK):
            replay = Replay(self._model, [prompts[i] for i in pack], self._site.after)
            rows[pack] = replay.at(self._site, replay.ends).cpu()
            scores = calibrated(replay.logits([()], replay.ends)[0], self._protocol, self._bias)
            odds[pack] = log_odds(scores, counted)
        return Behaviour(rows, odds)

    def _due(self, messages: Sequence[Message]) -> Prompt:
        """A contrast prompt that ends where an action is due."""
        thought = {"role": "assistant", "content": OPENING}
        return self._protocol.prompt([*messages, *([] if messages[-1]["role"] == "assistant" else [thought])])

    @cached_property
    def gradients(self) -> Gradients:
        """By which rows log-odds of the traits' actions rise, on calibration tasks at the point of the own measure."""
        own, model = self._declared.trait, self._declared.differentiable()
        counted = {own: self._counted(own)}
        for trait in self._declared.actions.keys() - counted:
            if self._tells(trait):
                counted[trait] = self._counted(trait)
            else:
                LOG.info("%s: its first actions are all that the agent has, so that they have no gradient", trait)
        prompts = [self._protocol.prompt(messages) for messages in self._declared.due]
        slopes = {trait: torch.zeros(self._width, dtype=torch.float64) for trait in sorted(counted)}
        self._spend("gradients", len(prompts), len(prompts) * len(slopes))
        for pack in packs(prompts, PACK):
            replay = Replay(model, [prompts[i] for i in pack], self._site.after)
            push = torch.zeros(self._width, device=model.device, requires_grad=True)
            logits = replay.differentiable_logits([added(self._site, push, 1.0)], replay.ends)[0]
            scores = calibrated(logits, self._protocol, self._declared.bias)
            shared = contrast(scores.detach(), counted[own])
            for trait, slope in slopes.items():
                weights = shared if trait == own else apart(contrast(scores.detach(), counted[trait]), shared)
                (each,) = torch.autograd.grad((weights * scores).sum(), push, retain_graph=True)
                slope += each.double().cpu() / len(prompts)
        return Gradients(slopes.pop(own), slopes)

    def ends(
        self, sites: Sequence[Site]
    ) -> Mapping[Site, tuple[Float[Tensor, "pair width"], Float[Tensor, "pair width"]]]:
        """Rows at many sites of the last tokens of the contrast prompts, of the high and of the low pole."""
        self._spend("ends", self._prompts)
        found: dict[Site, dict[int, Tensor]] = {site: {} for site in sites}
        for pack, replay in self._contrast(min(site.after for site in sites)):
            for site, rows in replay.at_ends(sites).items():
                found[site] |= zip(pack, rows.cpu(), strict=True)
        rows_of = {site: torch.stack([own[i] for i in range(len(own))]) for site, own in found.items()}
        return {site: (rows[: len(rows) // 2], rows[len(rows) // 2 :]) for site, rows in rows_of.items()}

    def in_order(self, places: Sequence[Site | int], fit: Fit) -> Edits:
        """What a function gives for each layer in order, from rows there under what it gave for those before."""
        self._spend("in_order", self._prompts)
        sites = [as_site(place) for place in places]
        sides: list[list[tuple[list[int], Replay]]] = []
        for pole in self._poles:
            prompts = [self._protocol.prompt(messages) for messages in pole]
            some = packs(prompts, PACK)
            sides.append([(pack, Replay(self._model, [prompts[i] for i in pack], sites[0].after)) for pack in some])
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
    def heads(self) -> int:
        """Of an attention layer."""
        return int(self._model.config.get_text_config(decoder=True).num_attention_heads)

    def after(self, place: Site | int) -> "ModelReadings":
        """The same at another site; what was read at this one isn't kept for it."""
        told = self._poles, self._tasks, self._instruction, self._bias, self._declared
        return ModelReadings(self._model, self._protocol, place, *told)

    # --- weights, and what the model does under edits ---

    @property
    def layers(self) -> int:
        """How many the model has."""
        return len(decoder_layers(self._model))

    @cached_property
    def writers(self) -> list[Writer]:
        """The modules by which layers write to the stream, found in a pass over a calibration task."""
        self._spend("writers", 1)
        tokens = [token for segment in self._protocol.prompt(self._tasks[0]) for token in segment.tokens]
        try:
            return writers(self._model, torch.tensor([tokens], device=self._model.device))
        except TrimtabError as error:
            raise CannotBeMade(str(error)) from None

    def weight(self, site: Site) -> Float[Tensor, "outputs inputs"]:
        """Of the linear module whose output a site is, in float32."""
        module = site.module_of(decoder_layers(self._model))
        if (found := weight_of(module)) is None:
            raise CannotBeMade(f"{site} is a {type(module).__name__}; expected a linear module of the model")
        return found.cpu()

    def bias(self, site: Site) -> Float[Tensor, "outputs"]:
        """Of such a module; zeros where it has none."""
        found = bias_of(site.module_of(decoder_layers(self._model)))
        return torch.zeros(len(self.weight(site))) if found is None else found.cpu()

    def written(
        self, sites: Sequence[Site]
    ) -> Mapping[Site, tuple[Float[Tensor, "pair width"], Float[Tensor, "pair width"]]]:
        """Mean rows at sites of what the agent wrote in each contrast prompt, of the high and of the low pole."""
        self._spend("written", self._prompts)
        found: dict[Site, dict[int, Tensor]] = {site: {} for site in sites}
        for pack, replay in self._contrast(min(site.after for site in sites)):
            for site, means in replay.written_means(sites).items():
                found[site] |= zip(pack, means.cpu(), strict=True)
        rows = {site: torch.stack([own[i] for i in range(self._prompts)]) for site, own in found.items()}
        if not all(bool(each.isfinite().all()) for each in rows.values()):
            raise CannotBeMade("a contrast prompt ends before the agent's own text, or holds rows that aren't finite")
        return {site: (each[: len(each) // 2], each[len(each) // 2 :]) for site, each in rows.items()}

    @cached_property
    def unembedded(self) -> Float[Tensor, "d_model"]:
        """Of the counted actions' first tokens, mean row of the unembedding, less that of the others."""
        counted = torch.tensor(self._counted(self._declared.trait))
        head = weight_of(self._model.get_output_embeddings())
        if head is None:
            raise CannotBeMade(f"{type(self._model).__name__} has no linear layer for its head")
        rows = head[[tokens[0] for tokens in self._protocol.action_tokens]].double().cpu()
        found: Tensor = rows[counted].mean(0) - rows[~counted].mean(0)
        return found

    def personas(
        self, sites: Sequence[Site]
    ) -> Mapping[Site, tuple[Float[Tensor, "token width"], Float[Tensor, "role width"]]]:
        """Rows at sites of what is written in calibration prompts: of the agent as it is, and each role's mean."""
        roles, tasks = [*self._declared.roles.values()], self._tasks[::3]
        self._spend("personas", len(tasks) * (1 + len(roles)))
        start = min(site.after for site in sites)

        def rows(sentence: str) -> dict[Site, Tensor]:
            system = [{"role": "system", "content": sentence}] if sentence else []
            prompts = [self._protocol.prompt([*system, *messages]) for messages in tasks]
            replay = Replay(self._model, prompts, start)
            return {site: replay.at(site, replay.tail)[replay.written].cpu() for site in sites}

        own, others = rows(""), [rows(sentence) for sentence in roles]
        return {site: (own[site], torch.stack([each[site].mean(0) for each in others])) for site in sites}

    def twin(self, layers: Sequence[int]) -> Twin:
        """The model and its tuned twin side by side, at the contrast prompts."""
        if self._declared.twin is None:
            raise CannotBeMade("no tuned twin of the model is named (config.yaml, vectors.twin)")
        counted, other = self._counted(self._declared.trait), self._declared.twin()
        prompts = [self._due(messages) for pole in self._poles for messages in pole]
        self._spend("twin", 2 * len(prompts))
        odds, rows = [], []
        for model in (self._model, other):
            scores = torch.empty(len(prompts), dtype=torch.float64)
            found = {layer: torch.empty(len(prompts), self._width) for layer in layers}
            for pack in packs(prompts, PACK):
                replay = Replay(model, [prompts[i] for i in pack], min(layers))
                scores[pack] = log_odds(
                    calibrated(replay.logits([()], replay.ends)[0], self._protocol, self._bias), counted
                )
                for layer in layers:
                    found[layer][pack] = replay.at(Site(layer), replay.ends).cpu()
            odds.append(scores.reshape(len(self._poles), -1))
            rows.append({layer: each.reshape(len(self._poles), -1, self._width) for layer, each in found.items()})
        ours, theirs = rows
        return Twin(odds[0], odds[1], {layer: (ours[layer], theirs[layer]) for layer in layers})

    def tried(self, edits: Sequence[Edits], pairs: Sequence[int]) -> Tried:
        """What edits do to the trait's first actions at the contrast prompts of some pairs."""
        counted = self._counted(self._declared.trait)
        prompts = [self._due(pole[pair]) for pole in self._poles for pair in pairs]
        self._spend("tried", len(prompts) * (1 + len(edits)))
        shape = (1 + len(edits), len(prompts))
        odds, moved = torch.empty(shape, dtype=torch.float64), torch.empty(shape, dtype=torch.float64)
        for pack, logits in self._under(edits, prompts):
            odds[:, pack] = log_odds(calibrated(logits, self._protocol, self._bias), counted)
            moved[:, pack] = kl(logits).cpu()
        odds, moved = (each.reshape(len(each), len(self._poles), -1) for each in (odds, moved))
        return Tried(odds[1:], odds[0], moved[1:])

    def harmless(self, edits: Sequence[Edits]) -> list[float]:
        """Mean KL that edits come to at every third calibration task, where an action is due, in nats."""
        # every third, as for doses
        prompts = [self._protocol.prompt(messages) for messages in self._tasks[::3]]
        self._spend("harmless", len(prompts) * (1 + len(edits)))
        parts = [kl(logits)[1:].cpu() for _, logits in self._under(edits, prompts)]
        return [float(each) for each in torch.cat(parts, dim=1).mean(1)]

    def _under(
        self, edits: Sequence[Edits], prompts: Sequence[Prompt]
    ) -> Iterator[tuple[list[int], Float[Tensor, "edits prompt vocabulary"]]]:
        """Logits at prompts' ends, unsteered first and then under each condition's edits, some prompts at a time."""
        start = min((after(each) for each in edits if each), default=self._site.after)
        for pack in packs(prompts, PACK):
            replay = Replay(self._model, [prompts[i] for i in pack], start)
            yield pack, replay.logits([(), *edits], replay.ends)

    @property
    def _width(self) -> int:
        return int(self._model.config.get_text_config(decoder=True).hidden_size)

    def _tells(self, trait: str) -> bool:
        counted = [tool in self._declared.actions.get(trait, ()) for tool in self._protocol.tools]
        return any(counted) and not all(counted)

    def _counted(self, trait: str) -> list[bool]:
        """Which of the agent's actions a trait's declared outcome counts.

        Raises:
            TrimtabError: none, or all of them.
        """
        if not self._tells(trait):
            raise TrimtabError(
                f"config.yaml, statistics.primary.{trait}: its outcome counts none or all of the actions "
                f"({', '.join(self._protocol.tools)}), so they have no log-odds; expected an outcome that counts some, "
                f"or a measure in decisions.yaml"
            )
        return [tool in self._declared.actions[trait] for tool in self._protocol.tools]

    def _rows(self, prompts: Sequence[Prompt]) -> Float[Tensor, "task d_model"]:
        parts = []
        for pack in packs(prompts, PACK):
            replay = Replay(self._model, [prompts[i] for i in pack], self._site.after)
            parts.append(replay.at(self._site, replay.ends))
        return torch.cat(parts).cpu()


def _of_pole(side: Sequence[tuple[list[int], Replay]], site: Site, is_high: bool) -> Iterator[TokenRows]:
    """Rows of all tokens after the header of one pole's prompts."""
    for pack, replay in side:
        pair = torch.tensor(pack)[replay.owner.cpu()]
        left = (replay.ends[replay.owner] - replay.tail).cpu()
        rows, written = replay.at(site, replay.tail).cpu(), replay.written.cpu()
        yield TokenRows(rows, pair, torch.full_like(written, is_high), written, left)


def kl(logits: Float[Tensor, "edits prompt vocabulary"]) -> Float[Tensor, "edits prompt"]:
    """KL from the first condition's next-token distribution to each, in nats, in float64."""
    told = torch.log_softmax(logits, dim=-1)
    return ((told[0] - told) * told[0].exp()).sum(-1).double()


def action_chances(
    model: PreTrainedModel,
    protocol: Protocol,
    bias: Mapping[str, float],
    prompts: Sequence[Prompt],
    layer: int,
) -> Float[Tensor, "prompt action"]:
    """The agent's calibrated chances of its actions at the end of each prompt, unsteered."""
    found = torch.empty(len(prompts), len(protocol.tools), dtype=torch.float64)
    for pack in packs(prompts, PACK):
        replay = Replay(model, [prompts[i] for i in pack], layer)
        found[pack] = chances(replay.logits([()], replay.ends)[0], protocol, bias)
    return found


def chances(
    logits: Float[Tensor, "*any vocabulary"], protocol: Protocol, bias: Mapping[str, float]
) -> Float[Tensor, "*any action"]:
    """Chances of the actions alone, each by its first token, after contextual calibration, at temperature 1.

    Raises:
        TrimtabError: logits are not finite.
    """
    return torch.softmax(calibrated(logits, protocol, bias), dim=-1)


def calibrated(
    logits: Float[Tensor, "*any vocabulary"], protocol: Protocol, bias: Mapping[str, float]
) -> Float[Tensor, "*any action"]:
    """Scores of the actions, each by its first token, after contextual calibration.

    Raises:
        TrimtabError: logits are not finite.
    """
    return finite_scores(logits, protocol) - torch.tensor([bias[tool] for tool in protocol.tools], dtype=torch.float64)


def finite_scores(logits: Float[Tensor, "*any vocabulary"], protocol: Protocol) -> Float[Tensor, "*any action"]:
    """Log-probability of each action's first token.

    Raises:
        TrimtabError: logits are not finite.
    """
    scores = protocol.action_scores(logits).double().cpu()
    if not scores.isfinite().all():
        raise TrimtabError(
            "logits are NaN or infinite where an action is chosen; expected shorter pushes, or a model.dtype of wider "
            "range"
        )
    return scores
