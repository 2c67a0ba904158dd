"""A job of eighty seconds that keeps what it has done when it is asked to stop."""

from trimtab.jobs.entry import script

import time
from pathlib import Path

from trimtab.artifacts import files
from trimtab.jobs import stopping

STEPS = 80


def main(state: Path, out: Path) -> None:
    starts, done = files.read_json(state) if state.exists() else ([], 0)
    starts.append(done)
    for step in range(done, STEPS):
        if stopping.asked():
            files.write_json(state, [starts, step])
            stopping.stop_if_asked(f"{step} of {STEPS} steps are done")
        time.sleep(1)
    files.write_json(out, starts)


if __name__ == "__main__":
    script(main)
