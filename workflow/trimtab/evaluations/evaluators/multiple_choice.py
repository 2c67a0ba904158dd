"""Questions of general knowledge, answered by likelihood: whether steering costs what the model knows."""

from collections.abc import Sequence

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.evaluations.contract import rows
from trimtab.evaluations.evaluators.held_out_text import surprise
from trimtab.evaluations.items import Question
from trimtab.evaluations.steered import Steered

LABEL = "Multiple choice"
SENTENCE = (
    "Of four answers to a question of general knowledge the one counts whose tokens are likeliest on average; nothing "
    "is written."
)
SOURCE = ""
ITEMS = "questions"
COST = "one pass over 128 answers of about fifteen tokens with their questions"
MEASURES = {
    "correct": ("questions answered right", "Whether the right answer is the likeliest.", "share"),
    "lead": (
        "lead of the right answer",
        "Mean log-probability of the right answer's tokens less that of the likeliest wrong answer's.",
        "nats a token",
    ),
}


def measure(steered: Steered, items: Sequence[Question]) -> pd.DataFrame:
    pairs = [(f"Question: {item.question}\nAnswer:", f" {answer}") for item in items for answer in item.answers]
    found = steered.scored(steered.texts(*zip(*pairs, strict=True)), {"missed": surprise})["missed"]
    by_item = torch.split(-found, [len(item.answers) for item in items], dim=1)
    lead = torch.stack([leads(scores) for scores in by_item], dim=1)
    return rows(steered.conditions, [item.id for item in items], {"correct": (lead > 0).double(), "lead": lead})


def leads(scores: Float[Tensor, "condition answer"]) -> Float[Tensor, "condition"]:
    """By how much the first answer, the right one, is ahead of the best of the others."""
    return scores[:, 0] - scores[:, 1:].amax(dim=1)
