"""How names and numbers are written for a reader: one place, so that figures, tables and sentences agree."""

import math
from collections.abc import Mapping
from typing import Any

DASH, MINUS = "\u2013", "\u2212"

TRAITS = {
    "autonomy": "Autonomy",
    "tool_use_eagerness": "Tool use",
    "persistence": "Persistence",
    "risk_calibration": "Risk",
    "deference": "Deference",
}
METHODS = {
    "none": "No vector",
    "sae_probe": "SAE-decoded probe",
    "sae_probe_top": "SAE-decoded probe, top latents",
    "best_latent": "Best single latent",
    "mean_difference": "Mean difference",
    "raw_probe": "Raw-residual probe",
    "logistic_probe": "Logistic probe",
    "raptor": "RAPTOR",
    "lda": "LDA",
    "pca": "PCA",
    "lat": "LAT",
    "east": "EAST (uncertainty)",
    "prompt_vector": "Prompt as a vector",
    "shuffled": "Shuffled labels",
    "orthogonal": "Orthogonal direction",
    "random": "Random direction",
    "prompt": "Asked in the prompt",
    "zero": "Hooks on, dose 0",
}
TIMINGS = {
    "all": "all tokens",
    "prefill": "given text only",
    "decode": "own text only",
    "last_prompt": "last given token",
    "prefill_but_last": "given text but its last token",
    "system": "system text",
    "user": "the user's text",
    "tool": "answers of tools",
    "assistant": "the assistant's turns",
    "none": "none",
}
RULES = {
    "add": "added",
    "add_relative": "added as a share of each row",
    "keep_norm": "added at the row's norm",
    "project_out": "projected out",
    "floor": "raised to a floor",
    "clamp": "clamped",
    "rotate": "rotated towards",
    "set_angle": "set to an angle",
    "slerp": "moved on the sphere",
    "edit_code": "edited in the code",
}
OUTCOMES = {
    "asks": ("questions to the user", "a rollout"),
    "proactive_calls": ("proactive calls", "a rollout"),
    "calls": ("tool calls", "a rollout"),
    "turns": ("turns", "a rollout"),
    "risky_share": ("risky share of calls", ""),
    "irreversible": ("irreversible calls", "a rollout"),
    "breakage": ("broken turns", "share"),
    "p_ask": ("probability of asking first", ""),
    "p_act": ("probability of acting first", ""),
    "retries": ("retries after a failure", "a rollout"),
    "changed_strategy": ("changes of tool after a failure", "a rollout"),
    "beyond_request": ("changes beyond the request", "a rollout"),
    "literal": ("what was asked and no more", "share"),
    "web_search_calls": ("searches", "a rollout"),
    "code_execute_calls": ("code runs", "a rollout"),
    "file_read_calls": ("files read", "a rollout"),
    "file_write_calls": ("files written", "a rollout"),
    "unparsed_calls": ("calls that could not be read", "a rollout"),
    "no_call": ("no call at all", "share"),
}
TOOLS = {
    "ask_user": "ask the user",
    "web_search": "search the web",
    "file_read": "read a file",
    "code_execute": "run code",
    "file_write": "write a file",
    "finish": "finish",
}
UNITS = {"residual_share": "share of the residual norm", "absolute": "L2 length"}


def model(source: str) -> str:
    """A readable name from the config's model source."""
    return source.rpartition(":")[2].rpartition("/")[2].removesuffix(".gguf") or source


def trait(name: str) -> str:
    return TRAITS.get(name, name.replace("_", " ").capitalize())


def method(name: str) -> str:
    return METHODS.get(name, name.replace("_", " ").capitalize())


def timing(name: str) -> str:
    if name.startswith("decode_"):
        return f"first {name.removeprefix('decode_')} own tokens"
    return TIMINGS.get(name, name.replace("_", " "))


def rule(name: str) -> str:
    return RULES.get(name, name.replace("_", " "))


def outcome(name: str) -> str:
    """The outcome's name without its unit."""
    return OUTCOMES.get(name, (name.replace("_", " "), ""))[0]


def outcome_unit(name: str) -> str:
    """The outcome's name with its unit, for an axis or a heading."""
    label, unit = OUTCOMES.get(name, (name.replace("_", " "), ""))
    return f"{label} ({unit})" if unit else label


def condition(row: Mapping[str, Any]) -> str:
    """A condition's row of `rollouts/conditions.csv` in words."""
    if row["method"] == "none":
        return "Unsteered"
    parts = [method(row["method"])]
    if row["trait"]:
        parts.append(trait(row["trait"]))
    if row["method"] == "random":
        parts.append(f"draw {row['draw']:g}")
    if row["method"] not in ("prompt", "zero"):
        parts.append(f"dose {number(row['dose'])}, {timing(row['timing'])}")
    if row["arm"] == "grid":
        parts.append(f"layer {row['layer']}, {rule(row['rule'])}")
    return " · ".join(parts)


def number(value: Any, digits: int = 2) -> str:
    """A number to so many decimals, with a real minus sign; what is undefined is a dash."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    text = f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def interval(lower: Any, upper: Any, digits: int = 2) -> str:
    return f"{number(lower, digits)} to {number(upper, digits)}"


def p_value(value: Any) -> str:
    """`p = 0.012` or `p < 0.001`."""
    if value is None or math.isnan(value):
        return "no p"
    if value < 0.001:
        return "p < 0.001"
    return f"p = {value:.3f}" if value < 0.1 else f"p = {value:.2f}"


def percent(value: Any) -> str:
    return DASH if value is None or math.isnan(value) else f"{100 * value:.0f} %"


def count(n: int, one: str, many: str | None = None) -> str:
    """`one scenario`, `5 scenarios`."""
    return f"{'one' if n == 1 else f'{n:,}' if n else 'no'} {one if n == 1 else many or one + 's'}"


def listed(items: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""
