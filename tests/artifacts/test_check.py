"""Whether files are what results were made from, wherever one asks from; and no yes where nothing was looked at."""

from pathlib import Path

import pytest

from trimtab.artifacts import files
from trimtab.artifacts.check import changed
from trimtab.errors import TrimtabError

NAME = "results/mine/model/manifest.json"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A table that was made from a manifest, in a run that worked in the folder above `results`."""
    files.write_json(tmp_path / NAME, {"model": "m"})
    made_from = {NAME: files.sha256(tmp_path / NAME), "workflow/resources/lost.yaml": "0" * 64}
    files.write_json(tmp_path / "results/mine/probes/a.json", {"provenance": {"inputs": made_from}})
    return tmp_path / "results/mine"


@pytest.mark.parametrize("place", [".", "results/mine", "elsewhere"])
def test_a_changed_file_is_found_from_wherever_one_asks(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / place).mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / place)
    root = Path() if place == "results/mine" else results
    assert changed(root) == []
    (results / "model/manifest.json").write_text("{}")
    (line,) = changed(root)
    assert line.startswith(f"{NAME}: isn't what ")


@pytest.mark.parametrize("name", ["results/other", "results/mine/model"])
def test_a_folder_in_which_nothing_is_looked_at_is_no_sound_one(results: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(TrimtabError, match=rf"^{tmp_path / name}: holds no file that an artifact there was made from"):
        changed(tmp_path / name)
