"""The same as `behaviour` through the dictionary: `v = W_dec^T Cov(log-odds, z)`.

How SAE latents vary with the agent's own log-odds of the trait's declared first actions, decoded. It sees what
`behaviour` sees and the dictionary.
"""

from trimtab.vectors.contract import DECLARED, Direction, Material, covariance, normalised, varying_behaviour

LABEL = "SAE-decoded behaviour"
SENTENCE = (
    "The vector is the covariance of SAE latents with the agent's own log-odds of the first actions that the trait's "
    "declared outcome counts, over the contrast prompts of all traits, decoded through the dictionary."
)
SOURCE = "Haufe et al. 2014, equation 7"
GROUPS = "patterns"
GIVES = "code"
NEEDS = "actions prompts"


def make(material: Material) -> Direction:
    rows, log_odds = varying_behaviour(material, "SAE-decoded behaviour")
    code = covariance(material.sae.latents(rows.float()), log_odds)
    decoded = material.sae.W_dec.double().T @ code
    return normalised(decoded, f"SAE-decoded behaviour of {material.trait}", towards=DECLARED, code=code)
