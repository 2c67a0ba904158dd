"""Rule plan: print what the run will take, stage by stage, and what it has come to so far."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.plan.cost import RATES, as_text, work
from trimtab.plan.design import doubts
from trimtab.plan.shape import shape
from trimtab.settings.experiment import Experiment


def main(results: Path, *, config: Experiment, rate: float | None = None) -> None:
    """Print the table; `rate` is the machine's operations a second."""
    model = config.model
    planned = work(config, shape(model.source, model.revision, model.dtype))
    print(as_text(planned, rate or RATES[model.device], results))
    for line in doubts(config):
        print(f"this design can't answer all that it asks: {line}")


if __name__ == "__main__":
    script(main)
