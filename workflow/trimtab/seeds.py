"""Seeds for every random draw, from the experiment's seed and the name of what is drawn.

Two artifacts never share a stream, and adding one never shifts another's: there is no global state to consume.
"""

import hashlib


def derive(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the draw called by `names`, the same on every machine."""
    text = "\x1f".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
