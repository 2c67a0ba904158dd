"""Prompts in one sequence, read on from a layer, are the prompts that each would be alone and whole."""

from copy import deepcopy

import pytest
import torch
from tiny import ALONE, ARCHITECTURES, D_MODEL, LAYERS, SHAPE, gpt2, llama
from transformers import MixtralConfig, MixtralForCausalLM

from trimtab.forward import attention
from trimtab.forward.hooks import hooked
from trimtab.forward.packed import pack_rows
from trimtab.forward.sites import INPUT, Site
from trimtab.steering.changes import Add, KeepNorm, LowRank, ProjectOut
from trimtab.steering.edits import Edit, added, after
from trimtab.steering.gates import ANY, FIRST, Beyond, Trigger
from trimtab.steering.packs import packs
from trimtab.steering.places import Segment
from trimtab.steering.replay import ROWS, Replay
from trimtab.steering.steering import Steering

HEADER = Segment([4, 8, 15, 16, 23, 42, 7, 9, 30, 31], written=False)
PROMPTS = [
    [HEADER, Segment([23, 42, 7], written=False), Segment([9, 3], written=True)],
    [HEADER, Segment([5], written=False), Segment([11], written=True)],
    [HEADER, Segment([60, 61, 62, 63, 64, 65, 66], written=False), Segment([70, 71], written=True)],
]
RECURRENT = ["qwen3_5_moe", "falcon_h1"]
MODELS = {family: ARCHITECTURES[family]() for family in ["llama", "gpt2", "gemma3", "mixtral", *RECURRENT]}
MODELS |= {family: make() for family, make in ALONE.items()}
MODELS["windowed"] = MixtralForCausalLM(MixtralConfig(**SHAPE, sliding_window=8, num_local_experts=2)).eval()
PACKED = {f"packed {family}": deepcopy(MODELS[family]) for family in ["llama", "gpt2", "gemma3", "mixtral", "windowed"]}
for packed in PACKED.values():
    pack_rows(packed)
MODELS |= PACKED
UNIT = torch.ones(D_MODEL) / D_MODEL**0.5


def alone(model, prompt, push, header=10):
    """Logits of a whole prompt by itself, steered by a plain hook."""
    tokens = [token for segment in prompt for token in segment.tokens]
    places = [place for segment in prompt for place in segment.places]
    ids = torch.tensor([tokens])
    steering = Steering([push], model.device)
    steering.locate(torch.zeros_like(ids), torch.tensor([places]), ids)
    with torch.no_grad(), steering.applied(model):
        return model(ids).logits[0, header:]


@pytest.mark.slow
@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("layer", [0, 2, 3])
def test_every_token_has_the_logits_of_its_prompt_alone(family, layer):
    model = MODELS[family]
    pushes = [
        (),
        *(added(layer, UNIT, 1.5, timing) for timing in ("all", "prefill", "decode")),
        added(layer, UNIT, -2.0, "all"),
    ]
    assert len(pushes) > ROWS
    replay = Replay(model, PROMPTS, layer)
    found = replay.logits(pushes, replay.tail)
    ends = replay.logits(pushes, replay.ends)
    for row, push in enumerate(pushes):
        whole = [alone(model, prompt, push) for prompt in PROMPTS]
        torch.testing.assert_close(found[row], torch.cat(whole), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(ends[row], torch.stack([logits[-1] for logits in whole]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("family", PACKED)
def test_where_rows_can_be_packed_prompts_meet_the_header_and_themselves_alone(family, monkeypatch):
    spans, attend = [], attention.attend_behind

    def told(query, key, *rest):
        spans.append([(span.start, span.stop) for span in key.spans])
        return attend(query, key, *rest)

    monkeypatch.setattr(attention, "attend_behind", told)
    replay = Replay(MODELS[family], PROMPTS, 1)
    # layers up to the checkpoint
    assert spans == [[(0, 10), (10, 15), (15, 17), (17, 26)]] * 2
    replay.logits([(), added(1, UNIT, 1.0)], replay.ends)
    assert len(spans) == 2 + LAYERS - 2


@pytest.mark.parametrize("family", ["llama", "packed llama"])
def test_prompts_without_a_header_are_blind_to_each_other_too(family):
    bare = [[Segment([], written=False), *prompt[1:]] for prompt in PROMPTS]
    replay, push = Replay(MODELS[family], bare, 1), added(1, UNIT, 1.5)
    whole = torch.cat([alone(MODELS[family], prompt, push, header=0) for prompt in bare])
    torch.testing.assert_close(replay.logits([push], replay.tail)[0], whole, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("family", ["llama", *RECURRENT])
def test_rows_are_the_stream_at_each_prompts_end(family):
    model = MODELS[family]
    replay = Replay(model, PROMPTS, 1)
    for prompt, row in zip(PROMPTS, replay.at(Site(1), replay.ends), strict=True):
        tokens = [token for segment in prompt for token in segment.tokens]
        with torch.no_grad():
            stream = model(torch.tensor([tokens]), output_hidden_states=True).hidden_states[2][0, -1]
        torch.testing.assert_close(row, stream, rtol=1e-4, atol=1e-5)


SITES = [Site(1), Site(2), Site(2, "mlp.down_proj"), Site(3, "mlp.down_proj", INPUT), Site(2, "mlp", INPUT, (3, 9))]


@pytest.mark.parametrize(
    ("family", "site"),
    [*(("llama", site) for site in SITES), ("falcon_h1", Site(2, "feed_forward.down_proj", INPUT))],
    ids=str,
)
def test_rows_at_any_site_are_those_of_each_prompt_alone(family, site):
    model = MODELS[family]
    replay = Replay(model, PROMPTS, 1)
    found = replay.at(site, replay.tail)
    each = []
    for prompt in PROMPTS:
        with torch.no_grad(), hooked(model, {site: each.append}):
            model(torch.tensor([[token for segment in prompt for token in segment.tokens]]))
    rows = torch.cat([stream[0, len(HEADER.tokens) :] for stream in each])
    torch.testing.assert_close(found, rows, rtol=1e-4, atol=1e-5)
    assert torch.equal(replay.at(site, replay.ends), found[replay.ends])


@pytest.mark.parametrize("family", ["llama", "gpt2", "falcon_h1"])
def test_going_on_under_edits_is_one_pass_under_all_of_them(family):
    model, replay = MODELS[family], Replay(MODELS[family], PROMPTS, 0)
    before, behind = added(0, UNIT, 1.5), added(2, UNIT, -2.0)
    replay.advance(2, before)
    found, rows = replay.logits([behind], replay.tail)[0], replay.at(Site(2), replay.tail)
    whole = torch.cat([alone(model, prompt, (*before, *behind)) for prompt in PROMPTS])
    torch.testing.assert_close(found, whole, rtol=1e-3, atol=1e-4)
    kept = []
    with hooked(model, {Site(2): kept.append}):
        for prompt in PROMPTS:
            alone(model, prompt, before)
    expected = torch.cat([stream[0, len(HEADER.tokens) :] for stream in kept])
    torch.testing.assert_close(rows, expected, rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match="an edit after layer 0 of a replay from layer 2"):
        replay.advance(3, before)


def test_many_sites_are_read_in_one_pass():
    model, calls = MODELS["llama"], []
    replay = Replay(model, PROMPTS, 1)
    handle = model.model.layers[2].register_forward_hook(lambda *_: calls.append(1))
    found = replay.at_ends(SITES)
    handle.remove()
    assert len(calls) == 1
    for site in SITES:
        assert torch.equal(found[site], replay.at(site, replay.ends))


def test_layers_before_the_checkpoint_run_once():
    model, calls = gpt2(), []
    handle = model.transformer.h[1].mlp.register_forward_hook(lambda *_: calls.append(1))
    replay = Replay(model, PROMPTS, 1)
    for _ in range(3):
        replay.logits([(), added(1, UNIT, 1.0, "all")], replay.ends)
    handle.remove()
    assert len(calls) == 1


def test_the_model_is_as_before():
    model = MODELS["llama"]
    ids = torch.tensor([[3, 1, 4, 1]])
    with torch.no_grad():
        before = model(ids).logits
        replay = Replay(model, PROMPTS, 2)
        replay.logits([added(2, UNIT, 5.0, "all")], replay.ends)
        assert torch.equal(model(ids).logits, before)

    def broken(stream):
        raise RuntimeError("in the middle of a pass")

    with pytest.raises(RuntimeError, match="in the middle"), hooked(model, {Site(3): broken}):
        replay.logits([()], replay.ends)
    with torch.no_grad():
        assert torch.equal(model(ids).logits, before)


def test_an_edit_before_the_replay_is_refused():
    replay = Replay(MODELS["llama"], PROMPTS, 1)
    for early in (added(0, UNIT, 1.0), (Edit(Site(1, "mlp"), Add(UNIT), 1.0),)):
        with pytest.raises(ValueError, match="an edit after layer 0 of a replay from layer 1"):
            replay.logits([early], replay.ends)
    gated = Edit(Site(2), Add(UNIT), 1.0, gate=Beyond((Site(0),), UNIT, 0.0))
    with pytest.raises(ValueError, match="an edit after layer 0"):
        replay.logits([(gated,)], replay.ends)


GATED = Beyond((Site(0), Site(1)), torch.cat([UNIT, -UNIT]), 0.01)
LEFT, RIGHT = torch.randn(2, D_MODEL, 2, generator=torch.Generator().manual_seed(4))
SEVERAL = {
    "two layers": (Edit(Site(1), Add(UNIT), 1.0), Edit(Site(2), ProjectOut(UNIT), 1.0, "prefill")),
    "twice at one": (Edit(Site(1), Add(UNIT), 3.0), Edit(Site(1), KeepNorm(-UNIT), 2.0, "decode")),
    "a module": (Edit(Site(0, "self_attn.o_proj"), Add(UNIT), 2.0),),
    "a weight": (Edit(Site(1, "self_attn.o_proj"), LowRank(LEFT, RIGHT.T), 0.3),),
    "behind a gate": (Edit(Site(2), Add(UNIT), 4.0, gate=GATED),),
    "a trigger": (Edit(Site(0), Add(UNIT), 4.0, gate=Trigger(torch.arange(0, 40, 3))),),
}


ASKED = [
    [HEADER, Segment([23, 42, 7], written=False, ends_prompt=True), Segment([9, 3], written=True)],
    [HEADER, Segment([5, 8], written=False, ends_prompt=True), Segment([11, 12, 7], written=True)],
    [HEADER, Segment([60, 7, 62], written=False, ends_prompt=True), Segment([70, 71], written=True)],
]
"""A trigger 7 ends the first one's task, is written in the second, and stands within the third's."""


@pytest.mark.parametrize(("remembers", "open_at"), [(ANY, [3, 0, 4]), (FIRST, [3, 0, 0])])
@pytest.mark.parametrize("family", ["llama", "qwen3_5_moe"])
def test_what_a_gate_remembers_of_one_prompt_opens_no_other(family, remembers, open_at):
    model = MODELS[family]
    prompts = [[Segment([4, 8], written=False), *rest] for _, *rest in ASKED]
    edits = (Edit(Site(1), Add(UNIT), 6.0, gate=Trigger(torch.tensor([7]), remembers)),)
    replay = Replay(model, prompts, 1)
    # beside a condition that remembers nothing, and whose numbers stay
    found = replay.logits([edits, added(1, UNIT, 1.0)], replay.tail)
    for row, own in enumerate([edits, added(1, UNIT, 1.0)]):
        each = torch.cat([alone(model, prompt, own, header=2) for prompt in prompts])
        torch.testing.assert_close(found[row], each, rtol=1e-3, atol=1e-4)
    assert [opening.open for (opening,) in replay.openings(edits)] == open_at
    assert [opening.tokens for (opening,) in replay.openings(edits)] == [7, 7, 7]


@pytest.mark.parametrize("name", SEVERAL)
def test_edits_of_any_kind_from_the_first_layer_that_they_need(name):
    model, edits = MODELS["llama"], SEVERAL[name]
    replay = Replay(model, PROMPTS, after(edits))
    found = replay.logits([edits, (), edits], replay.tail)
    plain, own = (torch.cat([alone(model, prompt, each) for prompt in PROMPTS]) for each in ((), edits))
    torch.testing.assert_close(found[0], own, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found[1], plain, rtol=1e-3, atol=1e-4)
    # the same edits beside others; where a row stands in a product may move its last digit
    torch.testing.assert_close(found[0], found[2], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(found[0], plain, atol=1e-2)


def test_an_edit_of_a_modules_output_is_the_edit_of_its_weight():
    """W + a l r, as a plain model with that weight computes it."""
    model = llama()
    edits = (Edit(Site(1, "self_attn.o_proj"), LowRank(LEFT, RIGHT.T), 0.3),)
    replay = Replay(model, PROMPTS, after(edits))
    found = replay.logits([edits], replay.tail)[0]
    with torch.no_grad():
        model.model.layers[1].self_attn.o_proj.weight += 0.3 * LEFT @ RIGHT.T
    really = torch.cat([alone(model, prompt, ()) for prompt in PROMPTS])
    torch.testing.assert_close(found, really, rtol=1e-3, atol=1e-4)


def test_two_additions_in_one_condition_are_one_of_their_sum():
    model = MODELS["llama"]
    other = UNIT.roll(3) * torch.linspace(-1, 1, D_MODEL)
    both = (*added(1, UNIT, 2.0), *added(1, other, 3.0))
    replay = Replay(model, PROMPTS, 1)
    found = replay.logits([both, added(1, 2 * UNIT + 3 * other, 1.0)], replay.tail)
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


def test_packs_hold_one_header_each():
    other = [Segment([1], False), Segment([2], True)]
    found = list(packs([PROMPTS[0], other, *PROMPTS[1:]], size=2))
    assert sorted(place for pack in found for place in pack) == [0, 1, 2, 3]
    assert [1] in found
    assert max(map(len, found)) == 2
