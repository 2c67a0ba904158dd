"""`python -m trimtab.rollouts`: what finished rollouts can be turned into."""

from trimtab.jobs.entry import commands

from pathlib import Path

from trimtab.rollouts.inspect_logs import write_logs


def inspect(results: Path, out: Path, *, condition: str | None = None) -> None:
    """Write a log for `inspect view` of each condition, or of one, of a results folder into a folder."""
    for path in write_logs(results, out, condition):
        print(path)


if __name__ == "__main__":
    commands(inspect=inspect)
