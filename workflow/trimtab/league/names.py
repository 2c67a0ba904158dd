"""What pages call a method, and which of the rows compete."""

from trimtab.agent.names import WITHOUT_VECTOR
from trimtab.organism.tables import in_words
from trimtab.vectors.nulls import is_null


def called(method: str) -> str:
    """The label of a method; of what needs no vector, its own."""
    return WITHOUT_VECTOR[method].label if method in WITHOUT_VECTOR else in_words(method)


def competes(method: str) -> bool:
    """Whether a row has a rank: nulls have no aim, and asking in the prompt is at no KL and is what the truth is of."""
    return method not in WITHOUT_VECTOR and not is_null(method)
