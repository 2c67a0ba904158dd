"""HDF5's Fletcher-32 checksum, computed without HDF5.

Chunks are written to, and read from, their places in the file directly (`store`, `reader`), so their checksums are ours
to compute.
"""

import numpy as np

BYTES = 4
WIDTH = 512
MODULUS = 65535


def fletcher32(data: np.ndarray) -> bytes:
    """The four bytes that HDF5 puts after a chunk of `data` (an even number of bytes, on a little-endian machine).

    The checksum is two sums over 16-bit words, the plain one and one weighted by the words left, modulo 65,535.
    """
    words = data.reshape(-1).view(np.uint16)
    count = len(words)
    # as a table: a word's weight is that of its row less its column, so row and column sums are all it takes
    table = words[: count - count % WIDTH].reshape(-1, WIDTH)
    rest = words[table.size :].astype(np.int64)
    # numpy adds up 32 bits several times as fast as 64; that many words fit into them
    narrow = np.uint32 if len(table) <= MODULUS else np.uint64
    rows = table.sum(axis=1, dtype=np.uint32).astype(np.int64)
    columns = table.sum(axis=0, dtype=narrow).astype(np.int64)
    plain = int(rows.sum() + rest.sum())
    if plain == 0:
        return bytes(BYTES)
    # residues first: products of whole sums would not fit into 64 bits
    weights = (count - WIDTH * np.arange(len(rows), dtype=np.int64)) % MODULUS
    weighted = int(
        (weights * (rows % MODULUS)).sum()
        - (np.arange(WIDTH) * (columns % MODULUS)).sum()
        + (np.arange(len(rest), 0, -1) * rest).sum()
    )
    return (_residue(weighted) << 16 | _residue(plain)).to_bytes(BYTES, "little")


def _residue(total: int) -> int:
    # HDF5 swaps the bytes of each word, which modulo 65,535 is a multiplication by 256, and where anything but zeros
    # went in, it writes a residue of 0 as 65,535
    return (256 * total - 1) % MODULUS + 1
