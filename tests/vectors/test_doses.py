"""Doses in nats are what was asked for, or refused: every unit, rule, timing and layer; docs/doses.md says which."""

import re
from collections import defaultdict
from copy import deepcopy
from itertools import product
from pathlib import Path

import pytest
import recorded
import torch
import yaml
from material_of import D_SAE, Said, dictionary, generator, material, probe
from tiny import D_MODEL, llama

from trimtab.config.check import check
from trimtab.errors import TrimtabError
from trimtab.jobs.origins import Origins
from trimtab.rollouts.conditions import trait_conditions
from trimtab.settings.rollouts import Rollouts
from trimtab.settings.vectors import TrainingSettings, VectorSettings
from trimtab.steering.catalogue import AS_MADE, RULES
from trimtab.steering.places import SYSTEM, USER, Segment
from trimtab.vectors import artifact
from trimtab.vectors.applications import NATS, Application, Asked, asked
from trimtab.vectors.calibrate import TOLERANCE
from trimtab.vectors.dose import Scale, length
from trimtab.vectors.material import Pairs
from trimtab.vectors.solving import check_touched
from trimtab.vectors.trait_vectors import Sources, make_vectors

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs/doses.md"
DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text())
OWN, OTHER, NATS_ASKED = 1, 0, 0.02
ROLES = ("system", "user", "tool", "assistant")
TIMINGS = ("all", "prefill", "decode", "last_prompt", "prefill_but_last", *ROLES, "thinking", "answer", "decode_2")
HEADER = Segment([4, 8, 15, 16], written=False, role=SYSTEM)
PROMPTS = [
    [HEADER, Segment(task, False, USER, ends_prompt=True), Segment(thought, True, thinking=True), Segment(cue, True)]
    for task, thought, cue in (([23, 42, 7], [9, 3], [6]), ([5, 77], [11], [2]))
]


def verdict(unit, rule, timing, moved):
    """What the config's check says of one block of the grid; None if it passes."""
    # a vector that every rule can apply
    block = {"methods": ["sae_probe"], "rules": [rule], "timings": [timing], "doses": [0.2]}
    if moved:
        block["layers"] = [DEFAULT["layers"][0]]
    study = DEFAULT["rollouts"]["study"] | {"timings": ["all"], "decode_dose": None}
    rollouts = DEFAULT["rollouts"] | {"unit": unit, "study": study, "grid": [block]}
    try:
        check(DEFAULT | {"rollouts": rollouts}, Origins())
    except TrimtabError as error:
        lines = str(error).splitlines()
        assert all(line.startswith("config.yaml, rollouts.grid[0].") for line in lines)
        return lines[0].removeprefix("config.yaml, rollouts.grid[0].")
    return None


RULED = [name for name in RULES if name != AS_MADE]


@pytest.fixture(scope="module")
def verdicts():
    return {each: verdict(*each) for each in product(NATS, RULED, TIMINGS, (False, True))}


SOLVED = [*product(("add", "keep_norm"), (False, True)), *product(("floor", "clamp", "edit_code"), (False,))]
"""Rules under which a length is searched for, at the vector's own layer or moved to another."""


def solved_timings(verdicts, rule, moved):
    asked = [each for each, said in verdicts.items() if said is None and each[0] == "kl"]
    return [timing for _, other, timing, at in asked if (other, at) == (rule, moved)]


@pytest.mark.slow
def test_the_rules_under_which_a_length_is_searched_for(verdicts):
    assert {each for each in product(RULED, (False, True)) if solved_timings(verdicts, *each)} == set(SOLVED)


def page(verdicts):
    rows = defaultdict(list)
    for (unit, rule, timing, moved), said in verdicts.items():
        where = "another layer" if moved else "its own layer"
        prefix = r"^\w+: (.* with rollouts\.unit \w+, )?"
        why = "solved as applied" if said is None else re.sub(prefix, "refused: ", said)
        rows[unit, rule, where, why].append(timing)
    lines = [
        "# Doses in nats",
        "",
        "What becomes of a dose in nats, by rule, layer and timing. *Solved as applied*: the length is searched for",
        "under the rule, layer and timing that the condition names (`kl`), or bounds the KL in closed form (`asc`). A",
        "length that can't be found is an error in one line; all else is refused when the config is checked. With the",
        "protocol few_shot_at_once, kl refuses decode and decode_<number> too, and with native_thinking thinking;",
        "thinking and answer want a protocol with thoughts under any unit.",
        "Written by `tests/vectors/test_doses.py`.",
        "",
        "| unit | rule | vector added at | timings | what becomes of it |",
        "|---|---|---|---|---|",
    ]
    for (unit, rule, where, said), timings in rows.items():
        named = "every timing" if len(timings) == len(TIMINGS) else ", ".join(timings)
        lines.append(f"| {unit} | {rule} | {where} | {named} | {said} |")
    return "\n".join(lines) + "\n"


@pytest.mark.slow
def test_the_page_says_what_the_check_does(verdicts):
    """Written anew by deleting the file and running this test."""
    if not TABLE.is_file():
        TABLE.write_text(page(verdicts))
    assert TABLE.read_text() == page(verdicts)


@pytest.fixture(scope="module")
def solved(verdicts, tmp_path_factory):
    noise = torch.randn(4, 12, D_MODEL, generator=generator(0))
    axis = 4 * torch.nn.functional.one_hot(torch.tensor(0), D_MODEL).float()
    made = material(
        layer=OWN,
        high=noise[0] + axis,
        low=noise[1],
        sae=dictionary(torch.eye(D_SAE, D_MODEL)),
        latent_probe=probe(torch.linspace(1, 0, D_SAE)),
        readings=Said(torch.rand(2, 12, generator=generator(1)), (noise[2] + axis, noise[2])),
    )
    model = llama(initializer_range=0.2)
    sources = Sources(
        recorded.manifest(), model, PROMPTS, Pairs(noise[3] + axis, noise[2], ["test"] * 12, [[], []]), {}
    )
    targets = (NATS_ASKED, -NATS_ASKED)
    wanted = [
        Asked("sae_probe", OTHER if moved else None, rule, timing, target)
        for rule, moved in SOLVED
        for timing in solved_timings(verdicts, rule, moved)
        for target in targets
    ]
    folder = tmp_path_factory.mktemp("vectors")
    settings = VectorSettings(
        calibration_doses=[0.1, 0.4],
        settings={},
        training=TrainingSettings(passes=1, batch=1, together=1, kept=1, looks=1, patience=1),
        wrong_sign="mark",
    )
    make_vectors(folder, ["sae_probe"], made, sources, settings, [0.05], wanted)
    return model, made.sae, artifact.read(folder / "sae_probe/autonomy.safetensors")


def touched(timing, at, prompt):
    """Whether a timing touches a prompt's token, by where its segment stands: header, user, then the agent's."""
    bounds = [len(HEADER.tokens), len(HEADER.tokens) + len(prompt[1].tokens)]
    system, user, last = at < bounds[0], bounds[0] <= at < bounds[1], at == bounds[1] - 1
    own, answered = at >= bounds[1], at >= bounds[1] + len(prompt[2].tokens)
    return {
        "all": True,
        "prefill": not own,
        "decode": own,
        "assistant": own,
        "thinking": own and not answered,
        "answer": answered,
        "decode_2": own,
        "last_prompt": last,
        "prefill_but_last": not own and not last,
        "system": system,
        "user": user,
    }[timing]


def moved_by(rule, reach, vector, sae):
    u = vector.unit
    middle = float(vector.mean @ u)

    def change(h):
        along = (h @ u)[:, None]
        if rule == "add":
            return h + reach * u
        if rule == "keep_norm":
            there = h + reach * u
            return there * h.norm(dim=1, keepdim=True) / there.norm(dim=1, keepdim=True)
        gap = middle + reach - along
        if rule == "floor":
            return h + (gap.clamp(min=0) if reach > 0 else gap.clamp(max=0)) * u
        if rule == "clamp":
            return h + gap * u
        before = sae.latents(h)
        return h + (torch.relu(before + reach * vector.code) - before) @ sae.W_dec

    return change


@torch.no_grad()
def measured(model, layer, timing, change):
    """Mean KL over the tokens behind the header, each prompt alone, through a plain forward hook."""
    found = []
    for prompt in PROMPTS:
        ids = torch.tensor([[token for segment in prompt for token in segment.tokens]])
        mask = torch.tensor([touched(timing, at, prompt) for at in range(ids.shape[1])])
        clean = model(ids).logits[0].double().log_softmax(-1)

        def hook(module, given, stream, mask=mask):
            edited = stream.clone()
            edited[0, mask] = change(stream[0, mask])
            return edited

        handle = model.model.layers[layer].register_forward_hook(hook)
        try:
            steered = model(ids).logits[0].double().log_softmax(-1)
        finally:
            handle.remove()
        found.append((clean.exp() * (clean - steered)).sum(-1)[len(HEADER.tokens) :])
    return float(torch.cat(found).mean())


@pytest.mark.slow
@pytest.mark.parametrize("target", [NATS_ASKED, -NATS_ASKED])
@pytest.mark.parametrize(("rule", "moved"), SOLVED)
def test_the_kl_that_was_asked_for_is_the_kl_that_is_applied(solved, verdicts, rule, moved, target):
    model, sae, vector = solved
    layer = OTHER if moved else OWN
    reached = 0
    for timing in solved_timings(verdicts, rule, moved):
        scale = Scale.of("v", vector.record, 4.0, Application(layer, rule, timing))
        assert target in scale.nats
        if scale.nats[target] is None:
            with pytest.raises(TrimtabError, match=r"^v: no length with a KL of [^\n]*$"):
                length(target, "kl", scale)
            continue
        reach = length(target, "kl", scale)
        reached += 1
        assert reach * target > 0
        kl = measured(model, layer, timing, moved_by(rule, reach, vector, sae))
        assert kl == pytest.approx(abs(target), rel=1.3 * TOLERANCE), timing
    if rule in ("add", "keep_norm"):
        assert reached >= 5


def test_a_timing_that_touches_nothing_is_refused_when_solved():
    check_touched("user", PROMPTS)
    with pytest.raises(TrimtabError, match="timing tool touches no token of the calibration prompts") as caught:
        check_touched("tool", PROMPTS)
    assert "\n" not in str(caught.value)


def test_what_is_asked_for_by_hand():
    """Each length once, whatever asks for it; a control that needs no vector asks for none."""
    rollouts = deepcopy(DEFAULT["rollouts"]) | {"unit": "kl", "rule": "add"}
    rollouts["study"] |= {"method": "lda", "doses": [0.2], "timings": ["all", "prefill"], "decode_dose": 0.2}
    rollouts["controls"] |= {
        "dose": 0.2,
        "methods": ["pca"],
        "random": 2,
        "random_kinds": ["random"],
        "negative": True,
        "prompt": True,
    }
    rollouts["grid"] = [
        {"layers": [4, 5], "doses": [-0.4], "timings": ["decode"], "traits": ["risk"]},
        {"methods": ["random"], "rules": ["clamp", "add"]},
        {"doses": [9.0], "traits": ["deference"]},
    ]
    found = asked(Rollouts.model_validate(rollouts), "risk")
    assert [(each.vector, each.layer, each.rule, each.timing, each.target) for each in found] == [
        ("lda", None, "add", "all", 0.2),
        ("lda", None, "add", "prefill", 0.2),
        ("lda", None, "add", "decode", 0.2),
        ("lda", None, "add", "all", -0.2),
        ("pca", None, "add", "all", 0.2),
        ("random_0", None, "add", "all", 0.2),
        ("random_1", None, "add", "all", 0.2),
        ("lda", 4, "add", "decode", -0.4),
        ("lda", 5, "add", "decode", -0.4),
        ("random_0", None, "clamp", "all", 0.2),
        ("random_1", None, "clamp", "all", 0.2),
    ]
    assert asked(Rollouts.model_validate(rollouts | {"unit": "asc"}), "risk") == []


BLOCKS = [{"layers": [4, 5], "doses": [-0.4], "timings": ["decode"]}, {"methods": ["random"], "rules": ["clamp"]}]


@pytest.mark.parametrize("grid", [[], BLOCKS])
def test_what_is_solved_for_is_what_the_conditions_need(grid):
    rollouts = Rollouts.model_validate(DEFAULT["rollouts"] | {"unit": "kl", "grid": grid})
    known = {(each.vector, each.application(9), each.target) for each in asked(rollouts, "risk")}
    conditions = [each for each in trait_conditions("risk", 9, rollouts) if each.has_vector]
    assert known == {(c.vector_name, Application(c.layer, c.rule, c.timing), c.dose) for c in conditions}
