"""The pattern of the probe on SAE latents, decoded: `v = W_dec^T Cov(z) w` (Haufe et al. 2014, equation 6).

A probe's weights `w` are a filter: what to weigh so as to read the trait, noise that latents share cancelled. The
pattern is how latents vary with what the probe reads, `Cov(z, w^T z) = Cov(z) w`, up to that reading's variance, which
a direction doesn't keep. With balanced classes and no penalty `Cov(z) w` is the poles' difference of mean latents, up
to scale, so the vector is that difference decoded; a ridge penalty takes `penalty scale² w` from each latent's share.
It sees the development pairs' rows, and no behaviour.
"""

from trimtab.vectors.contract import Direction, Material, covariance, normalised

LABEL = "SAE-decoded pattern"
SENTENCE = (
    "The vector is how SAE latents vary with what a ridge probe on them reads, decoded through the dictionary: what "
    "goes with the trait, where the probe's weights are what reads it."
)
SOURCE = "Haufe et al. 2014, equation 6"
GROUPS = "patterns"
GIVES = "code"


def make(material: Material) -> Direction:
    weight, _ = material.latent_probe.on_raw_scale()
    latents = material.latents()
    code = covariance(latents, latents @ weight)
    return normalised(material.sae.W_dec.double().T @ code, "SAE-decoded pattern", code=code)
