"""From files that say how the agent is asked, and what it does unsteered, to the readings that a trait's methods may
ask for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from transformers import PreTrainedModel

from trimtab.agent.calibration import Calibration, conversations, dose_prompts
from trimtab.agent.points import START
from trimtab.agent.protocol import Protocol
from trimtab.artifacts.manifest import Manifest
from trimtab.forward.sites import Sites
from trimtab.prompts import resources
from trimtab.steering.laid import Prompt
from trimtab.vectors.elsewhere import ElsewhereFiles
from trimtab.vectors.material import TraitFiles
from trimtab.vectors.readings import ModelReadings


@dataclass(frozen=True)
class AgentFiles:
    manifest: Path
    """model/manifest.json."""
    calibration: Path
    """rollouts/calibration.json."""
    tasks: Path
    """tasks.yaml."""
    traits: Path
    """traits.yaml."""

    @cached_property
    def spare(self) -> Mapping[str, Sequence[str]]:
        """Tasks of the calibration, by domain."""
        return resources.tasks(self.tasks)["calibration"]

    def dose_prompts(self, protocol: Protocol) -> Sequence[Prompt]:
        """On which doses are measured."""
        return dose_prompts(protocol, self.spare)

    def readings(
        self,
        described: Manifest,
        model: PreTrainedModel,
        protocol: Protocol,
        made: TraitFiles,
        around: ElsewhereFiles,
    ) -> ModelReadings:
        """Of the manifest's model, for the trait whose files these are, at the layer that its probe chose."""
        offsets = Calibration.read(self.calibration).offsets
        request = resources.requests(self.traits)[around.trait]
        declared = around.declared(self.manifest, protocol.tools, self.spare, offsets)
        told = made.pairs.messages, conversations(self.spare), request, offsets[START], declared
        return ModelReadings(model, protocol, Sites.of(described).at(made.layer), *told)
