"""The agent of a job of rollouts whose model runs on vLLM; `trimtab.rollouts.ready` has that of `transformers`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from trimtab.agent import protocols
from trimtab.agent.calibration import Calibration
from trimtab.agent.protocol import Protocol
from trimtab.agent.scenario import Assignment
from trimtab.artifacts.manifest import Manifest
from trimtab.errors import TrimtabError
from trimtab.model.folder import verify
from trimtab.model.tokenizer import load_tokenizer
from trimtab.rollouts.batch_size import Rows
from trimtab.rollouts.conditions import UNSTEERED_ID
from trimtab.rollouts.episode import Arm
from trimtab.rollouts.episodes import Episodes
from trimtab.rollouts.player import Player
from trimtab.rollouts.ready import ReadyAgent
from trimtab.rollouts.served.client import VllmServer
from trimtab.rollouts.served.fields import ServedEngine
from trimtab.settings.engine import EngineSettings
from trimtab.settings.rollouts import BatchSettings, EpisodeSettings
from trimtab.steering.served import refused


@dataclass(frozen=True)
class ServedAgent:
    described: Manifest
    tokenizer: PreTrainedTokenizerBase
    protocol: Protocol
    bias: Mapping[str, float]
    """What is subtracted from each action's log-probability before a choice."""

    settings: EpisodeSettings
    served: EngineSettings

    @classmethod
    def read(
        cls, manifest: Path, calibration: Path, agent: Path, settings: EpisodeSettings, served: EngineSettings
    ) -> "ServedAgent":
        """
        Raises:
            TrimtabError: the model's folder changed since the manifest was made, or one of the files can't be read.
        """
        described = Manifest.read(manifest)
        verify(manifest, described)
        tokenizer = load_tokenizer(Path(described.path))
        protocol, bias = protocols.read(agent, tokenizer), Calibration.read(calibration).bias
        return cls(described, tokenizer, protocol, bias, settings, served)

    def playing(self, arms: Sequence[Arm], tasks: Sequence[Assignment], rows: BatchSettings) -> tuple[Episodes, Rows]:
        """The engine that plays these tasks under these conditions, whose vLLM is started, and how many of each share a
        batch: vLLM fills its passes itself, so that auto is all conditions whose episodes it has room for.

        Raises:
            TrimtabError: vLLM can't do exactly what a condition does.
        """
        for arm in arms:
            if why := refused(arm.edits, self.described.architecture):
                raise TrimtabError(f"config.yaml, rollouts.engine: vllm, and condition {arm.condition_id}: {why}")
        context = self.described.context_length or math.inf
        header = max(len(self.protocol.header_tokens(arm.instruction)) for arm in arms)
        own = Player(self.protocol, self.settings, context).lengths(tasks)[1]
        folder, dtype = Path(self.described.path), self.described.dtype
        server = VllmServer(folder, dtype, int(min(header + own, context)), self.served)
        engine = ServedEngine(server, self.protocol, self.settings, self.bias, context, dtype)
        scenarios = min(len(tasks), rows.batch_scenarios)
        room = conditions_together(server.tokens, header, own, scenarios)
        return engine, Rows(rows.batch_conditions if isinstance(rows.batch_conditions, int) else room, scenarios)


def conditions_together(tokens: int, header: int, own: int, scenarios: int) -> int:
    """The most conditions of a batch whose episodes all stay in vLLM's cache of so many tokens.

    Each field reads its row anew but for what is cached, and what was used longest ago goes first: of a batch that
    doesn't fit, whole episodes would be computed for every field.

    Args:
        header: tokens of the longest, of which a condition's episodes share one.
        own: of the longest episode, the header apart.
    """
    return max(1, tokens // (header + scenarios * own))


def unsteered(agent: ReadyAgent | ServedAgent, tasks: Sequence[Assignment]) -> Episodes:
    """The engine that plays these tasks unsteered."""
    alone = BatchSettings(batch_conditions=1, batch_scenarios=len(tasks))
    return agent.playing([Arm(UNSTEERED_ID)], tasks, alone)[0]


def agent_of(
    manifest: Path, calibration: Path, agent: Path, settings: EpisodeSettings, engine: EngineSettings
) -> ReadyAgent | ServedAgent:
    """The agent whose model runs as the config says."""
    if engine.is_served:
        return ServedAgent.read(manifest, calibration, agent, settings, engine)
    return ReadyAgent.read(manifest, calibration, agent, settings)
