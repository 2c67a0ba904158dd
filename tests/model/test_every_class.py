"""Every decoder-only class of `transformers` is captured and steered exactly, or ends in one line.

docs/architectures.md says which.
"""

import re
from pathlib import Path
from typing import NamedTuple

import pytest
import transformers
from small_of_class import CLASSES, NO_TOY, SEEING, small

from trimtab.errors import TrimtabError
from trimtab.forward import capture
from trimtab.forward.packed import pack_rows, packs_rows
from trimtab.forward.recurrent import is_recurrent
from trimtab.forward.single import goes_alone
from trimtab.model.checks import GROWING, PADDED
from trimtab.model.judged import judge
from trimtab.model.preflight import preflight
from trimtab.model.reference import reference

PAGE = Path(__file__).parents[2] / "docs/architectures.md"
PROMPTS = [[3, 50, 7, 21, 9, 60, 33, 12], [8, 14, 90, 2, 41], [77, 5, 5, 31, 62, 10]]
KINDS = sorted({*CLASSES, *SEEING} - set(NO_TOY))
KNOWN = {
    "bert", "cohere2", "deepseek_v2", "deepseek_v3", "falcon", "falcon_h1", "gemma", "gemma2", "gemma3_text", "glm4",
    "glm4_moe", "gpt2", "gpt_neox", "gpt_oss", "gptj", "granite", "llama", "llama4_text", "minicpm3", "mistral",
    "mixtral", "olmo2", "olmo3", "olmoe", "opt", "phi", "phi3", "phimoe", "qwen2", "qwen3", "qwen3_5_moe_text",
    "qwen3_5_text", "qwen3_moe", "qwen3_next", "smollm3", "stablelm", "starcoder2", "zamba2",
}  # fmt: skip
"""Must not be refused."""


class Row(NamedTuple):
    """What becomes of a class, as a line of the page."""

    kind: str
    capture: str
    preflight: str
    rollouts: str

    def __str__(self) -> str:
        return f"| `{self.kind}` | {self.capture} | {self.preflight} | {self.rollouts} |"


def row(kind: str) -> Row:
    try:
        model = small(kind)
        # of the model as it came, before anything is done to it
        wanted = reference(model, PROMPTS, [0])
        pack_rows(model)
        checks = preflight(model, PROMPTS, [0], wanted)
    except TrimtabError as error:
        return Row(kind, plain(str(error)), "refuses", "refused")
    failed = [check for check in checks if not check.passed]
    told = [
        check.name if check.figure is not None else plain(check.detail) for check in failed if check.name in GROWING
    ]
    captured = all(check.name in GROWING or check.name == PADDED for check in failed)
    if not failed:
        judge(checks, model, [], "manifest.json")
    else:
        with pytest.raises(TrimtabError) as refused:
            judge(checks, model, [], "manifest.json")
        assert len(str(refused.value).splitlines()) <= len(failed)
    return Row(
        kind,
        f"exact, {way(model)}" if captured else "wrong",
        "passes" if not failed else "refuses",
        f"exact, {rows_of(model)}" if not failed else f"refused: {[*told, failed[0].name][0]}",
    )


def way(model: transformers.PreTrainedModel) -> str:
    if packs_rows(model):
        return "packed"
    return "padded" if capture._way(model).padded else "one prompt at a time"


def rows_of(model: transformers.PreTrainedModel) -> str:
    if packs_rows(model):
        return "packed"
    if is_recurrent(model):
        return "in equally long pieces"
    return "one at a time" if goes_alone(model) else "padded"


def plain(line: str) -> str:
    """Why a check wasn't run, without what ends a table's cell."""
    return re.sub(r"^not run, since |^not run to its end: ", "", line.replace("|", "/"))


def page(rows: list[Row]) -> str:
    exact = [one for one in rows if one.rollouts.startswith("exact")]
    captured = [one for one in rows if one.capture.startswith("exact")]
    lines = [
        "# Architectures",
        "",
        f"What becomes of {len(rows)} decoder-only classes of `transformers` {transformers.__version__}, as toy models",
        "of random weights whose windows, chunks and experts are small enough to matter. Of wrappers that see pictures",
        f"({', '.join(f'`{kind}`' for kind in SEEING)}) it is the text side.",
        "",
        "- *Exact*: rows equal `hidden_states[layer + 1]` of the plain model, and logits equal those of each text",
        "  alone: in batches of unequal lengths, over a shared header, in second turns, and where one of two alike",
        "  rows is steered.",
        "- *Packed*: rows lie one after another without padding. *Padded* and *in equally long pieces* are the ways",
        "  for attention that can't be packed, and for layers that keep a state. *One at a time*, slower, is for",
        "  models whose rows can't be padded, since they count positions or windows themselves.",
        "- *Refused*: by the preflight, with the first check that fails, or why none can be run. Naming these checks",
        "  in `model.accepted_failures` lets a class that is captured exactly be used up to its vectors.",
        "",
        "Written by `tests/model/test_every_class.py`. An architecture's name promises nothing: every run's",
        "preflight tries the user's own model in this way.",
        "",
        f"{len(captured)} are captured exactly, {len(exact)} run rollouts exactly.",
        "",
        "| `model_type` | capture | preflight | rollouts |",
        "|---|---|---|---|",
        *map(str, rows),
        "",
        "Not tried, since they hold an encoder of pictures or sound (their text side often is a class above), or",
        f"have sizes that no toy has: {', '.join(f'`{kind}`' for kind in sorted(set(CLASSES) & set(NO_TOY)))}.",
    ]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """The page's, which is written anew by deleting the file and running this test."""
    if not PAGE.is_file():
        PAGE.write_text(page([row(kind) for kind in KINDS]))
    return PAGE.read_text().splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_class_is_as_the_page_says(kind, lines):
    assert str(row(kind)) in lines


def test_the_page_has_the_classes_that_are_installed(lines):
    told = [Row(*(cell.strip(" `") for cell in line.strip("|").split("|"))) for line in lines if line.startswith("| `")]
    assert [one.kind for one in told[1:]] == KINDS
    assert PAGE.read_text() == page(told[1:])


def test_well_known_classes_are_exact(lines):
    exact = {line.split("`")[1] for line in lines if line.startswith("| `") and line.count("exact") == 2}
    assert exact >= KNOWN
    assert not any("wrong" in line for line in lines)
