"""From the files of runs to the league's: what the script reads, and what it writes."""

import subprocess
from pathlib import Path

import pandas as pd
import pytest
from league_tables import DOSE, FOLDER, TRUTHS, law, tables

from trimtab.artifacts import files
from trimtab.errors import TrimtabError
from trimtab.league import runs
from trimtab.league.numbers import numbers

SCRIPT = Path(__file__).parents[2] / "workflow/scripts/league_page.py"


def run_of(folder, truth, seed):
    """The files of one organism's run."""
    given = tables(truth, seed)
    for name in ("vectors/decisions", "organism", "logs/vectors"):
        (folder / name).mkdir(parents=True)
    for trait, own in given.decisions.groupby("trait"):
        files.write_parquet(folder / f"vectors/decisions/{trait}.parquet", own, {})
    made = {"settings": {"truth": truth, "kl": 0.2}}
    files.write_parquet(folder / "organism/measured.parquet", given.measured, made)
    answered = {"settings": {"truth": truth, "dose": DOSE}}
    files.write_csv(folder / "organism/answers.csv", given.answers, answered)
    files.write_csv(folder / "vectors/comparison.csv", given.comparison)
    files.write_csv(folder / "vectors/not_made.csv", pd.DataFrame(columns=["method", "trait", "layer", "why"]))
    for trait, own in given.seconds.groupby("trait"):
        lines = [f"INFO a: {one.method}: made in {one.seconds:.2f} s; Cost()" for one in own.itertuples()]
        (folder / f"logs/vectors/{trait}.log").write_text("\n".join(lines))
    return given


@pytest.mark.parametrize("truth", TRUTHS)
def test_a_run_is_read_from_its_files(tmp_path, truth):
    folder = tmp_path / "league.1"
    given = run_of(folder, truth, seed=5)
    read = runs.read(folder, FOLDER)
    assert (read.kl, read.dose) == (0.2, DOSE)
    assert set(read.rows["organism"]) == {"league.1"}
    assert set(read.rows["truth"]) == {truth}
    expected = numbers(given, law(truth), DOSE)
    found = read.rows.set_index("method").drop(columns=["organism", "truth"])
    # logs have two digits
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, atol=0.01)
    (folder / "organism/answers.csv").unlink()
    with pytest.raises(TrimtabError, match=r"answers\.csv: not there; expected an organism that `make league` has run"):
        runs.read(folder, FOLDER)


@pytest.mark.slow
def test_the_script_writes_the_league(tmp_path, quick_python):
    folders = [tmp_path / f"{truth}.{seed}" for truth in TRUTHS for seed in (1, 2)]
    for at, folder in enumerate(folders):
        run_of(folder, folder.name.partition(".")[0], seed=at)
    other = tmp_path / "other"
    (other / "vectors").mkdir(parents=True)
    (other / "vectors/comparison.csv").write_text((folders[0] / "vectors/comparison.csv").read_text())
    out = tmp_path / "league"
    out.mkdir()
    words = ["--organisms", *folders, "--others", other, "--data", FOLDER]
    subprocess.run([quick_python, SCRIPT, out, *words], check=True)
    names = {"rows.csv", "league.csv", "tests.csv", "agreement.csv", "league.svg", "league.pdf", "league.html"}
    assert names <= {path.name for path in out.iterdir()}
    rows = pd.read_csv(out / "rows.csv")
    assert rows.groupby("truth")["organism"].nunique().to_dict() == dict.fromkeys(TRUTHS, 2)
    text = (out / "league.html").read_text()
    assert "<td>other</td><td>Kendall&#39;s tau</td>" in text
    tau = pd.read_csv(out / "agreement.csv").set_index(["other", "name"]).loc[("other", "Kendall's tau")]
    assert f"<td>{tau['estimate']:.2f} [{tau['lower']:.2f}, {tau['upper']:.2f}]</td>" in text
