"""`python -m trimtab.activations info FILE...` says what caches hold; `verify FILE...` reads and checks all of it."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.activations.check import info, problems
from trimtab.errors import TrimtabError


def main(command: str, files: list[Path]) -> None:
    """Print what was asked for; a file that isn't sound ends the program with a line for each problem."""
    if command not in ("info", "verify") or not files:
        raise TrimtabError(f"{command} {' '.join(map(str, files))}: expected info FILE... or verify FILE...")
    if command == "info":
        print("\n\n".join(info(path) for path in files))
        return
    found = {path: list(problems(path)) for path in files}
    for path in files:
        if not found[path]:
            print(f"{path}: sound")
    if wrong := [line for path in files for line in found[path]]:
        raise TrimtabError("\n".join(wrong))


if __name__ == "__main__":
    script(main)
