"""Rule conditions: the table of one batch's conditions."""

from pathlib import Path
from typing import Any

from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.jobs.entry import script
from trimtab.rollouts.conditions import COMMON, as_table, common_conditions, trait_conditions


def main(out: Path, *, batch: str, probe: list[Path], layers: list[int], settings: dict[str, Any]) -> None:
    """Write the conditions of `batch` to `out`; a trait's are at the layer of its `probe`."""
    if batch == COMMON:
        conditions = common_conditions(layers[len(layers) // 2], settings)
    else:
        conditions = trait_conditions(batch, int(files.read_json(probe[0])["layer"]), settings)
    files.write_csv(out, as_table(conditions), provenance(probe, {**settings, "layers": layers}))


if __name__ == "__main__":
    script(main)
