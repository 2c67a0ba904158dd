"""What methods ask of the running model, beyond the cached rows: what the agent is about to do and by which rows it is
moved, its uncertainty, and what a prompt adds.

Nothing is read before a method asks, and then once. Nothing is read at a scenario, nor at a template of the split test:
tasks are those of the calibration, contrast prompts those of development templates, and episodes on tasks of their own.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.agent.protocol import Protocol
from trimtab.errors import TrimtabError
from trimtab.forward.sites import Site
from trimtab.forward.writers import Writer, writers
from trimtab.prompts.resources import Rule
from trimtab.steering.edits import Edits, added, after
from trimtab.steering.laid import Prompt
from trimtab.steering.packs import PACK, replays
from trimtab.steering.replay import Replay
from trimtab.vectors.action_scores import action_chances, calibrated, kl
from trimtab.vectors.asked import Behaviour, Gradients, OwnEpisode, Tried, Twin
from trimtab.vectors.contrast_readings import Message
from trimtab.vectors.declared import Declared
from trimtab.vectors.due import due
from trimtab.vectors.log_odds import apart, contrast, evenly, log_odds
from trimtab.vectors.own_episodes import read_rows
from trimtab.vectors.token_readings import TokenReadings
from trimtab.vectors.training_readings import TrainingReadings
from trimtab.vectors.unmade import CannotBeMade
from trimtab.vectors.vocabulary import Vocabulary, text_of
from trimtab.vectors.weight_readings import WeightReadings

LOG = logging.getLogger(__name__)


class ModelReadings(TokenReadings, TrainingReadings, WeightReadings):
    """All readings of one model at one site, for one trait."""

    def __init__(
        self,
        model: PreTrainedModel,
        protocol: Protocol,
        place: Site | int,
        poles: Sequence[Sequence[Sequence[Message]]],
        tasks: Sequence[Sequence[Message]],
        instruction: str,
        bias: Mapping[str, float],
        declared: Declared,
    ) -> None:
        """
        Args:
            place, poles: as for `ContrastReadings`.
            tasks: conversations without a system message.
            instruction: the sentence that asks for the trait.
            bias: what is subtracted from each action's log-probability (rollouts/calibration.json).
        """
        super().__init__(model, protocol, place, poles)
        self._tasks, self._instruction, self._bias, self._declared = tasks, instruction, bias, declared
        self._differentiable = declared.differentiable

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

    def episodes(self, site: Site) -> list[OwnEpisode]:
        """The agent's own episodes, with rows at a site of all tokens after the header."""
        self._spend("episodes", len(self._declared.episodes))
        return read_rows(self._model, self._protocol, self._declared.episodes, site)

    @cached_property
    def behaviour(self) -> Behaviour:
        """The agent's own log-odds at contrast prompts of all traits, and the rows there."""
        counted = self._counted(self._declared.trait)
        rows, scores = self._declared.at_due(self._site)
        self._spend("behaviour", len(rows))
        bias = torch.tensor([self._bias[tool] for tool in self._protocol.tools], dtype=torch.float64)
        return Behaviour(rows, log_odds(scores - bias, counted))

    @cached_property
    def gradients(self) -> Gradients:
        """By which rows log-odds of the traits' actions rise, on calibration tasks at the point of the own measure."""
        own, model = self._declared.trait, self._differentiable()
        counted = {own: self._counted(own)}
        for trait in self._declared.actions.keys() - counted:
            if self._tells(trait):
                counted[trait] = self._counted(trait)
            else:
                LOG.info("%s: its first actions are all that the agent has, so that they have no gradient", trait)
        prompts = [self._protocol.prompt(messages) for messages in self._declared.due]
        slopes = {trait: torch.zeros(self._width, dtype=torch.float64) for trait in sorted(counted)}
        self._spend("gradients", len(prompts), len(prompts) * len(slopes))
        others = {trait: apart(evenly(counted[trait]), evenly(counted[own])) for trait in counted.keys() - {own}}
        for _, replay in replays(model, prompts, self._site.after, PACK):
            push = torch.zeros(self._width, device=model.device, requires_grad=True)
            logits = replay.differentiable_logits([added(self._site, push, 1.0)], replay.ends)[0]
            scores = calibrated(logits, self._protocol, self._declared.bias)
            for trait, slope in slopes.items():
                # of the others all actions count alike: weighed by how likely they are, what is left of them would
                # tell likely actions from unlikely ones, and a push without it would still favour some over others
                weights = contrast(scores.detach(), counted[own]) if trait == own else others[trait]
                (each,) = torch.autograd.grad((weights * scores).sum(), push, retain_graph=True)
                slope += each.double().cpu() / len(prompts)
        return Gradients(slopes.pop(own), slopes)

    def after(self, place: Site | int) -> "ModelReadings":
        """The same at another site; what was read at this one isn't kept for it."""
        told = self._poles, self._tasks, self._instruction, self._bias, self._declared
        return ModelReadings(self._model, self._protocol, place, *told)

    @cached_property
    def writers(self) -> list[Writer]:
        """The modules by which layers write to the stream, found in a pass over a calibration task."""
        self._spend("writers", 1)
        tokens = [token for segment in self._protocol.prompt(self._tasks[0]) for token in segment.tokens]
        try:
            return writers(self._model, torch.tensor([tokens], device=self._model.device))
        except TrimtabError as error:
            raise CannotBeMade(str(error)) from None

    @cached_property
    def unembedded(self) -> Float[Tensor, "d_model"]:
        """Of the counted actions' first tokens, mean row of the unembedding, less that of the others."""
        counted = torch.tensor(self._counted(self._declared.trait))
        rows = self.unembedding[[tokens[0] for tokens in self._protocol.action_tokens]].double()
        found: Tensor = rows[counted].mean(0) - rows[~counted].mean(0)
        return found

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What tokens read as, and what the contrast prompts say."""
        return Vocabulary(self._protocol.tokenizer, [[text_of(messages) for messages in pole] for pole in self._poles])

    @property
    def rules(self) -> Mapping[str, Rule]:
        """For the trait, by name."""
        return self._declared.rules

    def under(self, sentences: Sequence[str]) -> list[Float[Tensor, "task d_model"]]:
        """Rows at the end of every third calibration task, with each of these in the system line; empty for none."""
        self._spend("under", len(self._third) * len(sentences))
        return [self._rows(self._asked(sentence)) for sentence in sentences]

    def personas(
        self, sites: Sequence[Site]
    ) -> Mapping[Site, tuple[Float[Tensor, "token width"], Float[Tensor, "role width"]]]:
        """Rows at sites of what is written in calibration prompts: of the agent as it is, and each role's mean."""
        roles = [*self._declared.roles.values()]
        self._spend("personas", len(self._third) * (1 + len(roles)))
        start = min(site.after for site in sites)

        def rows(sentence: str) -> dict[Site, Tensor]:
            replay = Replay(self._model, self._asked(sentence), start)
            return {site: replay.at(site, replay.tail)[replay.written].cpu() for site in sites}

        own, others = rows(""), [rows(sentence) for sentence in roles]
        return {site: (own[site], torch.stack([each[site].mean(0) for each in others])) for site in sites}

    def twin(self, layers: Sequence[int]) -> Twin:
        """The model and its tuned twin side by side, at the contrast prompts."""
        if self._declared.twin is None:
            raise CannotBeMade("no tuned twin of the model is named (config.yaml, vectors.twin)")
        counted, other = self._counted(self._declared.trait), self._declared.twin()
        prompts = [due(self._protocol, messages) for pole in self._poles for messages in pole]
        self._spend("twin", 2 * len(prompts))
        odds, rows = [], []
        for model in (self._model, other):
            scores = torch.empty(len(prompts), dtype=torch.float64)
            found = {layer: torch.empty(len(prompts), self._width) for layer in layers}
            for pack, replay in replays(model, prompts, min(layers), PACK):
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
        prompts = [due(self._protocol, pole[pair]) for pole in self._poles for pair in pairs]
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
        prompts = self._asked("")
        self._spend("harmless", len(prompts) * (1 + len(edits)))
        parts = [kl(logits)[1:].cpu() for _, logits in self._under(edits, prompts)]
        return [float(each) for each in torch.cat(parts, dim=1).mean(1)]

    @property
    def _third(self) -> Sequence[Sequence[Message]]:
        """Every third calibration task, as for doses."""
        return self._tasks[::3]

    def _asked(self, sentence: str) -> list[Prompt]:
        """Those as prompts, with this in the system line if it is anything."""
        system = [{"role": "system", "content": sentence}] if sentence else []
        return [self._protocol.prompt([*system, *messages]) for messages in self._third]

    def _under(
        self, edits: Sequence[Edits], prompts: Sequence[Prompt]
    ) -> Iterator[tuple[list[int], Float[Tensor, "edits prompt vocabulary"]]]:
        """Logits at prompts' ends, unsteered first and then under each condition's edits, some prompts at a time."""
        start = min((after(each) for each in edits if each), default=self._site.after)
        for pack, replay in replays(self._model, prompts, start, PACK):
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
        read = replays(self._model, prompts, self._site.after, PACK)
        return torch.cat([replay.at(self._site, replay.ends) for _, replay in read]).cpu()
