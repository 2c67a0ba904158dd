"""The design: which conditions are run, as a table.

The study's 36 conditions are a design by name: the unsteered one and each trait's share of the other 35. Controls and
the blocks of a declared grid stand beside them. A condition has the same id in every design, and is in a table once.
Conditions come in batches, one a trait and one of conditions that need no trait, so that a change in one trait reruns
its own rollouts only.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

COMMON = "common"
"""The batch of the conditions that belong to no trait."""

COLUMNS = ["condition_id", "arm", "method", "trait", "draw", "dose", "unit", "timing", "layer", "rule"]


def read_conditions(path: Path) -> pd.DataFrame:
    """A condition table; the empty trait of an unsteered condition is a text, not a missing value."""
    return pd.read_csv(path, keep_default_na=False, na_values={"draw": [""]}, dtype={"draw": "Int64"})


def trait_conditions(trait: str, layer: int, settings: Mapping[str, Any]) -> pd.DataFrame:
    """All conditions of one trait.

    Args:
        layer: where the trait's vectors are applied, chosen by its probe.
        settings: config.yaml's `rollouts`.
    """
    study, controls = settings["study"], settings["controls"]
    rows = [
        _row("study", study["method"], trait, dose, timing, layer, settings)
        for timing in study["timings"]
        for dose in study["doses"]
    ]
    rows.append(_row("study", study["method"], trait, study["decode_dose"], "decode", layer, settings))
    if controls["negative"]:
        rows.append(_row("control", study["method"], trait, -controls["dose"], "all", layer, settings))
    rows += [_row("control", method, trait, controls["dose"], "all", layer, settings) for method in controls["methods"]]
    rows += [
        _row("control", "random", trait, controls["dose"], "all", layer, settings, draw)
        for draw in range(controls["random"])
    ]
    if controls["prompt"]:
        rows.append(_row("control", "prompt", trait, 0.0, "none", layer, settings))
    for block in settings["grid"]:
        rows += _block(block, trait, layer, settings)
    # a block may name what the study has already; the first to name a condition says what it is there for
    return pd.DataFrame(rows, columns=COLUMNS).drop_duplicates("condition_id", ignore_index=True)


def _block(block: Mapping[str, Any], trait: str, layer: int, settings: Mapping[str, Any]) -> list[list[Any]]:
    """One trait's share of a block of the grid."""
    if trait not in block.get("traits", [trait]):
        return []
    combinations = itertools.product(
        block.get("methods", [settings["study"]["method"]]),
        block.get("layers", [layer]),
        block.get("timings", ["all"]),
        block.get("doses", [settings["controls"]["dose"]]),
        block.get("rules", [settings["rule"]]),
    )
    return [
        _row("grid", method, trait, dose, timing, at, settings, draw, own_layer=layer, rule=rule)
        for method, at, timing, dose, rule in combinations
        for draw in (range(settings["controls"]["random"]) if method == "random" else [None])
    ]


def common_conditions(layer: int, settings: Mapping[str, Any]) -> pd.DataFrame:
    """The unsteered condition, and the one whose hook adds nothing."""
    rows = [_row("unsteered", "none", "", 0.0, "none", layer, settings)]
    if settings["controls"]["zero"]:
        rows.append(_row("control", "zero", "", 0.0, "all", layer, settings))
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(
    arm: str,
    method: str,
    trait: str,
    dose: float,
    timing: str,
    layer: int,
    settings: Mapping[str, Any],
    draw: int | None = None,
    own_layer: int | None = None,
    rule: str | None = None,
) -> list[Any]:
    """A row of the table; its id names the layer where it isn't the trait's own, and a rule that isn't the study's."""
    parts = {"none": ["unsteered"], "zero": ["zero"], "prompt": ["prompt", trait]}.get(
        method, [method, *([] if draw is None else [str(draw)]), trait, timing, f"{dose:+g}"]
    )
    if own_layer not in (None, layer):
        parts.append(f"L{layer}")
    if rule not in (None, settings["rule"]):
        parts.append(rule)
    rule = "add" if method in ("none", "zero", "prompt") else rule or settings["rule"]
    return [".".join(parts), arm, method, trait, draw, float(dose), settings["unit"], timing, layer, rule]
