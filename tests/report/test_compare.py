"""Two runs compared, and one run's trail: a planted change is found where it entered, and nothing else is."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from trimtab.artifacts import files
from trimtab.artifacts.trail import recorded, trail
from trimtab.errors import TrimtabError
from trimtab.report.compare import as_text, compare


@pytest.fixture
def other(results: Path, tmp_path: Path) -> Path:
    """A copy of the finished run under another folder."""
    return Path(shutil.copytree(results, tmp_path / "other"))


def test_a_run_is_the_same_as_its_copy(results, other):
    found = compare(results, other)
    assert found.settings.empty
    assert found.artifacts.empty
    assert found.declared.empty
    assert found.effects.empty
    assert found.same > 20
    assert found.n_effects > 1000
    assert as_text(found).count("no difference") == 2


def test_what_changed_is_found(results, other):
    summary = files.read_json(other / "statistics/summary.json")
    summary["traits"]["autonomy"] |= {"verdict": "undecided", "estimate": 0.25}
    summary["provenance"]["settings"]["draws"] = 999
    files.write_json(other / "statistics/summary.json", summary)
    effects = pd.read_csv(other / "statistics/effects.csv")
    effects.loc[0, "estimate"] += 1
    files.write_csv(other / "statistics/effects.csv", effects)
    (other / "probes/scores.csv").unlink()
    found = compare(results, other)
    assert found.settings.to_dict("records") == [{"stage": "statistics", "setting": "draws", "a": "400", "b": "999"}]
    states = found.artifacts.set_index("file")
    assert states["state"].to_dict() == {
        "probes/scores.csv": "only in a",
        "statistics/effects.csv": "changed",
        "statistics/summary.json": "changed",
    }
    # made from the same files, so a setting or code did it
    assert states.loc["statistics/summary.json", "entered"]
    assert found.declared["trait"].tolist() == ["autonomy"]
    assert found.effects["change"].tolist() == [pytest.approx(1)]
    text = as_text(found)
    assert "statistics: draws: 400 -> 999" in text
    assert "undecided 0.25" in text
    assert f"1 of {found.n_effects:,}" in text


@pytest.mark.slow
def test_the_command_prints_and_writes(results, tmp_path):
    command = [sys.executable, "-W", "error", "-m", "trimtab.report", "compare", str(results), str(results)]
    done = subprocess.run([*command, "--folder", str(tmp_path)], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert "Declared results" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {
        "settings.csv",
        "artifacts.csv",
        "declared.csv",
        "effects.csv",
    }


def test_an_unfinished_run_is_named(results, tmp_path):
    with pytest.raises(TrimtabError, match=r"no statistics/summary\.json"):
        compare(results, tmp_path)


def chain(root: Path) -> None:
    """statistics <- rollouts <- vector, each with the record of its input."""
    for folder in ("statistics", "rollouts", "vectors"):
        (root / folder).mkdir(parents=True)
    (root / "vectors/v.csv").write_text("1\n")

    def record(*inputs: str) -> dict:
        hashes = {f"results/{root.name}/{name}": files.sha256(root / name) for name in inputs}
        return {"inputs": hashes, "settings": {}, "seed": 3, "versions": {}, "commit": "abc"}

    files.write_parquet(root / "rollouts/outcomes.parquet", pd.DataFrame({"x": [1]}), record("vectors/v.csv"))
    files.write_json(root / "statistics/summary.json", {"provenance": record("rollouts/outcomes.parquet")})


def test_a_trail_reaches_the_sources_and_sees_a_change(tmp_path):
    root = tmp_path / "mine"
    chain(root)
    links = trail(root, "statistics/summary.json")
    assert [(link.file, link.state, link.commit, link.seed) for link in links] == [
        ("rollouts/outcomes.parquet", "same", "abc", 3),
        ("vectors/v.csv", "same", "", None),
    ]
    assert links[0].made_from == ["vectors/v.csv"]
    (root / "vectors/v.csv").write_text("2\n")
    assert trail(root, "statistics/summary.json")[1].state == "changed"
    (root / "vectors/v.csv").unlink()
    assert trail(root, "statistics/summary.json")[1].state == "absent"


def test_a_file_without_a_record_has_none(tmp_path):
    (tmp_path / "x.csv").write_text("1\n")
    assert recorded(tmp_path / "x.csv") is None
