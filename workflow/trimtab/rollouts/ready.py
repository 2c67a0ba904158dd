"""The agent as a job of the rollouts finds it: the manifest's model, how it is asked, how it chooses, and the engine
that plays its episodes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from trimtab.agent import protocols
from trimtab.agent.calibration import Calibration
from trimtab.agent.protocol import Protocol
from trimtab.agent.scenario import Assignment
from trimtab.artifacts.manifest import Manifest
from trimtab.model.source import from_manifest
from trimtab.rollouts.batch_size import Rows, rows_together
from trimtab.rollouts.engine import Engine
from trimtab.rollouts.episode import Arm
from trimtab.rollouts.episodes import Episodes
from trimtab.settings.rollouts import BatchSettings, EpisodeSettings


@dataclass(frozen=True)
class ReadyAgent:
    described: Manifest
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    protocol: Protocol
    bias: Mapping[str, float]
    """What is subtracted from each action's log-probability before a choice."""
    engine: Engine

    @classmethod
    def read(cls, manifest: Path, calibration: Path, agent: Path, settings: EpisodeSettings) -> "ReadyAgent":
        """
        Args:
            manifest: model/manifest.json.
            calibration: rollouts/calibration.json.
            agent: the resource that says how the agent is asked.

        Raises:
            TrimtabError: the model's folder changed since the manifest was made, or one of the files can't be read.
        """
        described, model, tokenizer = from_manifest(manifest)
        protocol, bias = protocols.read(agent, tokenizer), Calibration.read(calibration).bias
        return cls(described, model, tokenizer, protocol, bias, Engine(model, protocol, settings, bias))

    def playing(self, arms: Sequence[Arm], tasks: Sequence[Assignment], rows: BatchSettings) -> tuple[Episodes, Rows]:
        """The engine that plays these tasks under these conditions, and how many of each share a batch."""
        return self.engine, rows_together(rows, self.model, len(tasks), *self.engine.player.lengths(tasks))
