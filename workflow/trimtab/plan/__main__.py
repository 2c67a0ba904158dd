"""`python -m trimtab.plan new NAME MODEL`: a first config for a model of one's own."""

from trimtab.jobs.entry import commands

from pathlib import Path

from trimtab.errors import TrimtabError
from trimtab.plan.new import propose


def new(name: str, model: str, *, revision: str | None = None) -> None:
    """Write NAME.yaml, what differs from the default for MODEL (a folder, a GGUF file, or a hub id with --revision).

    Says what the model can't do, and what the run will cost.
    """
    out = Path(f"{name}.yaml")
    if out.exists():
        raise TrimtabError(f"{out} is there already; give another name, or delete it")
    made = propose(name, model, revision)
    out.write_text(made.text, encoding="utf-8")
    print(made.plan(Path("results", name)))
    for warning in made.warnings:
        print(f"careful: {warning}")
    print(
        f"\n{out} is written; then:\n"
        f"  snakemake --configfile {out} -- results/{name}/model/preflight.json    # are its numbers right here?\n"
        f"  snakemake --configfile {out}    # everything"
    )


if __name__ == "__main__":
    commands(new=new)
