"""docs/columns.md: every column of every table; a finished run shows that none is missing (test_small_experiment)."""

import pandas as pd
import pytest
from project import script_of_docs

from trimtab.evaluations import conclusions, evaluators
from trimtab.organism.questions import COLUMNS, MEASURED
from trimtab.rollouts.best_of import Row
from trimtab.rollouts.judge import QUESTIONS, agreement
from trimtab.rollouts.outcomes import KEYS
from trimtab.statistics import effects
from trimtab.vectors import drift


@pytest.fixture(scope="module")
def columns():
    return script_of_docs("columns")


def test_the_page_is_made_from_its_words(columns):
    assert columns.PAGE.read_text() == columns.page()


def test_tables_that_the_small_run_has_not(columns):
    verdicts = {f"{side}{name}": [1.0, 0.0] for name in QUESTIONS for side in ("", "counted_")}
    judged = pd.DataFrame({"condition_id": "zero", "scenario_id": ["a", "b"], "seed": 0, **verdicts})
    tables = {
        "rollouts/judge.parquet": judged.columns,
        "rollouts/judge_agreement.csv": agreement(judged).columns,
        "organism/answers.csv": COLUMNS,
        "organism/measured.parquet": MEASURED,
        "rollouts/best_of.csv": Row._fields,
        "vectors/drift.csv": drift.COLUMNS,
        "evaluations/held_out_text/common.parquet": [*KEYS, *evaluators.measures("held_out_text")],
        "evaluations/conclusions.csv": conclusions.COLUMNS,
        "evaluations/effects.csv": ["evaluator", *effects.COLUMNS],
    }
    for path, names in tables.items():
        table = columns.table_of(path)
        assert [name for name in names if not columns.meaning(table, name)] == [], path
        assert {*columns.own(table)} <= {*names}


def test_a_table_or_column_that_nobody_writes_has_no_words(columns):
    assert columns.table_of("statistics/courage.csv") is None
    assert columns.meaning(columns.table_of("saes/0/again/training.csv"), "loss")
    assert columns.meaning(columns.table_of("vectors/latents.csv"), "loss") is None
