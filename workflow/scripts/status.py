"""Rule status: print what is made, what is running, what failed and where its log is."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.plan.status import as_text


def main(results: Path) -> None:
    """Print it."""
    print(as_text(results))


if __name__ == "__main__":
    script(main)
