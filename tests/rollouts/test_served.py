"""What of the contract of edits runs on vLLM: each kind has a request that tests compare, or is refused in one line.

docs/served-edits.md is written from it.
"""

from pathlib import Path

import cells
import pytest
import torch

from trimtab.forward.sites import OUTPUT, Site
from trimtab.settings.rollouts import TIMINGS
from trimtab.steering import packing, places
from trimtab.steering.changes import Add
from trimtab.steering.codes import EditCode
from trimtab.steering.edits import Edit
from trimtab.steering.gates import REMEMBERS, Beyond
from trimtab.steering.served import SITES, refused

LLAMA = "LlamaForCausalLM"
PAGE = Path(__file__).parents[2] / "docs/served-edits.md"
ELSEWHERE = ["12.self_attn.q_proj", "12.mlp.gate_proj", "12.post_attention_layernorm", "12.mlp.experts:input"]
"""Sites that a model of `transformers` may have, which vLLM builds otherwise or doesn't have."""

HEAD = """\
# Edits on vLLM

With `rollouts.engine: vllm` ([vLLM](vllm.md)) each part of an [edit](edits.md) either runs there exactly, which
`tests/rollouts/test_vllm.py` compares with `transformers` in float32, by one worker and by two, or is refused before
vLLM starts. Modules are compared on Llama; of other classes the stream alone is taken, which a preflight compares on
the user's own model, and `tests/rollouts/test_vllm_hybrid.py` on a tiny Qwen3.5-MoE in bfloat16.

Written by `pytest tests/rollouts/test_served.py` where it is missing.
"""


def compared(kind):
    """Names of the requests about something: `change`, `timing`, `gate` or `site`."""
    return [name.removeprefix(f"{kind} ") for name in cells.ARMS if name.startswith(f"{kind} ")]


def rows():
    """Part of an edit, name, and what becomes of it."""
    runs = "runs, compared"
    for name in packing.CHANGES:
        yield "change", name, runs
    yield "change", "edit_code", refused((Edit(Site(1), EditCode(None, torch.zeros(1)), 1.0),), LLAMA)
    for name in [*TIMINGS, "decode_<number>"]:
        yield "timing", name, runs
    for name in packing.GATES:
        yield "gate", name, runs
    for module, side in SITES:
        yield "site", f"12{f'.{module}' if module else ''}{'' if side == OUTPUT else ':input'}", runs
    for name in ELSEWHERE:
        yield "site", name, refused((Edit(Site.of(name), Add(torch.ones(1)), 1.0),), LLAMA)


def page():
    table = [f"| {part} | `{name}` | {told} |" for part, name, told in rows()]
    return "\n".join([HEAD, "| part | name | on vLLM |", "|---|---|---|", *table, ""])


def test_the_page_says_what_is_so():
    if not PAGE.exists():
        PAGE.write_text(page())
    assert PAGE.read_text() == page(), f"{PAGE.name} is stale: remove it, run this test, and commit it"


def test_every_change_that_a_file_holds_is_compared():
    kinds = {type(edit.change) for edits in cells.ARMS.values() for edit in edits}
    assert kinds == set(packing.CHANGES.values())


def test_every_gate_is_compared_and_each_way_to_remember():
    gates = [edit.gate for edits in cells.ARMS.values() for edit in edits if edit.gate is not None]
    assert {type(gate) for gate in gates} == set(packing.GATES.values())
    assert {gate.remembers for gate in gates} >= set(REMEMBERS)


def test_every_timing_is_compared():
    assert set(compared("timing")) >= set(places._TOUCHED)
    assert any(name.startswith("decode_") for name in compared("timing"))


def test_every_site_is_compared_and_none_that_is_refused():
    sites = {Site.of(name) for name in compared("site")}
    assert {(site.module, site.side) for site in sites if site.columns is None} >= {
        each for each in SITES if each != ("self_attn.o_proj", "input")
    }
    assert {(site.module, site.side) for site in sites} >= set(SITES)
    assert not any(refused(edits, LLAMA) for edits in cells.ARMS.values())


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_site_that_a_gate_reads_is_refused_too(name):
    gate = Beyond((Site.of(name),), torch.ones(1), 0.0)
    why = refused((Edit(Site(2), Add(torch.ones(1)), 1.0, gate=gate),), LLAMA)
    assert why.startswith(f"site {name} is not known")
    assert "\n" not in why


def test_modules_of_other_classes_are_refused_and_their_stream_is_not():
    edits = (Edit(Site(2), Add(torch.ones(1)), 1.0), Edit(Site(2, "mlp"), Add(torch.ones(1)), 1.0))
    assert refused(edits[:1], "Qwen3ForCausalLM") == ""
    assert refused(edits, "Qwen3ForCausalLM").endswith(
        "expected the stream alone of Qwen3ForCausalLM, or engine transformers"
    )
