"""Which edits run on vLLM exactly, as the tests of vLLM's own environment show; all others are refused in one line.

A change, a gate or a timing runs there as it runs on `transformers`, by the same code. What differs is the model: vLLM
builds it anew from modules of its own, so that only sites are taken which both have, and which mean the same in both.
"""

from trimtab.forward.sites import INPUT, OUTPUT, Site
from trimtab.steering.codes import EditCode
from trimtab.steering.edits import Edit, Edits

RESIDUAL = ""
SITES = {
    (RESIDUAL, OUTPUT): "the stream after a layer",
    ("mlp", OUTPUT): "what the MLP adds",
    ("self_attn", OUTPUT): "what attention adds",
    ("mlp.down_proj", OUTPUT): "what the MLP's last matrix gives",
    ("mlp.down_proj", INPUT): "what the MLP's last matrix takes",
    ("self_attn.o_proj", OUTPUT): "what attention's last matrix gives",
    ("self_attn.o_proj", INPUT): "what attention's last matrix takes, head by head",
}
"""By module and side: those that a test compares, with any columns."""


COMPARED = ("LlamaForCausalLM",)
"""Classes of `transformers` whose modules are compared; the stream is compared by the preflight, whatever the class."""


def refused(edits: Edits, architecture: str) -> str:
    """Why edits of a model of this class can't run on vLLM; empty where they can."""
    return next(filter(None, (_refused(edit, architecture) for edit in edits)), "")


def _refused(edit: Edit, architecture: str) -> str:
    if isinstance(edit.change, EditCode):
        return "rule edit_code needs a whole dictionary in vLLM's worker; expected another rule, or engine transformers"
    return next(filter(None, (_unknown(site, architecture) for site in (edit.site, *edit.reads))), "")


def _unknown(site: Site, architecture: str) -> str:
    key = (site.module, site.side)
    if key in SITES and (architecture in COMPARED or key == (RESIDUAL, OUTPUT)):
        return ""
    known = [f"{module or 'the stream'}{':input' if side == INPUT else ''}" for module, side in SITES]
    where = ", ".join(known) if architecture in COMPARED else f"the stream alone of {architecture}"
    return f"site {site} is not known to be the same in vLLM; expected {where}, or engine transformers"
