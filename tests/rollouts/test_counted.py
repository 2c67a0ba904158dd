"""The turns of a run are those that its outcomes were counted from, whatever else lies beside them."""

import shutil

import pandas as pd
import pytest

from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.errors import TrimtabError
from trimtab.rollouts.counted import turn_files


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "run/rollouts/turns"
    frame = pd.DataFrame({"condition_id": ["a"], "seed": [0]})
    paths = [folder / name for name in ("common.parquet", "risk.parquet")]
    for path in paths:
        files.write_parquet(path, frame, {})
    scenarios = tmp_path / "run/prompts/scenarios.jsonl"
    files.write_jsonl(scenarios, [{"id": "s"}])
    files.write_parquet(folder.parent / "outcomes.parquet", frame, provenance([scenarios, *paths], {}))
    # a seed that the experiment no longer has
    files.write_parquet(folder / "risk.seed1.parquet", frame, {})
    return tmp_path / "run"


def names(results):
    return [path.relative_to(results).as_posix() for path in turn_files(results)]


def test_what_is_left_over_is_not_taken(results):
    assert names(results) == ["rollouts/turns/common.parquet", "rollouts/turns/risk.parquet"]


def test_a_folder_that_was_moved_is_read_where_it_lies(results, tmp_path):
    moved = shutil.move(results, tmp_path / "elsewhere")
    assert [path.parents[2] for path in turn_files(tmp_path / "elsewhere")] == [moved, moved]


def test_a_lost_table_is_named(results):
    (results / "rollouts/turns/risk.parquet").unlink()
    with pytest.raises(TrimtabError, match=r"turns: risk\.parquet missing, which rollouts/outcomes\.parquet was"):
        turn_files(results)


def test_results_without_outcomes_are_refused(results):
    (results / "rollouts/outcomes.parquet").unlink()
    with pytest.raises(TrimtabError, match=r"outcomes\.parquet: no such file"):
        turn_files(results)
