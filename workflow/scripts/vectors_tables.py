"""Rule vector_tables: the geometry of all vectors, and what their doses come to, as tables."""

from trimtab.jobs.entry import script

from dataclasses import asdict, fields
from pathlib import Path

import pandas as pd

from trimtab import seeds
from trimtab.artifacts import files, tensors
from trimtab.artifacts.provenance import provenance
from trimtab.vectors import artifact, geometry, unmade
from trimtab.vectors.artifact import Vector
from trimtab.vectors.curves import Looked, Margin
from trimtab.vectors.record import Opened, Threshold

NAMES = ["method", "trait", "layer"]
OPENINGS = [*NAMES, *(each.name for each in fields(Opened))]
# its own layer is where a vector was applied
THRESHOLDS = [*NAMES[:2], *(each.name for each in fields(Threshold))]
TRAINING, MARGINS = ([*NAMES, *(each.name for each in fields(kind))] for kind in (Looked, Margin))


def main(folder: Path, *, vectors: list[Path], probes: list[Path], seed: int) -> None:
    """Write the tables of docs/columns.md that `tables` names to `folder`."""
    read, left_out = artifact.read_all(sorted(vectors))
    directions = [made for made in read if isinstance(made, Vector)]
    weights = {path.stem: tensors.read(path)[0]["weight"] for path in sorted(probes)}
    doses, targets, thresholds, openings, training, margins = [], [], [], [], [], []
    for made in read:
        record = made.record
        names = {"method": record.method, "trait": record.trait, "layer": record.layer}
        known = {"raw_norm": record.raw_norm, "held_out_gap": record.held_out_gap}
        doses += [{**names, **asdict(each), **known} for each in record.dose_calibration]
        thresholds += [{**names, **asdict(each)} for each in record.thresholds]
        openings += [{**names, **asdict(each)} for each in record.openings]
        training += [{**names, **asdict(each)} for each in record.training]
        margins += [{**names, **asdict(each)} for each in record.margins]
        derived = {"sign_check": record.sign_check} | (asdict(record.asc) if record.asc else {})
        targets += [{**names, **asdict(each), **derived} for each in record.kl_calibration]
    tables = {
        "geometry": geometry.cosines(directions),
        "dimensions": geometry.dimensions(directions, seeds.derive(seed, "vectors", "dimensions")),
        "latents": geometry.latent_shares(weights),
        "doses": pd.DataFrame(doses),
        "kl": pd.DataFrame(targets),
        "thresholds": pd.DataFrame(thresholds, columns=THRESHOLDS),
        "openings": pd.DataFrame(openings, columns=OPENINGS),
        "training": pd.DataFrame(training, columns=TRAINING),
        "margins": pd.DataFrame(margins, columns=MARGINS),
        "not_made": unmade.table(left_out),
    }
    origin = provenance([*vectors, *probes], {}, seed)
    for name, table in tables.items():
        files.write_csv(folder / f"{name}.csv", table, origin)


if __name__ == "__main__":
    script(main)
