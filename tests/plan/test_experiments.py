"""Which of an experiment's jobs another one has done already. The whole call is run in tests/workflow."""

import json
import os
from pathlib import Path

import pytest

from trimtab.artifacts import files, records
from trimtab.errors import TrimtabError
from trimtab.jobs import running
from trimtab.plan import experiments
from trimtab.plan.experiments import Planned, planned, results_of, run, shared, take_over

A, B = Path("results/a"), Path("results/b")
MADE = {
    "model/manifest.json": ([], "manifest results/a/model"),
    "saes/0/cfg.json": (["model/manifest.json"], "sae results/a/model/manifest.json results/a/saes/0 --k 8"),
    "saes/0/weights": (["model/manifest.json"], "sae results/a/model/manifest.json results/a/saes/0 --k 8"),
    "probes/x.json": (["saes/0/cfg.json"], "probe results/a/saes/0 results/a/probes/x.json"),
}


@pytest.fixture(autouse=True)
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Experiment a, as a run leaves it."""
    monkeypatch.chdir(tmp_path)
    for name in MADE:
        (A / name).parent.mkdir(parents=True, exist_ok=True)
        (A / name).write_text(name)
    written = {
        f"{A}/{name}": {"input": [f"{A}/{each}" for each in inputs], "shellcmd": command, "endtime": 1.0}
        for name, (inputs, command) in MADE.items()
    }
    files.write_json(A / "records.json", written)


def jobs(**changed: str) -> list[Planned]:
    """What b would do, with other words for some rules' commands."""
    by_command: dict[str, tuple[list[str], list[str]]] = {}
    for name, (inputs, command) in MADE.items():
        by_command.setdefault(command, (inputs, []))[1].append(name)
    found = []
    for command, (inputs, outputs) in by_command.items():
        words = command.replace("results/a", "results/b") + changed.get(command.split()[0], "")
        found.append(Planned(frozenset(f"{B}/{each}" for each in inputs), tuple(f"{B}/{e}" for e in outputs), words))
    # in no order
    return found[::-1]


def test_all_of_it() -> None:
    assert shared(B, A, jobs()) == {f"{B}/{name}" for name in MADE}


def test_a_command_that_differs_and_what_follows_it() -> None:
    assert shared(B, A, jobs(sae=" --dead-steps 3")) == {f"{B}/model/manifest.json"}
    assert shared(B, A, jobs(manifest=" --dtype float32")) == set()
    assert shared(B, A, jobs(probe=" --folds 2")) == {f"{B}/{name}" for name in MADE if "probes" not in name}


def test_a_job_one_of_whose_artifacts_is_lost() -> None:
    (A / "saes/0/weights").unlink()
    assert shared(B, A, jobs()) == {f"{B}/model/manifest.json"}


def test_inputs_that_b_has_made_by_itself_are_others() -> None:
    """Whatever they hold: artifacts name their inputs' files."""
    (B / "model").mkdir(parents=True)
    (B / "model/manifest.json").write_text("model/manifest.json")
    rest = [job for job in jobs() if job.inputs]
    assert shared(B, A, rest) == set()
    (B / "model/manifest.json").unlink()
    os.link(A / "model/manifest.json", B / "model/manifest.json")
    assert shared(B, A, rest) == {f"{B}/{name}" for name in MADE if "model" not in name}


def test_an_input_that_is_to_be_made_anew_is_another_though_it_is_a_link() -> None:
    for name in MADE:
        (B / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(A / name, B / name)
    assert shared(B, A, jobs(sae=" --k 4", manifest="")) == {f"{B}/model/manifest.json"}


def test_an_experiment_that_never_ran_has_nothing() -> None:
    (A / "records.json").unlink()
    assert shared(B, A, jobs()) == set()


def test_what_is_taken_over_is_a_link_with_its_record() -> None:
    (B / "saes/0").mkdir(parents=True)
    (B / "saes/0/cfg.json").write_text("older")
    names = [f"{B}/{name}" for name in MADE]
    records.adopt(B, A, names)
    records.keep(B)
    kept = files.read_json(B / "records.json")
    for name, (inputs, command) in MADE.items():
        assert (A / name).samefile(B / name)
        assert kept[f"{B}/{name}"]["shellcmd"] == command.replace("results/a", "results/b")
        assert kept[f"{B}/{name}"]["input"] == [f"{B}/{each}" for each in inputs]
    # the other experiment stays as it was
    assert json.loads((A / "records.json").read_text())[f"{A}/probes/x.json"]["shellcmd"] == MADE["probes/x.json"][1]


def test_what_follows_something_taken_over_is_forgotten() -> None:
    records.adopt(B, A, [f"{B}/model/manifest.json", f"{B}/saes/0/cfg.json"])
    records.forget([f"{B}/saes/0/cfg.json", f"{B}/never/made"])
    records.keep(B)
    kept = files.read_json(B / "records.json")
    assert kept[f"{B}/saes/0/cfg.json"] is None
    assert kept.keys() == {f"{B}/model/manifest.json", f"{B}/saes/0/cfg.json"}


def test_folders_are_taken_over_file_by_file() -> None:
    (A / "model/checkpoint/inner").mkdir(parents=True)
    (A / "model/checkpoint/inner/weights").write_text("w")
    kept = files.read_json(A / "records.json")
    files.write_json(A / "records.json", {**kept, f"{A}/model/checkpoint": kept[f"{A}/model/manifest.json"]})
    records.adopt(B, A, [f"{B}/model/checkpoint"])
    assert (B / "model/checkpoint/inner/weights").samefile(A / "model/checkpoint/inner/weights")


def test_nothing_is_put_where_another_run_is_at_work() -> None:
    running.begin("b")
    # would fail if it were called
    take_over(B, [A], ["/no/such/snakemake"])
    assert not (B / "model").exists()


DRY = """\
Building DAG of jobs...
[Mon Nov 30 07:30:00 2026]
rule sae:
    input: results/b/model/manifest.json, results/b/prompts/corpus.jsonl
    output: results/b/saes/0/cfg.json, results/b/saes/0/training.csv
    log: results/b/logs/saes/0.log
    jobid: 4
    wildcards: layer=0
Shell command: python workflow/scripts/saes_train.py results/b/saes/0
[Mon Nov 30 07:30:00 2026]
rule sae_agreement:
    input: <TBD>
    output: results/b/saes/agreement.csv
    jobid: 5
Shell command: python workflow/scripts/saes_agreement.py <TBD>
localrule all:
    input: results/b/saes/0/cfg.json
    jobid: 0
"""


def test_a_dry_run_is_read() -> None:
    first, second = planned(DRY)
    assert first == Planned(
        frozenset({"results/b/model/manifest.json", "results/b/prompts/corpus.jsonl"}),
        ("results/b/saes/0/cfg.json", "results/b/saes/0/training.csv"),
        "python workflow/scripts/saes_train.py results/b/saes/0",
    )
    assert second.outputs == ("results/b/saes/agreement.csv",)


@pytest.mark.parametrize(
    ("second", "line"),
    [
        ("experiment: a", r"two.yaml, experiment: a is that of one.yaml; each has a folder of its own"),
        ("saes: {k: 4}", r"two.yaml, experiment: missing; each experiment has a folder of its own"),
        ("- a", r"two.yaml, experiment: missing; each experiment has a folder of its own"),
    ],
)
def test_each_experiment_has_a_name_of_its_own(second: str, line: str) -> None:
    Path("one.yaml").write_text("experiment: a")
    Path("two.yaml").write_text(second)
    with pytest.raises(TrimtabError, match=line):
        results_of([Path("one.yaml"), Path("two.yaml")])


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(TrimtabError, match=r"^none\.yaml: no such file$"):
        results_of([Path("none.yaml")])


def test_no_word_may_give_all_experiments_one_name() -> None:
    """It would stand above each file's own, so that all were made in one folder."""
    for name in ("one", "two"):
        Path(f"{name}.yaml").write_text(f"experiment: {name}")
    with pytest.raises(TrimtabError, match=r"--options experiment=c: all would have one folder; each file names its"):
        run([Path("one.yaml"), Path("two.yaml")], [], ["--cores", "1", "--config", "experiment=c"])
    # Snakemake goes by the last one, which is each experiment's
    with pytest.raises(TrimtabError, match=r"^--options --configfile: files that all experiments have go to --below$"):
        run([Path("one.yaml"), Path("two.yaml")], [], ["--cores", "1", "--configfile", "base.yaml"])


@pytest.mark.parametrize("word", ["-n", "--dry-run", "--dryrun", "-np", "-pn", "-Fnq", "--dry-r"])
def test_a_dry_run_is_known_by_its_words(word: str) -> None:
    """It must link nothing."""
    assert experiments.DRY.fullmatch(word)


@pytest.mark.parametrize("word", ["-p", "-F", "--nolock", "-j4", "-c", "saes={k: -n}", "results/n", "--keep-going"])
def test_other_words_make_no_dry_run(word: str) -> None:
    assert not experiments.DRY.fullmatch(word)
