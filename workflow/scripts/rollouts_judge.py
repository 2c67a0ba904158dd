"""Rule judge: a language model's opinion of some rollouts, and how far it agrees with what is counted."""

from trimtab.jobs.entry import script

from functools import partial
from pathlib import Path

import pandas as pd

from trimtab import seeds
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.rollouts.judge import Replies, agreement, ask, judged


def main(
    outcomes: Path, verdicts: Path, table: Path, *, turns: list[Path], url: str, model: str, rollouts: int, seed: int
) -> None:
    """Write one row a judged rollout to `verdicts`, and one row a question to `table`.

    Replies are kept beside `verdicts` under a hidden name, since Snakemake deletes the outputs of a job that fails.
    """
    steps = pd.concat(map(pd.read_parquet, turns), ignore_index=True)
    drawn = seeds.derive(seed, "rollouts", "judge")
    replies = Replies(verdicts.with_name(".judge.jsonl"), partial(ask, url, model), [url, model])
    found = judged(steps, pd.read_parquet(outcomes), rollouts, drawn, replies)
    settings = {"url": url, "model": model, "rollouts": rollouts}
    files.write_parquet(verdicts, found, provenance([outcomes, *turns], settings, seed))
    files.write_csv(table, agreement(found), provenance([outcomes, *turns], settings, seed))


if __name__ == "__main__":
    script(main)
