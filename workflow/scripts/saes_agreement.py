"""Rule sae_agreement: how far two seeds of a layer's dictionary find the same latents."""

from trimtab.jobs.entry import script

from pathlib import Path

import pandas as pd

from trimtab import seeds
from trimtab.artifacts import files, tensors
from trimtab.artifacts.provenance import provenance
from trimtab.saes.agreement import agreement


def main(table: Path, *, first: list[Path], again: list[Path], layers: list[int], seed: int) -> None:
    """Write one row a layer to `table`; `first` and `again` are weights, in the order of `layers`."""
    own_seed = seeds.derive(seed, "saes", "agreement")
    rows = []
    for layer, *pair in zip(layers, first, again, strict=True):
        one, other = (tensors.read(path)[0]["W_dec"] for path in pair)
        rows.append({"layer": layer, **agreement(one, other, own_seed)._asdict()})
    files.write_csv(table, pd.DataFrame(rows), provenance([*first, *again], {}, own_seed))


if __name__ == "__main__":
    script(main)
