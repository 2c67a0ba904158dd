"""Where a model's MLPs have neurons: the linear module of each layer whose columns are what single neurons give.

It is found in the weights' own order, and no pass is made: in a layer's MLP the last linear module whose rows are as
wide as the stream. Of a mixture of experts that is a part which all tokens share, if it has one. A norm behind it
(Gemma) doesn't matter to what a neuron gives, but to how long that is where it arrives; which modules write just what a
layer adds is for `trimtab.forward.writers` to say.
"""

from transformers import PreTrainedModel

from trimtab.forward.hooks import decoder_layers
from trimtab.forward.linear import inputs_of, outputs_of
from trimtab.forward.sites import Site

MLPS = ("mlp", "feed_forward", "ffn")
"""One of these is part of what a layer calls its MLP."""


def neurons(model: PreTrainedModel) -> list[Site]:
    """What these modules give, of layers that have one."""
    width = int(model.config.get_text_config(decoder=True).hidden_size)
    found = []
    for number, layer in enumerate(decoder_layers(model)):
        paths = [
            f"{name}.{path}"
            for name, block in layer.named_children()
            if any(each in name for each in MLPS)
            for path, module in block.named_modules()
            if path and inputs_of(module) and outputs_of(module) == width
        ]
        found += [Site(number, path) for path in paths[-1:]]
    return found
