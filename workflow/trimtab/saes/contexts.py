"""The strongest examples of a latent in words: rows of a table, and what the browsable page shows.

Which examples these are is found in `trimtab.saes.examples`; how the page looks is `trimtab.report.examples`.
"""

from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from trimtab.artifacts import files, tensors
from trimtab.saes.examples import Found


class Read(NamedTuple):
    """What a probe reads: its layer, the weights of its latents, and those with the largest ones."""

    layer: int
    weight: Float[Tensor, "d_sae"]
    latents: list[int]

    @classmethod
    def of(cls, probe: Path, most: int) -> "Read":
        """From probes/<trait>.json and the weights beside it, with at most `most` latents."""
        weight = tensors.read(probe.with_suffix(".safetensors"))[0]["weight"]
        latents = weight.abs().topk(min(most, len(weight))).indices.tolist()
        return cls(int(files.read_json(probe)["layer"]), weight, latents)


class LatentSummary(NamedTuple):
    """The examples of one latent, for people."""

    rows: list[dict[str, Any]]
    """One an example, for examples.csv."""
    shown: dict[str, Any]
    """The latent with its examples token by token, for the page."""


def summarise(found: Found, layer: int, weight: float, tokenizer: PreTrainedTokenizerBase) -> LatentSummary:
    """Decode a latent's examples; `weight` is the probe's."""
    about = {"layer": layer, "latent": found.latent, "weight": weight, "density": found.density}
    rows, examples = [], []
    for rank, example in enumerate(found.examples, start=1):
        at, largest = example.strongest, found.examples[0].activation
        texts = [tokenizer.decode([token]) for token in example.tokens]
        place = {"prompt_id": example.prompt_id, "position": example.position, "activation": example.activation}
        context = {"before": tokenizer.decode(example.tokens[:at]), "token": texts[at]}
        context["after"] = tokenizer.decode(example.tokens[at + 1 :])
        rows.append({**about, "rank": rank, **place, **context})
        tokens = [
            {"text": text, "share": min(strength / largest, 1.0), "strongest": i == at}
            for i, (text, strength) in enumerate(zip(texts, example.strengths, strict=True))
        ]
        examples.append({**place, "tokens": tokens})
    return LatentSummary(rows, {**about, "examples": examples})
