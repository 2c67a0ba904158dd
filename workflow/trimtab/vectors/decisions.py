"""What each vector does to the agent's first decision, at one strength for all: the same KL from the unsteered model.

A decision is read where the first action is chosen, after the task and a thought without a lean, so nothing is sampled
and one pass of the model gives the chances of all actions. That is far cheaper than episodes, so every method can be
read. How methods compare is in `trimtab.vectors.comparison`; what episodes make of them, in `trimtab.rollouts`.
"""

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.agent.calibration import before_action
from trimtab.agent.names import PROMPT, UNSTEERED
from trimtab.agent.protocol import Protocol
from trimtab.agent.scenario import Scenario
from trimtab.steering.edits import Edits, after
from trimtab.steering.replay import Replay
from trimtab.vectors.readings import PACK, action_chances, chances


def first_decisions(
    model: PreTrainedModel,
    protocol: Protocol,
    bias: Mapping[str, float],
    scenarios: Sequence[Scenario],
    edits: Mapping[str, Edits],
    instruction: str,
) -> dict[str, Float[Tensor, "scenario action"]]:
    """Chances of each action in each scenario: unsteered, under every vector, and asked for in the prompt."""
    tasks = [before_action(scenario.task) for scenario in scenarios]
    prompts = [protocol.prompt(task) for task in tasks]
    # of what no edit changes, all conditions have one pass
    layer = min((after(each) for each in edits.values() if each), default=0)
    names = [UNSTEERED, *edits]
    parts = []
    for at in range(0, len(prompts), PACK):
        replay = Replay(model, prompts[at : at + PACK], layer)
        parts.append(chances(replay.logits([(), *edits.values()], replay.ends), protocol, bias))
    found = dict(zip(names, torch.cat(parts, dim=1), strict=True))
    asked = [protocol.prompt([{"role": "system", "content": instruction}, *task]) for task in tasks]
    return {**found, PROMPT: action_chances(model, protocol, bias, asked, max(layer, 0))}


def as_table(
    found: Mapping[str, Float[Tensor, "scenario action"]], trait: str, scenarios: Sequence[str], tools: Sequence[str]
) -> pd.DataFrame:
    """One row a method and scenario, one column `p_<tool>` an action."""
    parts = []
    for name, table in found.items():
        columns = {f"p_{tool}": table[:, at].numpy() for at, tool in enumerate(tools)}
        parts.append(pd.DataFrame({"method": name, "trait": trait, "scenario_id": list(scenarios), **columns}))
    return pd.concat(parts, ignore_index=True)
