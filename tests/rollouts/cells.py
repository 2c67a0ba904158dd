"""One request for each change, timing, gate and site of the contract of edits, for two engines to answer alike.

Read by tests, and by a program in vLLM's own environment, which has no pytest.
"""

import torch

from trimtab.forward.sites import Site
from trimtab.rollouts.chooser import Chooser
from trimtab.rollouts.episode import Arm
from trimtab.rollouts.served.requests import Order, Request, salt
from trimtab.steering import changes, gates, places
from trimtab.steering.changes import Add
from trimtab.steering.codes import RAISE, EditLatents, TwoSided
from trimtab.steering.edits import Edit
from trimtab.steering.retrieval import Retrieved

WIDTH, INNER, LAYERS, VOCABULARY = 64, 48, 4, 512
SHAPE = {
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    # vLLM's attention on a processor takes no smaller one
    "head_dim": 32,
    "max_position_embeddings": 2048,
    "initializer_range": 0.25,
}
HYBRID = SHAPE | {
    # vLLM's linear attention on a processor takes no narrower one
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 1e4,
        "partial_rotary_factor": 0.5,
        "mrope_section": [3, 3, 2],
        "mrope_interleaved": True,
    },
}
"""Of a model whose layers are attention and linear attention, with experts."""
RANDOM = torch.Generator().manual_seed(0)
CHOOSER = Chooser([5, 9, 17], [-1.0, 0.5, 0.0], 0.8, "gumbel")
STOPS = [3, 4]


def normal(*shape):
    return torch.randn(*shape, generator=RANDOM)


U, V = torch.linalg.qr(normal(WIDTH, 2))[0].T.contiguous()
ENCODER = torch.nn.functional.normalize(normal(3, WIDTH), dim=1)
LATENTS = (ENCODER, torch.zeros(3), torch.full((3,), 0.1), ENCODER.clone())
PUSH = Add(U)

# the change, its strength
CHANGES = {
    "add": (PUSH, 4.0),
    "add_relative": (changes.AddRelative(U), -0.3),
    "keep_norm": (changes.KeepNorm(U), 4.0),
    "push_opposed": (changes.PushOpposed(U), 0.5),
    "project_out": (changes.ProjectOut(U), 1.0),
    "floor": (changes.Floor(U, 2.0), 1.0),
    "clamp": (changes.Clamp(U, -2.0), 1.0),
    "rotate": (changes.Rotate(U, V), 0.7),
    "set_angle": (changes.SetAngle(U, V, 0.3), 1.0),
    "slerp": (changes.Slerp(U), 0.3),
    "edit_latents": (EditLatents(*LATENTS, torch.tensor([2.0, -2.0, 4.0]), RAISE), 1.0),
    "two_sided": (TwoSided(*LATENTS, torch.tensor([2.0, 0.0, 1.0]), torch.tensor([0.6, 0.8, 0.0]), 1.0), 1.0),
    "affine": (changes.Affine(1 + 0.3 * normal(WIDTH), 0.3 * normal(WIDTH)), 1.0),
    "choose": (changes.Choose(normal(3, WIDTH), normal(3, WIDTH), torch.zeros(3)), 0.5),
    "ascend": (changes.Ascend(U, normal(5, WIDTH) / 8, torch.zeros(5), normal(5)), 1.0),
}
AT = (Site(1), Site(2))
READ = normal(2 * WIDTH) / 8
GATES = {
    "trigger": gates.Trigger(torch.arange(0, VOCABULARY, 3)),
    "trigger_any": gates.Trigger(torch.arange(0, VOCABULARY, 9), gates.ANY),
    "trigger_first": gates.Trigger(torch.arange(0, VOCABULARY, 2), gates.FIRST),
    "beyond": gates.Beyond(AT, READ, 0.0),
    "beyond_any": gates.Beyond(AT, READ, -2.0, gates.ANY),
    "logistic": gates.Logistic(AT, READ, 0.0),
    "logistic_first": gates.Logistic(AT, READ, 0.0, gates.FIRST),
    "network": gates.Network(AT, normal(4, 2 * WIDTH) / 8, torch.zeros(4), normal(4), 0.0, gates.ANY),
    "opposed": gates.Opposed(AT, READ / READ.norm(), 20.0, -0.15),
    "cosine": gates.Cosine((Site(1),), U, 0.0, 1.0),
    "cosine_below": gates.Cosine((Site(1),), U, 0.0, -1.0),
    "retrieved": Retrieved(torch.arange(0, VOCABULARY), torch.eye(2).repeat(VOCABULARY // 2, 1), 0),
    "retrieved_other": Retrieved(torch.arange(0, VOCABULARY), torch.eye(2).repeat(VOCABULARY // 2, 1), 1),
}
SITES = {
    "0": Add(U),
    f"{LAYERS - 1}": Add(U),
    "1.mlp": Add(U),
    "1.self_attn": Add(U),
    "2.mlp.down_proj": Add(U),
    "2.self_attn.o_proj": Add(U),
    "2.mlp.down_proj:input": Add(torch.nn.functional.normalize(normal(INNER), dim=0)),
    "2.self_attn.o_proj:input[32:64]": Add(torch.nn.functional.normalize(normal(32), dim=0)),
    "1[8:24]": Add(torch.nn.functional.normalize(normal(16), dim=0)),
    "0.mlp.down_proj": changes.LowRank(normal(WIDTH, 2) / 4, normal(2, INNER) / 4),
    "1.self_attn.o_proj": changes.LowRank(normal(WIDTH, 2) / 4, normal(2, WIDTH) / 4),
}
TIMINGS = [
    *("all", "prefill", "decode", "last_prompt", "prefill_but_last", "last_cue", "all_but_last_cue", "system", "user"),
    *("tool", "assistant", "thinking", "answer", "before_call", "none", "decode_1", "decode_3"),
]

BOTH = gates.Beyond(AT, READ, 0.0)
ARMS = {
    "unsteered": (),
    **{f"change {name}": (Edit(Site(2), change, strength),) for name, (change, strength) in CHANGES.items()},
    **{f"timing {name}": (Edit(Site(1), PUSH, 6.0, name),) for name in TIMINGS},
    **{f"gate {name}": (Edit(Site(2), PUSH, -5.0, "all", gate),) for name, gate in GATES.items()},
    **{f"site {name}": (Edit(Site.of(name), change, 4.0),) for name, change in SITES.items()},
    "two at one site": (Edit(Site(1), PUSH, 3.0), Edit(Site(1), changes.ProjectOut(V), 1.0, "decode")),
    "two layers": (Edit(Site(0), PUSH, 3.0, "prefill"), Edit(Site(3), Add(V), -3.0, "decode")),
    "two behind one gate": (Edit(Site(2), PUSH, 3.0, "all", BOTH), Edit(Site(3), Add(V), -3.0, "decode", BOTH)),
    "infinite": (Edit(Site(2), PUSH, float("inf"), "decode_1"),),
}


def requests(seed, acts=()):
    """One of each arm, whose prompt has tokens of all kinds of places; of some arms, for an action."""
    random = torch.Generator().manual_seed(seed)
    said = [
        *places.given(places.SYSTEM, 40),
        *places.given(places.USER, 12, ends_prompt=True),
        *places.cue(2, 0, ends_prompt=True, thinking=True),
        *places.written(4, 0, thinking=True),
        *places.cue(2, 4, ends_prompt=True, calls=True),
        *places.written(3, 4),
        *places.given(places.TOOL, 8, ends_prompt=True),
        *places.cue(2, 0, ends_prompt=True, thinking=True),
    ]
    coming = places.written(4, 0, thinking=True)
    header = torch.randint(VOCABULARY, (40,), generator=torch.Generator().manual_seed(7)).tolist()
    tokens = [*header, *torch.randint(VOCABULARY, (len(said) - 40,), generator=random).tolist()]
    found = []
    for name, edits in ARMS.items():
        chooses = name in acts
        draws = torch.randint(-(2**62), 2**62, (1 if chooses else 4,), generator=random).tolist()
        gated = any(edit.gate is not None for edit in edits)
        order = Order(
            name, chooses, draws, STOPS[0], name if edits else "", gated, [*said, *coming] if edits else (), True
        )
        found.append(Request(order, tokens, salt(edits)))
    return found


ROUNDS = [
    requests(0),
    # another end, after a header that is in vLLM's cache now
    requests(1),
    requests(2, acts=("unsteered", "change add", "gate beyond", "timing decode")),
    # the very same once more
    requests(1),
]

PLAYED = [
    Arm("unsteered"),
    Arm("all", (Edit(Site(1), PUSH, 4.0),)),
    Arm("decode", (Edit(Site(2), PUSH, -4.0, "decode"),)),
    Arm("gated", (Edit(Site(2), PUSH, 4.0, "decode", gates.Trigger(torch.arange(0, 4000, 7), gates.ANY)),)),
    Arm("prompt", instruction="Ask the user before every step, and never guess."),
]
"""Conditions of whole episodes."""
