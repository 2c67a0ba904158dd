"""Rule vector_tables: the geometry of all vectors, and what their doses come to, as tables."""

import json
from pathlib import Path

import pandas as pd

from trimtab import seeds
from trimtab.artifacts import files, tensors
from trimtab.artifacts.provenance import provenance
from trimtab.jobs.entry import script
from trimtab.vectors import artifact, geometry


def main(folder: Path, *, vectors: list[Path], probes: list[Path], seed: int) -> None:
    """Write geometry.csv, dimensions.csv, latents.csv, doses.csv and kl.csv to `folder`."""
    read = [artifact.read(path) for path in sorted(vectors)]
    weights = {path.stem: tensors.read(path)[0]["weight"] for path in sorted(probes)}
    doses, targets = [], []
    for vector in read:
        about = vector.about
        names = {"method": vector.method, "trait": vector.trait, "layer": vector.layer}
        known = {"raw_norm": float(about["raw_norm"]), "held_out_gap": float(about["held_out_gap"])}
        doses += [{**names, **row, **known} for row in json.loads(about["dose_calibration"])]
        derived = json.loads(about["asc"])
        targets += [
            {**names, **row, "sign_check": about["sign_check"], **derived}
            for row in json.loads(about["kl_calibration"])
        ]
    tables = {
        "geometry": geometry.cosines(read),
        "dimensions": geometry.dimensions(read, seeds.derive(seed, "vectors", "dimensions")),
        "latents": geometry.latent_shares(weights),
        "doses": pd.DataFrame(doses),
        "kl": pd.DataFrame(targets),
    }
    origin = provenance([*vectors, *probes], {}, seed)
    for name, table in tables.items():
        files.write_csv(folder / f"{name}.csv", table, origin)


if __name__ == "__main__":
    script(main)
