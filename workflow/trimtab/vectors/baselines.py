"""Baselines of decoding by name, as a reader meets them (`vectors.decoding`).

What they do is in `trimtab.vectors.decoding`, which imports torch; the report reads this module alone.
"""

from trimtab.wording import Wording

GUIDANCE, MIXING = "contrastive_guidance", "logit_mixing"
BASELINES = {
    GUIDANCE: Wording(
        "Contrastive guidance",
        "No vector is used: the next token's logits go from those of the agent towards those that it has with the "
        "trait asked for in the system line, and beyond them.",
        "classifier-free guidance of language models, 2306.17806",
    ),
    MIXING: Wording(
        "Mixing of late logits",
        "No vector is used, and the trait is not asked for: the next token's logits are mixed with the mean of those "
        "that the model's norm and head make of the stream after late layers.",
        "VISTA, 2502.03628",
    ),
}
"""Beside vectors in the comparison at equal KL; no condition of rollouts can have them."""
