"""The rule that goes with a task as words in its prompt: what the vectors of method mentor are set against.

Which rule that is, the method's own gates say, so that both ways go by the same rule at each task.
"""

from collections.abc import Callable, Sequence

import torch

from trimtab.steering.edits import Edits
from trimtab.steering.laid import Prompt
from trimtab.steering.places import Places
from trimtab.steering.retrieval import Retrieved, opened

RuleOf = Callable[[Prompt], str]
"""From a prompt to the sentence of the rule that goes with it; empty for none."""


def rule_of(edits: Edits, sentences: Sequence[str]) -> RuleOf:
    """By the gates of some edits.

    Args:
        sentences: of all rules, in the order in which the gates know them.
    """
    gates = [edit.gate for edit in edits if isinstance(edit.gate, Retrieved)]

    def found(prompt: Prompt) -> str:
        ids = torch.tensor([token for piece in prompt for token in piece.tokens])
        places = Places.of(torch.tensor([place for piece in prompt for place in piece.places]))
        return next((sentences[gate.own] for gate in gates if opened(gate, ids, places)), "")

    return found
