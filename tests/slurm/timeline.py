"""Draws what became of each job of one `make slurm-test`, to jobs.svg beside this file.

PYTHONPATH=workflow python tests/slurm/timeline.py results/slurm/jobs.csv
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

FILE = Path(__file__).with_name("jobs.svg")
COLUMNS = ["job", "comment", "partition", "state", "start", "end", "restarts"]
"""Of `table` in conftest.py, which asks the queue for them."""
# Okabe and Ito's colours, which readers of any colour vision tell apart
COLOURS = {"COMPLETED": "#0072B2", "FAILED": "#D55E00", "OUT_OF_MEMORY": "#E69F00", "CANCELLED": "#CC79A7"}
OTHER = "#999999"


def figure(jobs: pd.DataFrame) -> plt.Figure:
    """One bar a job, from its (last) start to its end, named by its rule and coloured by its end."""
    times = jobs[["start", "end"]].apply(pd.to_datetime)
    seconds = (times - times["start"].min()).apply(lambda column: column.dt.total_seconds())
    order = seconds["start"].sort_values(kind="stable").index
    drawn, axes = plt.subplots(figsize=(8, 0.17 * len(jobs) + 1), layout="constrained")
    for row, at in enumerate(order):
        job, begin, end = jobs.loc[at], seconds.loc[at, "start"], seconds.loc[at, "end"]
        axes.barh(row, max(end - begin, 1), left=begin, color=COLOURS.get(job["state"], OTHER))
        fate = "" if job["state"] == "COMPLETED" else f" {job['state'].lower().replace('_', ' ')}"
        again = f" put back {job['restarts']} x" if job["restarts"] else ""
        axes.text(end + 4, row, f"{name(job['comment'])}, {job['partition']}{fate}{again}", va="center", fontsize=6)
    axes.set(xlabel="time since the first job's start (s)", xlim=(0, 1.35 * seconds["end"].max()), yticks=[])
    axes.set_title(f"{len(jobs)} SLURM jobs of one `make slurm-test`", loc="left", fontsize=9)
    axes.invert_yaxis()
    axes.spines[["top", "right", "left"]].set_visible(False)
    return drawn


def name(comment: str) -> str:
    """The rule or group, from what the plugin says of a job."""
    return comment.removeprefix("rule_").replace("_wildcards_", " ")


if __name__ == "__main__":
    plt.rcParams |= {"svg.hashsalt": "trimtab", "svg.fonttype": "none", "font.size": 7}
    jobs = pd.read_csv(sys.argv[1])
    # without a comment: what looked whether the cluster is up
    figure(jobs[jobs["comment"] != "(null)"].reset_index(drop=True)).savefig(FILE, metadata={"Date": None})
