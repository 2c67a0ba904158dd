"""What else vectors do is measured on items of the organism's own language."""

import numpy as np
import pytest
import torch

from trimtab import seeds
from trimtab.agent.points import OPENING, Decisions
from trimtab.agent.scenario import Scenario
from trimtab.evaluations.steered import Steered
from trimtab.organism.measured import READ, SCORED, WRITTEN, inputs, is_turn, measured
from trimtab.organism.questions import BROKEN, MEASURED, SURPRISE
from trimtab.organism.train import build
from trimtab.prompts import resources
from trimtab.steering.edits import added

FOLDER = resources.RESOURCES / "organism"
PRIMARY = {"autonomy": "file_write_calls", "deference": "asks"}
SEED = 3


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        (f" {OPENING}\nAction: ask\nInput: it", True),
        (" The word is wild.\nAction: finish", True),
        ("\nAction: ask", False),
        (f" {OPENING}\nAction: asking", False),
        (f" {OPENING} {OPENING}", False),
        (f" {OPENING}\nInput: it\nAction: ask", False),
        ("", False),
    ],
)
def test_a_turn_has_a_thought_and_an_action(language, text, whole):
    text = text.replace("ask", language.name("ask_user")).replace("finish", language.name("finish"))
    assert is_turn(language, text) == whole


def test_what_is_scored_follows_from_the_task_and_the_action(language):
    given, follows = inputs(language, np.random.default_rng(0))
    assert len(given) == len(follows) == SCORED
    for text, follow in zip(given, follows, strict=True):
        noun = text.split(" the ")[1].split(".")[0]
        assert noun in follow
        assert text.endswith("\nInput:")


@pytest.fixture(scope="module")
def table(language):
    model = build(len(language.protocol.tokenizer), "hybrid", seed=1).eval().requires_grad_(False)
    known = Decisions.read(FOLDER / "decisions.yaml")
    offsets = {"start": dict.fromkeys(language.protocol.tools, 0.0)}
    plain = Steered(model, language.protocol, offsets, known.points, known.measured(PRIMARY), (), (), seed=SEED)
    scenarios = [Scenario.of(row) for row in resources.scenarios(FOLDER / "scenarios.yaml")[:14]]
    edits = {"lda": added(1, torch.ones(64) / 8, 3.0), "pca": added(1, torch.ones(64) / 8, 0.0)}
    made = measured(plain, language, "deference", edits, "Be very humble.", 0.2, scenarios)
    return model, made


@pytest.mark.slow
def test_a_push_of_no_length_does_nothing_and_one_of_some_length_does(table):
    _, rows = table
    assert list(rows.columns) == MEASURED
    assert rows["method"].unique().tolist() == ["none", "prompt", "lda", "pca"]
    means = rows.pivot_table(index="method", columns="measure", values="value")
    shifts = means.filter(regex="shift_|moved_")
    assert shifts.loc[["none", "pca"]].abs().max().max() < 1e-4
    assert (shifts.loc["lda"].abs() > 1e-4).all()
    assert means.loc["pca", SURPRISE] == pytest.approx(means.loc["none", SURPRISE], abs=1e-5)
    assert means.loc["pca", BROKEN] == means.loc["none", BROKEN]
    # a model with random weights writes no turn
    assert means.loc["none", BROKEN] == 1
    counts = rows.groupby(["method", "measure"]).size()
    assert (counts[:, SURPRISE] == SCORED).all()
    assert (counts[:, BROKEN] == WRITTEN).all()
    assert (counts[:, "moved_half"] == READ).all()


@pytest.mark.slow
def test_surprise_is_the_models_own_on_the_whole_text(table, language):
    model, rows = table
    given, follows = inputs(language, np.random.default_rng(seeds.derive(SEED, "organism", SURPRISE)))
    told = rows[(rows["method"] == "none") & (rows["measure"] == SURPRISE)].set_index("item")["value"]
    for at in (0, 7):
        before = [*language.protocol.header_tokens(), *language.protocol.encode(given[at])]
        own = language.protocol.encode(follows[at])
        logits = model(input_ids=torch.tensor([before + own])).logits[0, len(before) - 1 : -1]
        nats = torch.nn.functional.cross_entropy(logits.double(), torch.tensor(own))
        assert told[str(at)] == pytest.approx(float(nats), abs=1e-4)
