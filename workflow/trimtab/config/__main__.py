"""`python -m trimtab.config write`: the files that are made from the models of the settings.

`python -m trimtab.config check mine.yaml`: what is wrong with a config's files, also where Snakemake can't read them.
"""

from trimtab.jobs.entry import commands

from pathlib import Path

from trimtab.config import written
from trimtab.config.check import check
from trimtab.config.generated import ROOT, files


def write() -> None:
    """Write config.yaml, workflow/schemas/config.schema.json and docs/config.md."""
    for path, text in files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def check_files(paths: list[Path]) -> None:
    """Say what is wrong with config files, each on top of those before it and of config.yaml, one line a problem.

    What the resources and the model must have for it is told by `snakemake --dry-run`.
    """
    default = ROOT / "config.yaml"
    origins = written.read(default, paths, {})
    config = written.merged([default, *paths])
    written.complete(config, origins, ROOT)
    check(config, origins)
    print(f"{', '.join(map(str, paths)) or default}: in order")


if __name__ == "__main__":
    commands(write=write, check=check_files)
