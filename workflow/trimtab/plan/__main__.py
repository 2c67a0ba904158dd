"""`python -m trimtab.plan new NAME MODEL`: a first config for a model of one's own.

`python -m trimtab.plan experiments A B`: several experiments, with what they have in common made once.
"""

from trimtab.jobs.entry import commands

import shlex
from pathlib import Path

from trimtab.errors import TrimtabError
from trimtab.plan import experiments
from trimtab.plan.new import propose


def new(name: str, model: str, *, revision: str | None = None) -> None:
    """Write NAME.yaml, what differs from the default for MODEL (a folder, a GGUF file, or a hub id with --revision).

    Says what the model can't do, and what the run will cost.
    """
    out = Path(f"{name}.yaml")
    if out.exists():
        raise TrimtabError(f"{out} is there already; give another name, or delete it")
    try:
        made = propose(name, model, revision)
    except TrimtabError as error:
        # there is no config yet that could be to blame
        raise TrimtabError(str(error).replace("config.yaml, model.source", "MODEL")) from None
    out.write_text(made.text, encoding="utf-8")
    print(made.plan(Path("results", name)))
    for warning in made.warnings:
        print(f"careful: {warning}")
    print(
        f"\n{out} is written; then:\n"
        f"  snakemake --configfile {out} -- results/{name}/model/preflight.json    # does it compute rightly here?\n"
        f"  snakemake --configfile {out}    # everything"
    )


def run(files: list[Path], *, below: list[Path] = [], options: str = "") -> None:  # noqa: B006
    """Run the experiments of config files FILES one after the other, each on top of the files --below, with further
    words for Snakemake in one text, --options."""
    experiments.run(files, below, shlex.split(options))


if __name__ == "__main__":
    commands(new=new, experiments=run)
