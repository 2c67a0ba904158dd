"""Rule drift: where the agent's own rows lie along the Assistant Axis, turn by turn."""

from trimtab.jobs.entry import script

from pathlib import Path

import pandas as pd

from trimtab import seeds
from trimtab.agent import played, protocols
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.model.source import from_manifest
from trimtab.settings.statistics import ComparisonSettings
from trimtab.steering.changes import Floor
from trimtab.vectors import artifact, drift
from trimtab.vectors.artifact import OwnEdits
from trimtab.vectors.own_episodes import read_rows


def main(
    manifest: Path, episodes: Path, vector: Path, agent: Path, out: Path, *, compared: ComparisonSettings, seed: int
) -> None:
    """Write one row a layer and turn; none where the axis could not be made."""
    _, model, tokenizer = from_manifest(manifest)
    protocol, own = protocols.read(agent, tokenizer), played.read(episodes)
    found, left_out = artifact.read_all([vector])
    for each in left_out:
        print(f"{each.method}: {each.why}; there is nothing to drift along")
    tables = [pd.DataFrame(columns=drift.COLUMNS)]
    draw = seeds.derive(seed, "vectors", "drift")
    for made in found:
        assert isinstance(made, OwnEdits)
        for edit in made.edits:
            assert isinstance(edit.change, Floor)
            axis, floor = edit.change.unit, edit.change.threshold
            told = [*drift.turns(read_rows(model, protocol, own, edit.site), axis, floor)]
            tables.append(drift.table(edit.site.layer, floor, told, compared.draws, compared.level, draw))
    table = pd.concat(tables[1:] or tables, ignore_index=True)
    files.write_csv(out, table, provenance([manifest, episodes, vector], compared.record(), seed))


if __name__ == "__main__":
    script(main)
