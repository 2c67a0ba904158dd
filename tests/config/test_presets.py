"""Every preset is a config that the schema takes, and that Snakemake can plan to the last job."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from trimtab.config.check import check
from trimtab.config.written import take_groups
from trimtab.errors import TrimtabError
from trimtab.jobs.origins import Origins
from trimtab.prompts import resources

ROOT = Path(__file__).parents[2]
PRESETS = ROOT / "workflow" / "presets"
NAMES = sorted(path.stem for path in PRESETS.glob("*.yaml"))
COMMIT = "0123456789abcdef0123456789abcdef01234567"
"""A stand-in: which commit to run is the user's to say."""
ON_TOP = dict.fromkeys(
    ["league", "league-methods", "organism-attention", "organism-edits", "organism-one-axis"], "organism"
)


def layers(name):
    """The presets of which one is made, the lowest first."""
    return [*([ON_TOP[name]] if name in ON_TOP else []), name]


def config(name):
    merged = yaml.safe_load((ROOT / "config.yaml").read_text())
    for layer in layers(name):
        update_config(merged, yaml.safe_load((PRESETS / f"{layer}.yaml").read_text()))
    take_groups(merged)
    return merged


def from_hub(name):
    return config(name)["model"]["source"].startswith("Qwen/")


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_a_valid_config_of_its_own_name(name):
    made = config(name)
    if from_hub(name):
        made["model"]["revision"] = COMMIT
    check(made, Origins())
    assert made["experiment"] == name


@pytest.mark.parametrize("name", [name for name in NAMES if from_hub(name)])
def test_a_hub_model_without_its_commit_is_one_clear_line(name):
    with pytest.raises(TrimtabError) as raised:
        check(config(name), Origins())
    (line,) = str(raised.value).splitlines()
    assert line.startswith("config.yaml, model.revision: null for the hub id Qwen/")
    assert "give the commit" in line


def pinned(folder, name):
    """The preset's resources, with stand-ins for the commits of data sets."""
    shutil.copytree(ROOT / config(name)["resources"], folder)
    recipe = folder / "corpus.yaml"
    recipe.write_text(recipe.read_text().replace("revision: null", f"revision: {COMMIT}"))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_preset_plans_its_whole_dag(name, quick_python, tmp_path):
    mine = {"experiment": "planned", "resources": str(pinned(tmp_path / "resources", name))}
    if from_hub(name):
        mine["model"] = {"revision": COMMIT}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(mine))
    files = [*(str(PRESETS / f"{layer}.yaml") for layer in layers(name)), str(tmp_path / "mine.yaml")]
    words = [quick_python, "-m", "snakemake", "--dry-run", "--nolock", "--configfile", *files]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rule report_page:" in done.stdout
    assert ("rule recovery_page:" in done.stdout) == (layers(name)[0] == "organism")


def test_a_data_set_without_its_commit_is_told_by_its_key():
    recipe = ROOT / config("qwen3.5-35b-a3b")["resources"] / "corpus.yaml"
    with pytest.raises(TrimtabError) as raised:
        resources.load(recipe)
    lines = [line.split("corpus.yaml, ")[1] for line in str(raised.value).splitlines()]
    assert lines == [
        f"sources.{name}.revision: null is nothing, not text; "
        "the data set's commit, so that a moving branch can't change the text"
        for name in ("hub_ultrachat", "hub_wildchat")
    ]


def test_the_study_has_its_thirty_six_conditions_and_nine_dictionaries():
    made = config("qwen3.5-35b-a3b")
    study = made["rollouts"]["study"]
    assert 1 + len(made["probes"]["traits"]) * (len(study["doses"]) * len(study["timings"]) + 1) == 36
    saes = {layer: {**made["saes"], **made["saes"]["overrides"].get(layer, {})} for layer in made["layers"]}
    table = {layer: (one["latents"], one["k"], one["learning_rate"]) for layer, one in saes.items()}
    early, middle, mid, late = (8192, 128, 3e-5), (16384, 96, 2e-5), (16384, 64, 1e-5), (16384, 64, 8e-6)
    assert table == {6: early, 7: early, 14: middle, 15: middle, 21: mid, 22: mid, 23: mid, 34: late, 35: late}
