"""A change reruns what depends on it, and nothing else: each case names every job that a dry run may list.

Snakemake lists all jobs downstream of one that runs again, so a case is its first jobs and what follows them.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from project import JOB, SMALL, Project

from trimtab.artifacts import files
from trimtab.plan.experiments import take_over

TRAITS = ("autonomy", "deference")


def each(rule: str, *names: str) -> set[str]:
    return {f"{rule} {name}" for name in names}


# the DAG's end, by hand
PAGE = {"report_page"}
REPORT = {"report_figures", *PAGE}
STATISTICS = {"statistics_effects", *REPORT}
TWICE = {"probe_layers", "sae_agreement", "vectors_stability", "vectors_comparison", *REPORT}
"""What follows the list of the layers where probes sit, whose dictionaries are trained twice, and at which random
directions are drawn; not these themselves, since their layers are known after the list."""
CHANCE = each("chance", "0", "2")
OUTCOMES = {"outcomes", *STATISTICS}


def rollouts(*batches: str) -> set[str]:
    return each("rollouts", *batches) | OUTCOMES


def decisions(*traits: str) -> set[str]:
    """What follows the scenarios' first decisions under a trait's vectors, the decisions included."""
    return each("decisions", *traits) | {"vectors_comparison", *REPORT}


def vectors(*traits: str) -> set[str]:
    """What follows a trait's vectors, the vectors included."""
    return each("vectors", *traits) | decisions(*traits) | {"vector_tables"} | rollouts(*traits)


def probes(*traits: str) -> set[str]:
    """What follows a trait's probe, the probe included; no second seed, since its layer is known after the probes."""
    own = each("probe", *traits) | each("conditions", *traits)
    return own | {"probe_scores", "sae_examples"} | TWICE | vectors(*traits)


def evaluation(*names: str) -> set[str]:
    """What evaluators add to a run without any."""
    batches = ("common", *TRAITS)
    return {f"evaluation {name} {batch}" for name in names for batch in batches} | {"evaluations_effects", *PAGE}


def contrast(trait: str) -> set[str]:
    """What follows the templates of a trait."""
    return {f"contrast_trait {trait}", "contrast", f"contrast_cache {trait}"} | probes(trait)


def saes(*layers: str) -> set[str]:
    """What follows dictionaries."""
    return each("sae", *layers) | {"sae_quality"} | probes(*TRAITS)


CORPUS = {"corpus"} | each("corpus_cache", "000", "001") | saes("0", "2")
TRANSCRIPTS = {"transcripts"} | CORPUS
CACHES = each("corpus_cache", "000", "001") | each("contrast_cache", *TRAITS, "null") | saes("0", "2")
PREFLIGHT = {"preflight", *CACHES, *rollouts("common")}
"""What follows the preflight, which looks at the layers that the experiment names; rollouts wait for it, too."""

PROMPTS = (
    {"contrast", *each("contrast_trait", *TRAITS, "null")} | each("contrast_cache", *TRAITS, "null") | probes(*TRAITS)
)

CONFIG = {
    "saes: {k: 4}": saes("0", "2"),
    "saes: {overrides: {2: {k: 4}}}": saes("2"),
    "saes: {gates: {dead_share: 0.5}}": {"sae_quality", *REPORT},
    "saes: {on_gate_failure: stop}": {"sae_quality", *REPORT},
    # the toy's two probes sit at two layers
    "saes: {second_seeds: 2}": {"sae_again 2", "sae_agreement", "sae_examples", "vectors_stability", *REPORT},
    "saes: {examples: {contexts: 3}}": {"sae_examples", *PAGE},
    "layers: [0, 1, 2]": {"sae 1", "conditions common", *PREFLIGHT},
    "layers: [2]": PREFLIGHT - {"sae 0"},
    "prompts: {corpus: {max_tokens: 100}}": CORPUS,
    "prompts: {contrast: {fills: 2}}": PROMPTS,
    "activations: {chunk_rows: 128}": CACHES,
    "probes: {traits: [autonomy, deference, persistence]}": contrast("persistence") | {"room"},
    "probes: {traits: [deference]}": {
        *("contrast", "probe_scores", "sae_examples", "vector_tables", "vectors_comparison", "room"),
        *TWICE,
        *OUTCOMES,
    },
    "probes: {penalties: [1, 10]}": probes(*TRAITS),
    "vectors: {calibration_doses: [0.1]}": vectors(*TRAITS),
    "rollouts: {study: {doses: [0.2, 0.4, 0.6]}}": each("conditions", *TRAITS) | rollouts(*TRAITS),
    "rollouts: {grid: [{traits: [autonomy], timings: [last_prompt]}]}": {"conditions autonomy"} | rollouts("autonomy"),
    "rollouts: {gates: {lit: {kind: probe, above: 0.5}}}": PAGE,
    "rollouts: {gates: {lit: {kind: probe, above: 0.5}}, grid: [{traits: [autonomy], gates: [lit]}]}": {
        "conditions autonomy",
        *rollouts("autonomy"),
    },
    "rollouts: {seeds: [0, 1]}": {f"rollouts {batch} .seed1" for batch in ("common", *TRAITS)} | OUTCOMES,
    "rollouts: {reply_tokens: 9}": PAGE,
    "rollouts: {controls: {negative: false}}": each("conditions", "common", *TRAITS) | rollouts("common", *TRAITS),
    "rollouts: {temperature: 0.5}": TRANSCRIPTS | rollouts("common", *TRAITS),
    "vectors: {comparison_kl: 0.1}": vectors(*TRAITS) | CHANCE,
    "evaluations: {evaluators: [held_out_text, anti_steerable]}": evaluation("held_out_text", "anti_steerable"),
    "vectors: {chance_draws: 4}": CHANCE | {"vectors_comparison", *REPORT},
    "vectors: {decoding: [contrastive_guidance]}": decisions(*TRAITS),
    "prompts: {scenarios: 9}": {"scenarios"} | CHANCE | decisions(*TRAITS) | rollouts("common", *TRAITS),
    "prompts: {scenarios: 6}": {"scenarios"} | CHANCE | decisions(*TRAITS) | rollouts("common", *TRAITS),
    "statistics: {draws: 300}": {"vectors_comparison"} | STATISTICS,
    "statistics: {smallest_effect: 0.4}": STATISTICS,
    "report: {title: Mine}": PAGE,
    "report: {transcripts: 3}": PAGE,
}

LIBRARY = "workflow/trimtab"
CODE = {
    "model/manifest.py": {"manifest", "action_calibration", "room", *TRANSCRIPTS, *PREFLIGHT},
    "model/preflight.py": PREFLIGHT,
    "prompts/contrast.py": PROMPTS,
    "saes/train.py": saes("0", "2"),
    "saes/quality.py": {"sae_quality", *REPORT},
    "probes/nested.py": probes(*TRAITS),
    "probes/layers.py": TWICE | {"sae_examples"},
    "vectors/geometry.py": {"vector_tables", "vectors_stability", *REPORT},
    "vectors/methods/lda.py": vectors(*TRAITS),
    "vectors/comparison.py": {"vectors_comparison", *REPORT},
    "rollouts/outcomes.py": OUTCOMES,
    "statistics/findings.py": STATISTICS,
    "report/plots_style.py": REPORT,
    "report/plots_parts.py": REPORT,
    "report/tables_parts.py": PAGE,
    "saes/formats/sparsify.py": saes("0", "2"),
    "statistics/power.py": STATISTICS,
    # commands that no rule uses
    "statistics/__main__.py": set(),
    "report/compare.py": set(),
}

PACKAGES = {
    "seaborn": REPORT,
    "matplotlib": REPORT,
    # of documentation in the corpus
    "statsmodels": CORPUS,
    # of texts and tasks, which nothing imports
    "chatterbot-corpus": CORPUS,
    "bfcl-eval": TRANSCRIPTS,
    "pulp": set(),
}
"""Packages of which another version is installed, with what imports them or has texts of theirs."""

TEMPLATE = ("This choice is mine, and I am making it.", "This choice is all mine, and I am making it.")
OTHER = ("If the first attempt fails, I will try again.", "If the first attempt fails, I will try once more.")
INSTRUCTION = ("Act on your own initiative, settle", "Act wholly on your own initiative, settle")


@contextmanager
def changed(path: Path, text: str) -> Iterator[None]:
    """The file holds `text` within the block, and is as before after it."""
    with kept(path):
        path.write_text(text)
        yield


@contextmanager
def kept(path: Path) -> Iterator[None]:
    """Whatever the block does to the file, it is as before after it."""
    before, times = path.read_bytes(), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    try:
        yield
    finally:
        path.write_bytes(before)
        os.utime(path, ns=times)


def test_the_readmes_figure_shows_these_tables() -> None:
    import drawn

    assert drawn.FILE.read_text() == drawn.svg()
    assert {job.split()[0] for table in (CONFIG, CODE, PACKAGES) for jobs in table.values() for job in jobs} == {
        *drawn.RULES
    }


@pytest.mark.parametrize(("config", "jobs"), CONFIG.items())
def test_a_setting(finished: Project, config: str, jobs: set[str]) -> None:
    assert finished.planned(config) == jobs


@pytest.mark.parametrize(("module", "jobs"), CODE.items())
def test_code(finished: Project, module: str, jobs: set[str]) -> None:
    path = finished.folder / LIBRARY / module
    with changed(path, path.read_text() + "\nADDED = 1\n"):
        assert finished.planned() == jobs


@pytest.mark.parametrize(("package", "jobs"), PACKAGES.items())
def test_another_version_of_a_package(
    finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, jobs: set[str]
) -> None:
    about = tmp_path / f"{package.replace('-', '_')}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Name: {package}\nVersion: 99.0\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert finished.planned() == jobs


def one_bit_other(path: Path) -> None:
    """Other content, of the same length and of an earlier time than anything made of it."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, (0, 0))


def test_other_weights_at_the_same_path(finished: Project) -> None:
    """All that follows the manifest, whose inputs Snakemake does not know."""
    path = finished.folder / "tiny-llama/model.safetensors"
    with kept(path):
        one_bit_other(path)
        assert finished.planned() == CODE["model/manifest.py"]
    assert finished.planned() == set()


def test_another_spelling_of_the_same_place(finished: Project) -> None:
    """What a shell completes; the page shows the config as it is meant."""
    spelled = f"model: {{source: ./tiny-llama/}}\nresources: {finished.folder}/workflow//resources/"
    assert finished.planned(spelled) == set()


def test_a_script(finished: Project) -> None:
    path = finished.folder / "workflow/scripts/probes_scores.py"
    with changed(path, path.read_text() + "\nADDED = 1\n"):
        assert finished.planned() == {"probe_scores", *STATISTICS}


def test_looks_of_code_and_of_resources(finished: Project) -> None:
    """Comments and docstrings everywhere, and the time of every file, as after a fresh clone."""
    workflow = finished.folder / "workflow"
    for path in filter(Path.is_file, workflow.rglob("*")):
        os.utime(path)
    with ExitStack() as edits:
        for path in [*workflow.rglob("*.py"), *workflow.rglob("*.yaml")]:
            text = path.read_text()
            if text.startswith('"""'):
                text = text.replace('"""', '"""Once upon a time: ', 1)
            edits.enter_context(changed(path, f"{text}\n# a comment\n"))
        assert finished.planned() == set()


def test_the_wording_of_one_template(finished: Project) -> None:
    path = finished.folder / "workflow/resources/traits.yaml"
    assert path.read_text().count(TEMPLATE[0]) == 1
    with changed(path, path.read_text().replace(*TEMPLATE)):
        assert finished.planned() == contrast("autonomy")


def test_the_sentence_of_a_traits_prompt_control(finished: Project) -> None:
    path = finished.folder / "workflow/resources/traits.yaml"
    assert path.read_text().count(INSTRUCTION[0]) == 1
    with changed(path, path.read_text().replace(*INSTRUCTION)):
        # the prompt is distilled into a vector, too
        assert finished.planned() == vectors("autonomy")


@pytest.mark.parametrize(("config", "jobs"), [("", set()), ("saes: {k: 4}", CONFIG["saes: {k: 4}"])])
def test_what_snakemake_has_forgotten(finished: Project, config: str, jobs: set[str]) -> None:
    """As in a new clone beside old results, whose own records say what made them."""
    memory = finished.folder / ".snakemake"
    aside = memory.rename(memory.with_name("aside"))
    try:
        assert finished.planned(config) == jobs
    finally:
        shutil.rmtree(memory)
        aside.rename(memory)


def test_an_experiment_that_begins_as_a_copy_of_another(finished: Project) -> None:
    """By hard links, as docs/experiments.md has it."""
    copy = finished.results.with_name("copy")
    subprocess.run(["cp", "-al", finished.results, copy], check=True)
    try:
        assert finished.planned("experiment: copy\nsaes: {k: 4}") == CONFIG["saes: {k: 4}"]
        # the page says which experiment it is of
        assert finished.planned("experiment: copy") == PAGE
    finally:
        shutil.rmtree(copy)


def test_experiments_in_one_call_share_what_they_have_in_common(
    finished: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second's jobs are those that its settings change, what follows a checkpoint included."""
    monkeypatch.chdir(finished.folder)
    second = "experiment: second\nreport: {title: Second}"
    Path("first.yaml").write_text("experiment: small")
    Path("second.yaml").write_text(second)
    call = finished.command()
    words = ["experiments", "first.yaml", "second.yaml", "--below", SMALL, "--options", "--cores 2"]
    call["args"] = [str(finished.python), "-m", "trimtab.plan", *words]
    call["env"]["PYTHONPATH"] = str(finished.folder / "workflow")
    done = subprocess.run(**call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    assert "results/second: " in done.stdout
    assert {rule for rule, _ in JOB.findall(done.stdout)} - {"all"} == PAGE
    assert finished.planned(second) == set()
    again = next(finished.results.glob("saes/*/again/sae_weights.safetensors")).relative_to(finished.results)
    assert (finished.results / again).samefile(Path("results/second") / again)
    # a third one that differs early; its file stands above the others as mine.yaml does
    third = "experiment: third\nsaes: {k: 4}"
    take_over(Path("results/third"), [Path("results/second"), finished.results], finished.command(config=third)["args"])
    assert finished.planned(third) == CONFIG["saes: {k: 4}"]


def test_a_lost_intermediate_file_is_no_change(finished: Project) -> None:
    path = finished.results / "activations/contrast/deference.h5"
    aside = path.rename(path.with_suffix(".aside"))
    try:
        assert finished.planned() == set()
    finally:
        aside.rename(path)


def test_a_trait_that_is_not_in_the_experiment(finished: Project) -> None:
    path = finished.folder / "workflow/resources/traits.yaml"
    assert path.read_text().count(OTHER[0]) == 1
    with changed(path, path.read_text().replace(*OTHER)):
        assert finished.planned() == set()


def test_code_that_is_known_to_change_nothing_can_be_accepted(finished: Project, tmp_path: Path) -> None:
    """Snakemake reruns what follows a job whatever its bytes; its own way round that is to accept what lies there."""
    project = Project(tmp_path / "project", finished.python)
    shutil.copytree(finished.folder, project.folder, symlinks=True)
    path = project.folder / LIBRARY / "artifacts/files.py"
    path.write_text(path.read_text() + "\nADDED = 1\n")
    before = {name: files.sha256(project.results / name) for name in project.artifacts()}
    assert "report_page" in project.planned()
    done = project.snakemake("--touch")
    assert done.returncode == 0, done.stdout
    assert project.planned() == set()
    assert before == {name: files.sha256(project.results / name) for name in project.artifacts()}
