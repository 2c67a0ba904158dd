"""The examples of docs/edits.md run as they stand there."""

import re
from pathlib import Path

import torch
import yaml
from material_of import D_MODEL, Kept, material
from tiny import llama

from trimtab.config.check import check
from trimtab.jobs.origins import Origins
from trimtab.steering.changes import Affine
from trimtab.vectors import methods
from trimtab.vectors.contract import make

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


def test_a_method_that_makes_edits_is_one_file(tmp_path, monkeypatch):
    """Means and spreads of the low pole's rows become the high pole's."""
    code = next(block for block in blocks("python") if "MAKES" in block)
    name = re.search(r"methods/(\w+)\.py", code)[1]
    assert len(code.splitlines()) <= 30
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    monkeypatch.setattr("trimtab.vectors.contract.known", lambda: [*methods.known(), name])
    generator = torch.Generator().manual_seed(0)
    high, low = (torch.randn(40, D_MODEL, generator=generator) * size + size for size in (2.0, 0.5))
    (edit,) = make(name, material(high=high, low=low, rows=Kept({3: (high, low)})))
    assert isinstance(edit.change, Affine)
    moved = edit.change(low, edit.strength)
    torch.testing.assert_close(moved.mean(0), high.mean(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(moved.std(0), high.std(0), rtol=1e-4, atol=1e-4)


def test_the_configs_gates_are_taken():
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    told = next(yaml.safe_load(block) for block in blocks("yaml") if "after_blank_line" in block)
    config["rollouts"] |= told["rollouts"]
    assert len(check(config, Origins()).rollouts.gates) == 4
