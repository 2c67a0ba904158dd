"""Rule conditions: the table of one batch's conditions."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.rollouts.conditions import as_table, common_conditions, trait_conditions
from trimtab.settings.rollouts import CommonDesign, Design


def main(out: Path, *, batch: str, probe: list[Path], middle: int, settings: Design | CommonDesign) -> None:
    """Write the conditions of `batch` to `out`; a trait's, of a whole design, are at the layer of its `probe`, those of
    no trait at the `middle` one."""
    if isinstance(settings, Design):
        conditions = trait_conditions(batch, int(files.read_json(probe[0])["layer"]), settings)
    else:
        conditions = common_conditions(middle, settings)
    files.write_csv(out, as_table(conditions), provenance(probe, {**settings.record(), "middle": middle}))


if __name__ == "__main__":
    script(main)
