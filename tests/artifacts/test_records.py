"""What made an artifact stands beside it, and comes back where Snakemake's own memory is lost."""

import base64
import json
import shutil
from pathlib import Path

import pytest

from trimtab.artifacts import files, records

RESULTS = Path("results", "mine")
MANIFEST = "results/mine/model/manifest.json"
LONG = f"results/mine/vectors/{'x' * 120}/{'y' * 120}.json"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with one artifact, which Snakemake remembers."""
    monkeypatch.chdir(tmp_path)
    made(MANIFEST, "5")
    return tmp_path


def made(artifact: str, seed: str, at: float = 1.0) -> None:
    """A job ended: the artifact is there, and Snakemake's record of it."""
    Path(artifact).parent.mkdir(parents=True, exist_ok=True)
    Path(artifact).touch()
    snakemakes(artifact).parent.mkdir(parents=True, exist_ok=True)
    snakemakes(artifact).write_text(json.dumps({"params": [seed], "endtime": at}))


def snakemakes(artifact: str) -> Path:
    """Where Snakemake 9.27 has its record, by its own code."""
    from snakemake.persistence.file import FilePersistence

    place = FilePersistence.__new__(FilePersistence)
    place._max_len = None
    Path(".snakemake/metadata").mkdir(parents=True, exist_ok=True)
    return Path(place._record_path(".snakemake/metadata", artifact))


def remembered(artifact: str) -> list[str] | None:
    path = snakemakes(artifact)
    return json.loads(path.read_text())["params"] if path.is_file() else None


def test_a_lost_memory_comes_back_from_beside_the_artifacts() -> None:
    made(LONG, "long")
    assert "@" in str(snakemakes(LONG))
    records.keep(RESULTS)
    shutil.rmtree(".snakemake")
    assert records.restore(RESULTS) == (
        "results/mine/records.json: says what made 2 artifacts of which .snakemake has no record or an older one"
    )
    assert remembered(MANIFEST) == ["5"]
    assert remembered(LONG) == ["long"]
    assert records.restore(RESULTS) is None


def test_other_experiments_and_deleted_artifacts_have_no_record_here() -> None:
    made("results/mine2/model/manifest.json", "6")
    made("results/mine/gone.json", "7")
    Path("results/mine/gone.json").unlink()
    records.keep(RESULTS)
    assert [*files.read_json(RESULTS / "records.json")] == [MANIFEST]


def test_of_two_checkouts_the_one_that_made_an_artifact_last_is_believed() -> None:
    records.keep(RESULTS)
    # as another checkout writes it, whose results are the same disk
    renewed = {MANIFEST: {"params": ["other"], "endtime": 2.0}}
    files.write_json(RESULTS / "records.json", renewed)
    assert records.restore(RESULTS) is not None
    assert remembered(MANIFEST) == ["other"]
    made(MANIFEST, "again mine", at=3.0)
    files.write_json(RESULTS / "records.json", {**renewed, "results/mine/new.json": {"params": [], "endtime": 2.0}})
    assert records.restore(RESULTS) is None
    assert remembered(MANIFEST) == ["again mine"]


def test_a_copy_of_the_folder_is_another_experiment_of_the_same_making() -> None:
    made("results/mine/prompts/all.jsonl", "--to results/mine --beside results/mine.v2 results/mine/x.json")
    made("results/mine.v2/model/manifest.json", "not its own")
    records.keep(RESULTS)
    shutil.copytree("results/mine", "results/copy")
    assert str(records.restore(Path("results/copy"))).startswith("results/copy/records.json: says what made 2 ")
    assert remembered("results/copy/model/manifest.json") == ["5"]
    said = "--to results/copy --beside results/mine.v2 results/copy/x.json"
    assert remembered("results/copy/prompts/all.jsonl") == [said]
    records.keep(Path("results/copy"))
    assert {*files.read_json(Path("results/copy/records.json"))} == {
        "results/copy/model/manifest.json",
        "results/copy/prompts/all.jsonl",
    }
    assert remembered("results/mine.v2/model/manifest.json") == ["not its own"]


def test_what_another_run_was_about_to_make_when_it_was_killed_is_made_anew() -> None:
    records.keep(RESULTS, [MANIFEST, "elsewhere/not_of_this_experiment.json"])
    # here the run's own memory says what was made before the kill
    assert records.restore(RESULTS) is None
    assert remembered(MANIFEST) == ["5"]
    shutil.rmtree(".snakemake")
    records.restore(RESULTS)
    assert remembered(MANIFEST) == records.UNKNOWN["params"]
    # and this isn't handed on as a record
    records.keep(RESULTS)
    assert files.read_json(RESULTS / "records.json") == {MANIFEST: None}


def test_artifacts_that_nothing_speaks_of_are_told() -> None:
    assert records.restore(RESULTS) is None
    shutil.rmtree(".snakemake")
    said = records.restore(RESULTS)
    assert said is not None
    assert said.startswith("results/mine: nothing says which settings made these artifacts")


def test_a_file_that_is_not_snakemakes_is_no_record() -> None:
    Path(".snakemake/metadata/notes.txt").write_text("mine")
    Path(".snakemake/metadata", base64.urlsafe_b64encode(b"results/mine/half.json").decode()).write_text('{"par')
    Path("results/mine/half.json").touch()
    records.keep(RESULTS)
    assert [*files.read_json(RESULTS / "records.json")] == [MANIFEST]
