"""Rule vector_tables: the geometry of all vectors, and what their doses come to, as tables."""

import json
from itertools import combinations
from pathlib import Path

import pandas as pd
from torch import Tensor

from trimtab import files, tensors
from trimtab.entry import script
from trimtab.provenance import provenance


def main(geometry: Path, doses: Path, *, vectors: list[Path]) -> None:
    """Write cosines of all pairs of one layer to `geometry` and a row a vector and dose to `doses`."""
    loaded: list[tuple[str, int, Tensor, dict[str, str]]] = []
    for path in sorted(vectors):
        named, about = tensors.read(path)
        layer = int(about["layer"])
        loaded.append((f"{about['method']}/{about['trait']}", layer, named[f"direction.{layer}"], about))
    cosines = [
        {"a": a, "b": b, "layer": layer, "cosine": float(one.double() @ other.double())}
        for (a, layer, one, _), (b, other_layer, other, _) in combinations(loaded, 2)
        if layer == other_layer
    ]
    origin = provenance(vectors, {})
    files.write_csv(geometry, pd.DataFrame(cosines, columns=["a", "b", "layer", "cosine"]), origin)
    spent = [
        {"method": about["method"], "trait": about["trait"], "layer": layer, **dose}
        | {"raw_norm": float(about["raw_norm"]), "held_out_gap": float(about["held_out_gap"])}
        for _, layer, _, about in loaded
        for dose in json.loads(about["dose_calibration"])
    ]
    files.write_csv(doses, pd.DataFrame(spent), origin)


if __name__ == "__main__":
    script(main)
