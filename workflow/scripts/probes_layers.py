"""Rule probe_layers: the layers that the traits' probes chose, most chosen first."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.probes.layers import chosen_layers


def main(out: Path, *, probes: list[Path]) -> None:
    """Write the list to `out`; `probes` are probes/<trait>.json."""
    read = [files.read_json(path) for path in probes]
    layers = chosen_layers((each["trait"], int(each["layer"])) for each in read)
    files.write_json(out, {"layers": layers, "provenance": provenance(probes, {})})


if __name__ == "__main__":
    script(main)
