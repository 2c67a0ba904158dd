"""Rule scenarios: the scenarios of this experiment, each with its environment."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.prompts import resources


def main(scenarios: Path, selected: Path, record: Path, *, count: int) -> None:
    """Write `count` scenarios (JSON lines) to `selected` and where they come from to `record`."""
    chosen = resources.select_scenarios(resources.scenarios(scenarios), count)
    rows = [{**one, "messages": [{"role": "user", "content": one["task"]}]} for one in chosen]
    files.write_jsonl(selected, rows)
    files.write_json(record, provenance([], {"count": count, "resources": resources.digest(chosen)}))


if __name__ == "__main__":
    script(main)
