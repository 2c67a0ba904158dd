"""Rule vectors_comparison: all methods' effects on decisions at the same KL, and against their nulls."""

from trimtab.jobs.entry import script

from pathlib import Path

import pandas as pd

from trimtab import seeds
from trimtab.agent.points import Decisions
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.settings.statistics import ComparisonSettings
from trimtab.vectors.comparison import compare, measures, of_traits, with_costs
from trimtab.vectors.verdicts import against_nulls, verdicts


def main(
    table: Path,
    nulls: Path,
    points: Path,
    *,
    decisions: list[Path],
    layers: Path,
    chance: list[Path],
    settings: ComparisonSettings,
    reference: str,
    seed: int,
) -> None:
    """Write one row a method, trait and measure to `table`, and one a method, trait and null to `nulls`."""
    under_chance = [each for path in chance for each in of_traits(pd.read_parquet(path), files.read_json(layers))]
    read = pd.concat([*map(pd.read_parquet, decisions), *under_chance], ignore_index=True)
    # the config of a smaller experiment inherits the declared outcomes of traits that it leaves out
    primary = {trait: settings.primary[trait] for trait in read["trait"].unique()}
    measured = measures(read, Decisions.read(points).measured(primary))
    draw = seeds.derive(seed, "vectors", "comparison")
    told = against_nulls(measured, settings.level)
    judged = verdicts(told, 1 - settings.level)
    found = with_costs(compare(measured, judged, reference, settings.draws, settings.level, draw), read)
    origin = provenance([*decisions, *chance], {**settings.record(), "reference": reference}, seed)
    files.write_csv(table, found, origin)
    files.write_csv(nulls, told, origin)


if __name__ == "__main__":
    script(main)
