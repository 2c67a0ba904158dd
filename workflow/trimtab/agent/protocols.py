"""Which protocol an agent speaks: one resource a protocol, named by `rollouts.protocol` in the config."""

from pathlib import Path

from transformers import PreTrainedTokenizerBase

from trimtab.agent.few_shot import FewShotProtocol, Texts
from trimtab.agent.native import NativeProtocol
from trimtab.agent.protocol import Protocol
from trimtab.errors import TrimtabError
from trimtab.prompts import resources


def read(path: Path, tokenizer: PreTrainedTokenizerBase) -> Protocol:
    """The protocol of a resource file, for one model.

    Raises:
        TrimtabError: no protocol has this name, or the model can't speak it.
    """
    resource, name = resources.agent(path), path.stem
    if name in ("few_shot", "few_shot_at_once"):
        return FewShotProtocol(Texts.of(resource), tokenizer)
    if name in ("native", "native_thinking"):
        return NativeProtocol(resource, tokenizer)
    raise TrimtabError(
        f"{path}: no protocol has this name; expected few_shot, few_shot_at_once, native or native_thinking"
    )
