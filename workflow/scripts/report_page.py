"""Rule report_page: the one self-contained page about a run."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.report.page import write_page
from trimtab.report.run import read_whole_run
from trimtab.settings.experiment import Experiment


def main(results: Path, page: Path, *, figures: Path, config: Experiment) -> None:
    """Write `page` from the run under `results` and its drawn figures."""
    write_page(read_whole_run(results, config), figures, page)


if __name__ == "__main__":
    script(main)
