"""Rule report_figures: every figure of the report as SVG and PDF."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.report.figures import write_figures
from trimtab.report.run import read_run
from trimtab.settings.report import FigureSettings


def main(results: Path, figures: Path, *, settings: FigureSettings) -> None:
    """Draw the run under `results` into the folder `figures`."""
    write_figures(read_run(results, settings), figures)


if __name__ == "__main__":
    script(main)
