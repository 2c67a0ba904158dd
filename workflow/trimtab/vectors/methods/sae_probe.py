"""Probe weights on SAE latents, projected through the decoder: `v = W_dec^T w` (Yap 2026).

The probe reads standardised latents, so its weight on a raw latent is `weight / scale`; decoder rows count at their own
length, and the dictionary's input scale is already folded in.
"""

from trimtab.vectors.contract import Direction, Material, normalised

LABEL = "SAE-decoded probe"
SENTENCE = "The vector is the weights of a ridge probe on SAE latents, decoded through the dictionary."
SOURCE = "Yap 2026, 2603.16335"
GROUPS = "probes"
GIVES = "code"


def make(material: Material) -> Direction:
    weight, _ = material.latent_probe.on_raw_scale()
    return normalised(material.sae.W_dec.double().T @ weight, "SAE-decoded probe", code=weight)
