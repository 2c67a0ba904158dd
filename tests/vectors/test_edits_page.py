"""The examples of docs/edits.md run as they stand there."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from material_of import D_MODEL, Kept, dictionary, material
from snakemake.utils import update_config
from tiny import llama

from trimtab.config.check import check
from trimtab.jobs.origins import Origins
from trimtab.rollouts.conditions import trait_conditions
from trimtab.steering.changes import Affine
from trimtab.vectors import methods
from trimtab.vectors.contract import make
from trimtab.wording import constants

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/edits.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_by_hand_in_python():
    by_hand = next(block for block in blocks("python") if "GrowingBatch" in block)
    names = {"model": llama()}
    exec(by_hand, names)
    plain, steered, both = names["logits"]
    assert not torch.allclose(plain, steered)
    assert not torch.allclose(steered, both)
    exec(next(block for block in blocks("python") if "log_probabilities" in block), names)
    assert names["vector"].grad.norm() > 0


@pytest.fixture
def example(tmp_path, monkeypatch):
    """Makes a method of the page, put where methods are, and gives its one edit."""

    def made(name, **parts):
        code = next(block for block in blocks("python") if f"methods/{name}.py" in block)
        assert len(code.splitlines()) <= 30
        (tmp_path / f"{name}.py").write_text(code)
        assert constants(tmp_path / f"{name}.py")["MAKES"] == "edits"
        monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
        there = methods.known()
        monkeypatch.setattr(methods, "known", lambda: [*there, name])
        (edit,) = make(name, material(**parts))
        return edit

    return made


def test_a_method_that_makes_edits_is_one_file(example):
    """Means and spreads of the low pole's rows become the high pole's."""
    generator = torch.Generator().manual_seed(0)
    high, low = (torch.randn(40, D_MODEL, generator=generator) * size + size for size in (2.0, 0.5))
    edit = example("gaussian_map", high=high, low=low, rows=Kept({3: (high, low)}))
    assert isinstance(edit.change, Affine)
    moved = edit.change(low, edit.strength)
    torch.testing.assert_close(moved.mean(0), high.mean(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(moved.std(0), high.std(0), rtol=1e-4, atol=1e-4)


def test_a_weight_tells_the_poles_apart_by_their_difference(example):
    parts = material()
    edit = example("read_and_write")
    high, low = (edit.change(torch.zeros(8, D_MODEL), 1.0, rows) for rows in parts.readings.at(edit.site.inputs))
    torch.testing.assert_close(high.mean(0) - low.mean(0), parts.gap().float(), rtol=1e-4, atol=1e-5)


def test_three_latents_are_taken_away(example):
    """Of a dictionary whose latents are the coordinates, what three of them read above 0."""
    rows, association = torch.tensor([[1.0, 2.0, 3.0, -4.0]]), torch.tensor([-1.0, 2.0, -3.0, -2.0])
    edit = example("low_latents_out", association=association, sae=dictionary(torch.eye(4)))
    assert edit.change(rows, edit.strength).tolist() == [[0.0, 2.0, 0.0, -4.0]]


def test_what_the_page_applies_at_once_is_taken_with_all_its_parts():
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    update_config(config, next(yaml.safe_load(block) for block in blocks("yaml") if "also" in block))
    design = check(config, Origins()).rollouts
    conditions = [one for trait in ("autonomy", "deference") for one in trait_conditions(trait, 17, design)]
    (both,) = [one for one in conditions if one.also]
    assert f"`{both.condition_id}`" in PAGE
    assert {both.alone, "mean_difference.deference.all.+0.4"} <= {one.condition_id for one in conditions}


def test_the_configs_gates_are_taken():
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    told = next(yaml.safe_load(block) for block in blocks("yaml") if "after_blank_line" in block)
    config["rollouts"] |= told["rollouts"]
    assert len(check(config, Origins()).rollouts.gates) == 5
