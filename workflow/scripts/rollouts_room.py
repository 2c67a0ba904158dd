"""Rule room: whether the unsteered agent leaves each trait's measure room both ways."""

from trimtab.jobs.entry import script

from pathlib import Path

import pandas as pd

from trimtab.agent.points import Decisions
from trimtab.agent.room import Room, rooms
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.errors import TrimtabError
from trimtab.settings.statistics import PrimarySettings


def main(calibration: Path, points: Path, out: Path, *, settings: PrimarySettings, on_no_room: str) -> None:
    """Write one row a trait; a measure at an end of its range is named in the log, or is an error where the config says
    stop."""
    measures = Decisions.read(points).measured(settings.primary)
    found = rooms(files.read_json(calibration)["chances"], measures)
    told = [each.complaint for each in found if each.complaint]
    if told and on_no_room == "stop":
        raise TrimtabError("\n".join(told))
    for line in told:
        print(line)
    files.write_csv(out, pd.DataFrame(found, columns=Room._fields), provenance([calibration], settings.record()))


if __name__ == "__main__":
    script(main)
