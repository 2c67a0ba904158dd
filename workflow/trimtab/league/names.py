"""What pages call a method, vector or not."""

from trimtab.agent.names import WITHOUT_VECTOR
from trimtab.organism.tables import in_words


def called(method: str) -> str:
    """The label of a method; of what needs no vector, its own."""
    return WITHOUT_VECTOR[method].label if method in WITHOUT_VECTOR else in_words(method)
