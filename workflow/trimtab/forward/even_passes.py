"""How a round of chunks is cut into passes in which every row has the same number of new tokens.

Layers that keep a state can't be fed padding (`trimtab.forward.recurrent`), so a ragged round takes several passes; the
fewer they are, the faster it is.
"""

from collections.abc import Sequence

from trimtab.forward.rows import Part


def cut(lengths: Sequence[int]) -> list[list[Part]]:
    """Passes that feed every row its chunk from left to right, all parts of a pass equally long.

    One pass for each length that occurs, or one for each power of two that lengths are sums of, whichever are fewer.
    """
    whole = sorted({length for length in lengths if length})
    powers = [1 << bit for bit in reversed(range(max(lengths).bit_length()))]
    powers = [power for power in powers if any(length & power for length in lengths)]
    if len(whole) <= len(powers):
        return [[Part(row, 0, length) for row, length in enumerate(lengths) if length == wanted] for wanted in whole]
    # the parts before this one are the length's larger powers
    starts = [[length & ~(2 * power - 1) for length in lengths] for power in powers]
    return [
        [Part(row, start[row], start[row] + power) for row, length in enumerate(lengths) if length & power]
        for power, start in zip(powers, starts, strict=True)
    ]


def singly(lengths: Sequence[int], begun: Sequence[bool]) -> list[list[Part]]:
    """Passes that feed rows that have begun token by token, and the others their chunks at once."""
    fresh = [0 if has else length for length, has in zip(lengths, begun, strict=True)]
    steps = [length if has else 0 for length, has in zip(lengths, begun, strict=True)]
    wholes = [
        [Part(row, 0, length) for row, length in enumerate(fresh) if length == wanted]
        for wanted in sorted({*fresh} - {0})
    ]
    return wholes + [
        [Part(row, at, at + 1) for row, length in enumerate(steps) if at < length] for at in range(max(steps))
    ]
