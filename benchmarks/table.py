"""benchmarks/RESULTS.md from the JSON files that the benches wrote."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import reach
from figures import ratios, spread

FOLDER = Path(__file__).parent
HEAD = """# Benchmarks

Made by `make bench` (one bench: `make bench BENCHES=<name>`). Each bench runs Trimtab and its peers, installed by
`benchmarks/peers-<name>.txt` beside Trimtab's environment, in one process and in turns. A rate is the median over the
rounds, with the smallest and the largest in brackets; a ratio is taken within each round.
"""


def page(records: Mapping[str, Mapping[str, Any]]) -> str:
    """The page's text; `records` is name -> content of a bench's JSON file."""
    # the first table is of several benches
    others = sorted(records.keys() - {"waits"})
    return "\n".join(
        [HEAD, *reach.section(records), *(line for name in others for line in section(name, records[name]))]
    )


def section(name: str, record: Mapping[str, Any]) -> Iterator[str]:
    """The lines of one bench."""
    machine = record["machine"]
    yield f"## {record['title']}\n"
    beside = f" and one {machine['gpu']}" if "gpu" in machine else ""
    script = name.partition("-")[0]
    yield f"`benchmarks/{script}.py`, on {machine['cores']} cores of {machine['processor']}{beside}."
    yield from record["about"]
    versions = ", ".join(f"{package} {version}" for package, version in record["versions"].items())
    yield f"Versions: {versions}.\n"
    if record["rates"]:
        rates = record["rates"]
        own = [[each["task"], each["contender"], f"{spread(each['values'])} {each['unit']}"] for each in rates]
        yield from _table(["task", "contender", "rate"], own)
    if record["claims"]:
        found = [_claim(claim, record["rates"]) for claim in record["claims"]]
        yield from _table(["task", "ratio", "found", "target"], found)
    for table in record.get("tables", []):
        yield from _table(table["head"], table["rows"])
    if picture := record.get("picture"):
        yield f"![{picture['caption']}]({picture['file']})\n"
    for check, figure in record["checks"].items():
        yield f"- {check}: {figure:.3g}" if isinstance(figure, float) else f"- {check}: {figure}"
    if record["checks"]:
        yield ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _claim(claim: Mapping[str, Any], rates: list[Mapping[str, Any]]) -> list[str]:
    found = ratios(rates, claim["task"], claim["contender"], claim["against"])
    wanted = claim["at_least"]
    verdict = "" if wanted is None else f"{wanted:.3g} or more: {'reached' if median(found) >= wanted else 'missed'}"
    return [claim["task"], f"{claim['contender']} / {claim['against']}", spread(found), verdict]


def main() -> None:
    records = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
    (FOLDER / "RESULTS.md").write_text(page(records))


if __name__ == "__main__":
    main()
