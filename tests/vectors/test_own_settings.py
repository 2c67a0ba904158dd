"""A method's settings are read from its file; what they can't be is told in one line."""

import pytest
from pydantic import TypeAdapter, ValidationError

from trimtab.errors import TrimtabError
from trimtab.settings import base
from trimtab.vectors.methods import FOLDER
from trimtab.vectors.own_settings import KINDS, declared, misfits

SOME = """
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    layers: int = 2
    '''How many.'''
    share: float = 0.5
    named: str = "x"
    again: bool = False
    heads: Positive = 3
    pole: Literal["low", "high"] = "low"
    quadrant: Literal[2, 4] = 2
"""


def test_fields_of_the_class_by_name(tmp_path):
    (tmp_path / "some.py").write_text(SOME)
    found = declared(tmp_path / "some.py")
    kinds = {"layers": "int", "share": "float", "named": "str", "again": "bool", "heads": "Positive"}
    assert {name: found[name] for name in kinds} == {name: KINDS[kind] for name, kind in kinds.items()}
    told = {name: [found[name].misfit(value) for value in ("low", "middle", 2, 3)] for name in ("pole", "quadrant")}
    assert told == {
        "pole": ["", '"middle"; expected one of low, high', "2 is a number, not text", "3 is a number, not text"],
        "quadrant": [
            *(f'"{text}" is text, not a whole number' for text in ("low", "middle")),
            "",
            "3; expected one of 2, 4",
        ],
    }
    (tmp_path / "none.py").write_text("X = 1\n")
    assert declared(tmp_path / "none.py") == {}


@pytest.mark.parametrize("line", ["layers: list[int] = 2", "layers: int"])
def test_a_setting_of_another_kind_or_without_a_default_is_refused(tmp_path, line):
    (tmp_path / "some.py").write_text(SOME.replace("layers: int = 2", line))
    with pytest.raises(TrimtabError, match=r"some.py, Settings.layers: expected bool, int, .*, with a default"):
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


@pytest.mark.parametrize(
    ("method", "given", "line"),
    [
        ("iti", {"heads": -3}, "heads: -3; expected at least 1"),
        ("iti", {"penalty": 0}, "penalty: 0; expected a number above 0"),
        ("g_act", {"clusters": 0}, "clusters: 0; expected at least 1"),
        ("scorer_gradient", {"units": -1}, "units: -1; expected at least 0"),
        ("black_box", {"price": -0.5}, "price: -0.5; expected at least 0"),
        ("cast", {"pole": "lowest"}, 'pole: "lowest"; expected one of low, high'),
        ("breaking_bad_tokens", {"gate": 1}, "gate: 1 is a number, not text"),
        ("reflex", {"quadrant": 3}, "quadrant: 3; expected one of 2, 4"),
        ("assistant_axis", {"percentile": 101}, "percentile: 101; expected 0 to 100"),
        ("steer2edit", {"alpha": 1}, "alpha: 1; expected from 0 to below 1"),
    ],
)
def test_a_value_out_of_range_is_told_before_the_first_job(method, given, line):
    """Of a dictionary's many hours, and not of its own job's first second."""
    assert [*misfits({method: given}, [method])] == [f"vectors.settings.{method}.{line}"]


@pytest.mark.parametrize("name", sorted(KINDS.keys() & vars(base).keys()))
def test_a_range_is_that_of_the_configs_own_keys(name):
    wanted = TypeAdapter(getattr(base, name))
    for value in (-1, -0.5, 0, 0.5, 1, 2, 100, 101):
        try:
            wanted.validate_python(value, strict=True)
        except ValidationError:
            assert KINDS[name].misfit(value), value
        else:
            assert not KINDS[name].misfit(value), value
