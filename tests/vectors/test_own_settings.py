"""A method's settings are read from its file; what they can't be is told in one line."""

import pytest

from trimtab.errors import TrimtabError
from trimtab.vectors.methods import FOLDER
from trimtab.vectors.own_settings import declared, misfits

SOME = """
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    layers: int = 2
    '''How many.'''
    share: float = 0.5
    named: str = "x"
    again: bool = False
"""


def test_fields_of_the_class_by_name(tmp_path):
    (tmp_path / "some.py").write_text(SOME)
    assert declared(tmp_path / "some.py") == {"layers": "int", "share": "float", "named": "str", "again": "bool"}
    (tmp_path / "none.py").write_text("X = 1\n")
    assert declared(tmp_path / "none.py") == {}


@pytest.mark.parametrize("line", ["layers: list[int] = 2", "layers: int"])
def test_a_setting_of_another_kind_or_without_a_default_is_refused(tmp_path, line):
    (tmp_path / "some.py").write_text(SOME.replace("layers: int = 2", line))
    with pytest.raises(TrimtabError, match=r"some.py, Settings.layers: expected bool, int, float, str, with a default"):
        declared(tmp_path / "some.py")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_every_methods_settings_can_be_read(path):
    declared(path)


def test_what_fits_a_method_is_taken():
    given = {"clamped_latent": {"times": 2}, "casal": {"module": "mlp.c_proj"}}
    assert [*misfits(given, ["casal", "clamped_latent"])] == []
    assert [*misfits({"casal": {"module": 1, "modul": "x"}}, ["casal"])] == [
        "vectors.settings.casal.module: 1 is a number, not text",
        "vectors.settings.casal.modul: unknown key; did you mean vectors.settings.casal.module?",
    ]
