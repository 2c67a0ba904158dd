"""What tests need of files that no stage made: a vector's record, a model's manifest, an episode of one call."""

import pandas as pd

from trimtab.agent.scenario import Answers, Goal, Scenario, World
from trimtab.agent.turn import Turn, rows
from trimtab.artifacts.manifest import Manifest, ResidualNorm
from trimtab.vectors.contract import HIGH_POLE
from trimtab.vectors.record import RIGHT, Derivatives, Record, Solved


def norm(centred_mean=4.0):
    """A layer's residual norm."""
    quantiles = {"0.05": 1.0, "0.5": 2.0, "0.95": 3.0}
    return ResidualNorm(2.0, centred_mean, quantiles, sink_share=0.0, top_dimension_share=0.5, rows=20)


def record(**parts):
    known = {
        "method": "raptor",
        "trait": "autonomy",
        "model": "tiny",
        "layer": 2,
        "towards": HIGH_POLE,
        "raw_norm": 5.0,
        "intercept": None,
        "residual_norm": norm(),
        "dose_calibration": (),
        "kl_calibration": (),
        "asc": Derivatives(curvature=0.25, slope=1.5),
        "held_out_gap": 1.0,
        "sign_check": RIGHT,
        "provenance": {},
    }
    return Record(**known | parts)


def manifest(**parts):
    """Of a tiny model, as `tiny.llama` makes it."""
    known = {
        "model": "tiny",
        "revision": None,
        "path": "",
        "weights": {"model.safetensors": "cafe"},
        "architecture": "LlamaForCausalLM",
        "parameters": 0,
        "layers": 4,
        "d_model": 32,
        "vocabulary": 97,
        "context_length": 256,
        "dtype": "float32",
        "device": "cpu",
        "chat_template": False,
        "protocol": "few_shot",
        "residual_norm": {layer: norm() for layer in range(4)},
        "provenance": {},
    }
    return Manifest(**known | parts)


def lengths(found, layer=2, rule="add", timing="all"):
    """Signed length by signed KL, as it was solved for."""
    return tuple(Solved(abs(target), length, True, target, layer, rule, timing) for target, length in found.items())


def scenario(tool, *words, name="s", domain="coding"):
    """One whose goal is a call of `tool`; outcomes depend on no world."""
    world = World({}, (), Answers((), ""), Answers((), ""), {})
    return Scenario(name, "Do it.", world, domain, Goal(tool, words), {})


def one_call(tool, chances):
    """The rows of an episode in which `tool` is called, and nothing else happens."""
    texts = dict.fromkeys(("messages", "call", "prompt", "observation", "fault"), "")
    named = {"condition_id": "c", "scenario_id": "s", "tool": tool, "thought": "a b", "argument": "c"}
    counts = {"seed": 0, "turn": 0, "ignored_calls": 0, "tokens": 3}
    ended = {"ok": True, "finish_reason": "turns", "thought_ended": True}
    return pd.DataFrame(rows([Turn(**texts, **named, **counts, **ended, chances=chances)]))
