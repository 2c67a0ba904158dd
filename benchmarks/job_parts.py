"""Where one job's processor time goes: its own program, run again, with a stopwatch around what it calls by name.

The program is a script of `workflow/scripts`; the names are functions that it imports. Written as JSON to stdout:
seconds of this process up to the script's own work (`start`), in each name, and in all (`whole`).
"""

import json
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def timed(work: Callable[..., Any], seconds: dict[str, float], name: str) -> Callable[..., Any]:
    """The same function; what each call of it takes is added to `seconds`."""

    def call(*given: Any, **named: Any) -> Any:
        start = time.process_time()
        try:
            return work(*given, **named)
        finally:
            seconds[name] = seconds.get(name, 0.0) + time.process_time() - start

    return call


def main(names: list[str], script: str, words: list[str]) -> None:
    space = runpy.run_path(script, run_name="job")
    own = space["main"].__globals__
    seconds: dict[str, float] = {}
    own |= {name: timed(own[name], seconds, name) for name in names}
    sys.argv = [script, *words]
    start = time.process_time()
    own["script"](own["main"])
    print(json.dumps({"start": start, **seconds, "whole": time.process_time()}))


if __name__ == "__main__":
    main(sys.argv[1].split(","), str(Path(sys.argv[2])), sys.argv[3:])
