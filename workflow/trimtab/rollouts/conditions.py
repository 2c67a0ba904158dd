"""The design: which conditions are run, as a table.

Conditions come in batches, one a trait and one of conditions that need no trait, so that a change in one trait reruns
its own rollouts only. The study's 36 conditions are the unsteered one and each trait's share of the other 35.
"""

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
    return pd.DataFrame(rows, columns=COLUMNS)


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
) -> list[Any]:
    parts = {"none": ["unsteered"], "zero": ["zero"], "prompt": ["prompt", trait]}.get(
        method, [method, *([] if draw is None else [str(draw)]), trait, timing, f"{dose:+g}"]
    )
    rule = "add" if method in ("none", "zero", "prompt") else settings["rule"]
    return [".".join(parts), arm, method, trait, draw, float(dose), settings["unit"], timing, layer, rule]
