"""What the agent is about to do at contrast prompts, and the rows there, read once for the vectors of all traits.

Methods that go by behaviour learn from the prompts of every trait, each at its own trait's layer and by the actions
that its own trait's measure counts. What the model says there is the same for all of them, so each trait's prompts are
read in one pass and kept: scores of all actions before calibration, and the rows at every layer where a probe may sit.
What methods make of them is in `trimtab.vectors.readings`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.agent.points import OPENING
from trimtab.agent.protocol import Protocol
from trimtab.artifacts import files
from trimtab.errors import TrimtabError
from trimtab.forward.sites import Site
from trimtab.jobs.progress import track
from trimtab.prompts.contrast import DEVELOPMENT
from trimtab.steering.laid import Prompt
from trimtab.steering.packs import even, packs, replays
from trimtab.vectors.action_scores import finite_scores
from trimtab.vectors.contrast_readings import Message


class Due(NamedTuple):
    """Contrast prompts that end where an action is due."""

    rows: Float[Tensor, "prompt d_model"]
    scores: Float[Tensor, "prompt action"]
    """Log-probability of each action's first token, before calibration."""


def due(protocol: Protocol, messages: Sequence[Message]) -> Prompt:
    """A contrast prompt that ends where an action is due: one without a thought gets the one without a lean."""
    thought = {"role": "assistant", "content": OPENING}
    return protocol.prompt([*messages, *([] if messages[-1]["role"] == "assistant" else [thought])])


def development(contrast: Path, kind: str) -> list[dict[str, Any]]:
    """Rows of prompts/contrast/<trait>.jsonl of one kind and of development templates, in the order of the file."""
    return [row for row in files.read_jsonl(contrast) if row["kind"] == kind and row["split"] in DEVELOPMENT]


def table(
    model: PreTrainedModel, protocol: Protocol, prompts: Mapping[str, Prompt], sites: Sequence[Site]
) -> pd.DataFrame:
    """One row a site and prompt (by name), site after site and prompts in their order.

    Raises:
        TrimtabError: logits are not finite.
    """
    names, asked = [*prompts], [*prompts.values()]
    scores = np.empty((len(asked), len(protocol.tools)))
    rows: dict[Site, list[np.ndarray]] = {site: [np.empty(0)] * len(asked) for site in sites}
    size = even(model, len(asked))
    parts, count = replays(model, asked, min(site.after for site in sites), size), len([*packs(asked, size)])
    for pack, replay in track(parts, count, "reading where an action is due"):
        logits, found = replay.logits_and_rows(sites)
        scores[pack] = finite_scores(logits, protocol).numpy()
        for site, own in found.items():
            for i, row in zip(pack, own.cpu().numpy(), strict=True):
                rows[site][i] = row
    told = {f"score_{tool}": scores[:, at] for at, tool in enumerate(protocol.tools)}
    of_sites = [pd.DataFrame({"prompt_id": names, "site": str(site), "row": rows[site], **told}) for site in sites]
    return pd.concat(of_sites, ignore_index=True)


def read(paths: Sequence[Path], site: Site, tools: Sequence[str]) -> Due:
    """Of all traits, file after file.

    Raises:
        TrimtabError: nothing was read at the site.
    """
    parts = [pd.read_parquet(path, filters=[("site", "==", str(site))]) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        if part.empty:
            sites = ", ".join(pd.read_parquet(path, columns=["site"])["site"].unique())
            raise TrimtabError(f"{path}: has no rows at site {site}; expected one of {sites}")
    whole = pd.concat(parts, ignore_index=True)
    scores = whole[[f"score_{tool}" for tool in tools]].to_numpy(np.float64)
    return Due(torch.tensor(np.stack([*whole["row"]])), torch.tensor(scores))
