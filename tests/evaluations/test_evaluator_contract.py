"""What every evaluator's file says of it, docs/evaluations.md, which is made from that, and rows that are refused."""

import sys
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from project import ROOT

from trimtab.config.check import check
from trimtab.errors import TrimtabError
from trimtab.evaluations import contract, evaluators, items
from trimtab.evaluations.conclusions import Conclusion, Means, conclusions, ratio
from trimtab.jobs.origins import Origins
from trimtab.prompts import resources
from trimtab.rollouts.conditions import Condition
from trimtab.settings.evaluations import names

PAGE = ROOT / "docs/evaluations.md"
HEAD = """\
# What else steering does

The rollouts count what an agent does. Evaluators measure what else a push does, under the same conditions and by the
same statistics: `snakemake --configfile mine.yaml` with

```yaml
evaluations: {evaluators: [held_out_text, multiple_choice, off_target]}
```

writes `evaluations/<evaluator>/<batch>.parquet`, one row a condition and item with the keys of
`rollouts/outcomes.parquet`, then `evaluations/effects.csv` (as `statistics/effects.csv`), `means.csv` (a line a
condition and measure) and `conclusions.csv` (what is no mean over items), and a section of the report for each. The
default experiment has none, and an evaluator that is added later reruns no rollout.

Items are the run's own scenarios, or a file of `workflow/resources/evaluations`, written for this project. Plain texts
are read without a chat template, so that a base model and a tuned one read the same; what is given counts as the user's
text, what is scored or written as the agent's own, so that timings mean what they mean in episodes. No evaluator asks a
judge. Tool calls that can't be read, repeated and looping text and success of episodes are outcomes of the rollouts
(`unparsed_calls`, `repeated_calls`, `looping_text`, `success`), which have their place in `statistics/effects.csv`.

Written by `pytest tests/evaluations/test_evaluator_contract.py` where it is missing, from what each file in
`workflow/trimtab/evaluations/evaluators` says of itself.

| evaluator | what it does | goes through | a condition costs | source |
|---|---|---|---|---|
"""
OWN = """
## An evaluator of your own

A file in that folder: `LABEL`, `SENTENCE`, `SOURCE`, `ITEMS` (`scenarios`, or a file of items), `COST`, `MEASURES`
(column -> label, sentence, unit) and a function `measure(steered, items)`. `steered` has the conditions, what is done
under each, and readings of any prompts (`workflow/trimtab/evaluations/steered.py`); with `NEEDS = "turns"` it has the
conditions' episodes instead, and no model is loaded. `off_target.py` is the shortest example. An answer that is no mean
over items, such as a ratio of effects, is a function `concluded(means, conditions)` beside it, which gets its intervals
by itself. A class `Settings` of simple fields is what `evaluations.settings` may set.
"""


def page() -> str:
    lines = []
    for name in names():
        one = evaluators.wording(name)
        kinds = [
            "the scenarios" if each == evaluators.SCENARIOS else f"`{each}.yaml`" for each in evaluators.items(name)
        ]
        file = ", with ".join(kinds)
        lines.append(f"| `{name}` | {one.sentence} | {file} | {evaluators.cost(name)} | {one.source} |\n")
    measured = ["\n## Measures\n\n| evaluator | measure | what it is | unit |\n|---|---|---|---|\n"]
    for name in names():
        for column, one in evaluators.measures(name).items():
            measured.append(f"| `{name}` | `{column}` | {one.sentence} | {one.unit} |\n")
    return "".join([HEAD, *lines, *measured, OWN])


def test_the_page_is_made_from_the_files():
    if not PAGE.is_file():
        PAGE.write_text(page())
    assert PAGE.read_text() == page(), f"delete {PAGE} and run this test"


@pytest.mark.parametrize("name", names())
def test_every_file_says_what_it_is(name):
    assert evaluators.needs(name) <= {*evaluators.NEEDS}
    assert evaluators.cost(name)
    for measured in evaluators.measures(name).values():
        assert measured.sentence.endswith(".")


def test_no_two_evaluators_have_a_measure_of_the_same_name():
    columns = [column for name in names() for column in evaluators.measures(name)]
    assert len(columns) == len(set(columns))


@pytest.mark.parametrize(
    "kind", sorted({kind for name in names() for kind in evaluators.items(name)} - {evaluators.SCENARIOS})
)
def test_items_have_ids_of_their_own(kind):
    ids = [item.id for item in items.read(resources.RESOURCES, kind)]
    assert len(ids) == len(set(ids)) >= 3


def test_items_of_one_id_are_refused(tmp_path):
    (tmp_path / "evaluations").mkdir()
    (tmp_path / "evaluations/elsewhere.yaml").write_text("- {id: a, text: x}\n- {id: a, text: y}\n")
    with pytest.raises(TrimtabError, match=r"elsewhere.yaml: id 'a' stands twice$"):
        items.read(tmp_path, "elsewhere")


def condition(name: str) -> Condition:
    return Condition(name, "study", "lda", "autonomy", None, 1.0, "absolute", "all", 1, "add")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, tmp_path):
    """An evaluator of three items whose values a test gives, and which concludes a ratio."""
    module = ModuleType("trimtab.evaluations.evaluators.counted")
    (tmp_path / "counted.py").write_text('MEASURES = {"some": ("some", "A number.", "")}\n')
    monkeypatch.setattr(evaluators, "path", lambda name: tmp_path / f"{name}.py")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def test_rows_have_the_keys_of_outcomes(counted):
    conditions = [condition("a"), condition("b")]
    counted.measure = lambda steered, through: contract.rows(
        conditions, through, {"some": torch.tensor([[1.0, 2.0], [3.0, torch.nan]])}
    )
    table = contract.measure("counted", None, ["one", "two"])
    assert table.columns.tolist() == ["condition_id", "scenario_id", "seed", "some"]
    assert table.drop(columns="some").to_numpy().tolist() == [[c, i, 0] for c in "ab" for i in ("one", "two")]
    assert table["some"].tolist()[:3] == [1, 2, 3]
    counted.measure = lambda steered, through: contract.rows(
        conditions, through, {"some": torch.full((2, 2), torch.inf)}
    )
    with pytest.raises(TrimtabError, match=r"counted.py: some is infinite somewhere; expected numbers, NaN for none$"):
        contract.measure("counted", None, ["one", "two"])
    counted.measure = lambda steered, through: contract.rows(conditions, through, {"other": torch.zeros(2, 2)})
    with pytest.raises(TrimtabError, match=r"seed, other; expected condition_id, scenario_id, seed, some$"):
        contract.measure("counted", None, ["one", "two"])


def rows(**by_condition):
    parts = [
        pd.DataFrame({"condition_id": name, "scenario_id": list("pqrs"), "seed": 0, "some": values})
        for name, values in by_condition.items()
    ]
    return pd.concat(parts, ignore_index=True)


def test_means_by_hand():
    means = Means.of(rows(unsteered=[1.0, 1.0, 2.0, 4.0], lda=[2.0, 3.0, np.nan, 4.0]), draws=400, seed=0)
    assert means.mean("lda", "some")[0] == pytest.approx(3)
    assert means.shift("lda", "some")[0] == pytest.approx(1)
    assert means.has("lda")
    assert not means.has("pca")
    # a draw of each item's value is a mean of some of them
    assert means.mean("unsteered", "some").min() >= 1
    assert means.mean("unsteered", "some")[1:].std() > 0


def test_a_conclusion_has_an_interval_over_items(counted):
    def concluded(means, conditions):
        for each in conditions:
            yield Conclusion("twice", each.condition_id, ratio(2 * means.mean(each.condition_id, "some"), np.ones(401)))

    same, other = [2.0, 2.0, 2.0, 2.0], [1.0, 2.0, 3.0, 4.0]
    table = conclusions("counted", rows(unsteered=same, lda=other), [condition("lda")], 400, 0.95, 1)
    assert table.empty
    evaluators.path("counted").write_text("def concluded(means, conditions): ...\n")
    counted.concluded = concluded
    told = conclusions(
        "counted", rows(unsteered=same, lda=other), [condition("unsteered"), condition("lda")], 400, 0.95, 1
    )
    constant, own = told.to_dict("records")
    assert (constant["estimate"], constant["lower"], constant["upper"]) == (4, 4, 4)
    assert own["lower"] < own["estimate"] == 5 < own["upper"]


def test_settings_of_an_evaluator_that_is_not_asked_for_are_refused(config):
    config["evaluations"] = {"evaluators": ["off_target"], "settings": {"held_out_text": {"tokens": 3}}}
    with pytest.raises(TrimtabError, match=r"evaluations.settings.held_out_text: held_out_text is not among"):
        check(config, Origins())
    config["evaluations"] = {"evaluators": ["off_target"], "settings": {"off_target": {"tokens": 3}}}
    with pytest.raises(TrimtabError, match=r"evaluations.settings.off_target.tokens: unknown key; off_target has no"):
        check(config, Origins())
    config["evaluations"] = {"evaluators": ["courage"], "settings": {}}
    with pytest.raises(TrimtabError, match=r'evaluations.evaluators\[0\]: "courage"'):
        check(config, Origins())


@pytest.fixture
def config():
    return yaml.safe_load((ROOT / "config.yaml").read_text())
