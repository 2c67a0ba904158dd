"""What each script loads before it works: large libraries take seconds of a job, so who needs them is listed here."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

WORKFLOW = Path(__file__).parents[1] / "workflow"
TOKENIZERS = {"AutoTokenizer", "PreTrainedTokenizerBase", "PreTrainedTokenizerFast"}
"""Of transformers, what loads no model; all else brings the compiler and the distributed tensors of torch along."""

MODELS, TOKENIZER = "models of transformers", "tokenizers of transformers"
LOADED = {
    # 7 to 8 seconds of a processor, where torch alone takes 2.5
    MODELS: {
        *("activations_contrast", "activations_corpus", "model_fetch", "model_manifest", "model_preflight"),
        *(
            "evaluations_measure",
            "organism_answers",
            "organism_measured",
            "organism_train",
            "plan",
            "rollouts_best_of",
            "rollouts_calibration",
            "rollouts_preflight",
        ),
        *(
            "rollouts_development",
            "rollouts_run",
            "rollouts_transcripts",
            "saes_quality",
            "saes_stream",
            "vectors_chance",
            "vectors_decisions",
            "vectors_drift",
            "vectors_due",
            "vectors_make",
        ),
    },
    TOKENIZER: {"prompts_corpus", "saes_examples"},
    "torch": {
        *("probes_fit", "probes_scores", "saes_agreement", "saes_train", "vectors_stability", "vectors_tables"),
    },
    "statsmodels": {
        *("evaluations_effects", "league_page", "organism_answers", "organism_page", "organism_recovery", "probes_fit"),
        *("report_page", "statistics_effects", "vectors_comparison"),
    },
    "seaborn": {"league_page", "report_figures", "report_page"},
}
"""Scripts by what they load. Models bring tokenizers along, and both bring torch: each is listed by the largest."""


def at_once(block: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that run when a module is loaded."""
    for node in ast.iter_child_nodes(block):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from at_once(node)


@cache
def of_module(path: Path) -> tuple[set[Path], set[str]]:
    """The library's own files that a file loads, and what it loads of large libraries."""
    own, large = set(), set()
    for node in at_once(ast.parse(path.read_text())):
        members = [alias.name for alias in node.names]
        names = members if isinstance(node, ast.Import) else [f"{node.module}.{member}" for member in members]
        for name in names:
            top, *steps = name.split(".")
            if top == "trimtab":
                # each package on the way, and the name itself, which may be a module
                for end in range(len(steps) + 1):
                    base = WORKFLOW.joinpath("trimtab", *steps[:end])
                    own |= {each for each in (base / "__init__.py", base.with_suffix(".py")) if each.is_file()}
            elif top == "transformers":
                large.add(TOKENIZER if steps[-1:] and steps[-1] in TOKENIZERS else MODELS)
            else:
                large.add(top)
    return own, large


def loaded(script: Path) -> set[str]:
    """What a script loads, by itself or by the modules that it loads."""
    found, seen, waiting = set(), set(), {script}
    while waiting:
        seen |= waiting
        reached = [of_module(path) for path in waiting]
        found.update(*(large for _, large in reached))
        waiting = set().union(*(own for own, _ in reached)) - seen
    if MODELS in found:
        found -= {TOKENIZER, "torch"}
    return found - {"torch"} if TOKENIZER in found else found


@pytest.fixture(scope="module")
def scripts() -> dict[str, set[str]]:
    return {path.stem: loaded(path) for path in sorted((WORKFLOW / "scripts").glob("*.py"))}


@pytest.mark.slow
@pytest.mark.parametrize("library", LOADED)
def test_scripts_load_what_they_need_of_large_libraries(scripts: dict[str, set[str]], library: str) -> None:
    assert {name for name, found in scripts.items() if library in found} == LOADED[library]


def test_each_script_begins_with_the_entry() -> None:
    """By which the imports that follow take a fifth less."""
    for path in (WORKFLOW / "scripts").glob("*.py"):
        first = next(node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom))
        assert ast.unparse(first) == "from trimtab.jobs.entry import script", path
