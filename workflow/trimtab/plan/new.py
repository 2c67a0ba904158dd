"""A first config for a model of one's own: what of the default can't stay, what the model can't do, and what it costs.

Everything is read from the model's config and tokenizer; no weight is loaded. Whether the machine computes the model
rightly is for the preflight, a job of the run.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from trimtab.agent import protocols
from trimtab.artifacts.border import readable
from trimtab.config.check import check
from trimtab.config.generated import config_yaml
from trimtab.errors import TrimtabError
from trimtab.forward.context import context_length
from trimtab.jobs.origins import Origins
from trimtab.model.folder import gguf_file
from trimtab.model.names import GGUF
from trimtab.model.tokenizer import CODE, load_tokenizer
from trimtab.plan.cost import GIVEN, HEADER, RATES, Shape, as_text, work
from trimtab.plan.shape import config_of, shape_of
from trimtab.prompts.resources import RESOURCES
from trimtab.settings.experiment import Experiment

DEPTHS = (0.25, 0.5, 0.75)
"""Shares of the model's depth at which layers are captured."""
TIMES_WIDER = 4
"""Latents by dimensions of the residual stream, as in the default."""


@dataclass(frozen=True)
class Proposal:
    """A config for one model, with what should be known before it runs."""

    text: str
    """YAML of what differs from the default."""
    experiment: Experiment
    shape: Shape
    warnings: list[str]

    def plan(self, results: Path) -> str:
        return as_text(work(self.experiment, self.shape), RATES[self.experiment.model.device], results)


def propose(name: str, source: str, revision: str | None) -> Proposal:
    """A config of what must differ from the default for the model that `source` names.

    Raises:
        TrimtabError: the model can't be read, or no config holds this name or source.
    """
    default: dict[str, Any] = yaml.safe_load(config_yaml())
    model = config_of(source, revision)
    found = shape_of(model, default["model"]["dtype"])
    protocol, refused = _protocol(_tokenizer(source, revision))
    differs: dict[str, Any] = {
        "experiment": name,
        "model": {"source": source} | ({"revision": revision} if revision else {}),
        "layers": sorted({min(found.layers - 1, int(depth * found.layers)) for depth in DEPTHS}),
        "saes": {"latents": TIMES_WIDER * found.d_model},
        "rollouts": {"protocol": protocol},
    }
    merged = {key: default[key] | value if isinstance(value, dict) else value for key, value in differs.items()}
    experiment = check(default | merged, Origins())
    warnings = [*_warnings(experiment, found, context_length(model)), *refused]
    return Proposal(_written(differs, found), experiment, found, warnings)


def _written(differs: dict[str, Any], found: Shape) -> str:
    """The YAML, each key under why it stands there."""
    why = {
        "experiment": "Results go to results/<experiment>.",
        "model": f"{found.parameters / 1e6:,.0f} million parameters, {found.layers} layers.",
        "layers": f"Layers that are captured, of 0 to {found.layers - 1}: a quarter, a half and three quarters down.",
        "saes": f"A dictionary a layer, {TIMES_WIDER} times as wide as the residual stream ({found.d_model}).",
        "rollouts": "few_shot shows any model how to call tools; native is the tool calls of its own chat template.",
    }
    head = (
        "# What differs from config.yaml, in which every key is explained; mappings are merged, lists are replaced.\n"
    )
    parts = [f"# {why[key]}\n" + yaml.safe_dump({key: value}, sort_keys=False) for key, value in differs.items()]
    return "\n".join([head, *parts])


def _protocol(tokenizer: PreTrainedTokenizerBase) -> tuple[str, list[str]]:
    """The protocol for a tokenizer: its own tool calls if it proves that they can be read, and why not otherwise."""
    try:
        protocols.read(RESOURCES / "native.yaml", tokenizer)
    except TrimtabError as error:
        _, _, why = str(error).partition(", but ")
        told = f"the agent speaks few_shot and not by the model's own tool calls, since {why.partition(';')[0]}"
        return "few_shot", [told] if tokenizer.chat_template else []
    return "native", []


def _warnings(experiment: Experiment, found: Shape, context: int | None) -> Iterator[str]:
    rollouts = experiment.rollouts
    needed = HEADER + rollouts.max_turns * (GIVEN + sum(rollouts.limits.values()))
    if context is not None and context < needed:
        yield f"it reads {context:,} tokens, and an episode takes about {needed:,}; lower rollouts.max_turns"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if (most := max(each.memory for each in work(experiment, found))) > memory:
        yield f"its largest job takes about {most / 1e9:.0f} GB, and this machine has {memory / 1e9:.0f}"


def _tokenizer(source: str, revision: str | None) -> PreTrainedTokenizerBase:
    if Path(source).is_dir():
        return load_tokenizer(Path(source))
    gguf = gguf_file(source) if GGUF.fullmatch(source) else None
    where: dict[str, Any] = {"gguf_file": gguf.name} if gguf else {"revision": revision}
    with readable(f"config.yaml, model.source: the tokenizer of {source} can't be read", *CODE):
        # Any: the library's own annotation is wrong
        found: Any = AutoTokenizer.from_pretrained(gguf.parent if gguf else source, trust_remote_code=False, **where)
        return cast(PreTrainedTokenizerBase, found)
