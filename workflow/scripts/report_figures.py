"""Rule report_figures: every figure of the report as SVG and PDF."""

from pathlib import Path
from typing import Any

from trimtab.jobs.entry import script
from trimtab.report.figures import write_figures
from trimtab.report.run import read_run


def main(results: Path, figures: Path, *, config: dict[str, Any]) -> None:
    """Draw the run under `results` into the folder `figures`."""
    write_figures(read_run(results, config), figures)


if __name__ == "__main__":
    script(main)
