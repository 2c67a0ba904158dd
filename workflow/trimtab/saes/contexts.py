"""The strongest examples of a latent in words: rows of a table, and what the browsable page shows.

Which examples these are is found in `trimtab.saes.examples`; how the page looks is `trimtab.report.examples`.
"""

from typing import Any, NamedTuple

from transformers import PreTrainedTokenizerBase

from trimtab.saes.examples import Found


class Told(NamedTuple):
    rows: list[dict[str, Any]]
    """One an example, for examples.csv."""
    shown: dict[str, Any]
    """The latent with its examples token by token, for the page."""


def tell(found: Found, layer: int, weight: float, tokenizer: PreTrainedTokenizerBase) -> Told:
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
    return Told(rows, {**about, "examples": examples})
