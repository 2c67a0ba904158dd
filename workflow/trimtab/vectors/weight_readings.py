"""What methods ask of the model itself: how many parts it has and what their weights are, without a pass.

Which modules write to the stream takes a pass, and what the model does under edits too: `trimtab.vectors.readings`.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.forward.hooks import decoder_layers
from trimtab.forward.linear import bias_of, weight_of
from trimtab.forward.neurons import neurons
from trimtab.forward.sites import Site
from trimtab.vectors.unmade import CannotBeMade


class WeightReadings:
    """Of a model that the class which also has these reads."""

    _model: PreTrainedModel

    @property
    def layers(self) -> int:
        """How many the model has."""
        return len(decoder_layers(self._model))

    @property
    def heads(self) -> int:
        """Of an attention layer."""
        return int(self._model.config.get_text_config(decoder=True).num_attention_heads)

    def weight(self, site: Site) -> Float[Tensor, "outputs inputs"]:
        """Of the linear module whose output a site is, in float32."""
        module = site.module_of(decoder_layers(self._model))
        if (found := weight_of(module)) is None:
            raise CannotBeMade(f"{site} is a {type(module).__name__}; expected a linear module of the model")
        return found.cpu()

    def bias(self, site: Site) -> Float[Tensor, "outputs"]:
        """Of such a module; zeros where it has none."""
        found = bias_of(site.module_of(decoder_layers(self._model)))
        return torch.zeros(len(self.weight(site))) if found is None else found.cpu()

    @property
    def unembedding(self) -> Float[Tensor, "token d_model"]:
        """The model's head."""
        head = weight_of(self._model.get_output_embeddings())
        if head is None:
            raise CannotBeMade(f"{type(self._model).__name__} has no linear layer for its head")
        return head.cpu()

    @property
    def neurons(self) -> list[Site]:
        """What linear modules give whose columns are single neurons', of layers whose MLP has one."""
        return neurons(self._model)
