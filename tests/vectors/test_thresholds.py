"""Doses that are chances: lengths of a planted curve, what is said where none has the chance, and the agent's own."""

from pathlib import Path

import pytest
import torch
from material_of import Said, generator, material
from recorded import record
from spoken import nothing_due
from tiny import D_MODEL, gpt2, llama, loud

from trimtab.agent.names import ASK, first_actions
from trimtab.agent.points import OPENING
from trimtab.errors import TrimtabError
from trimtab.forward.hooks import decoder_layers
from trimtab.steering.edits import added
from trimtab.vectors.applications import Application, Asked
from trimtab.vectors.apply import edits
from trimtab.vectors.artifact import OwnEdits, Vector
from trimtab.vectors.declared import Declared
from trimtab.vectors.dose import Scale, length
from trimtab.vectors.gates import ungated
from trimtab.vectors.readings import ModelReadings
from trimtab.vectors.record import Record
from trimtab.vectors.thresholds import PAIRS, TRIALS, thresholds
from trimtab.vectors.unmade import CannotBeMade

KEPT = 12
AXIS = torch.nn.functional.one_hot(torch.tensor(0), 6).float()


def vector(unit=AXIS, **parts):
    return Vector(Path("v.safetensors"), record(method="lda", **parts), unit, torch.zeros_like(unit))


def asked(*targets, rule="add"):
    return [Asked("lda", None, rule, "all", target, unit="chance") for target in targets]


def planted(rises, spread=0.0, made=None, targets=(0.5,), lengths=(2.0, 1.0)):
    """Log-odds of -1 at each prompt, but for a spread, to which an edit adds what `rises` makes of its length."""
    aside = spread * torch.randn(2, 2 * KEPT, generator=generator(3)).double()

    def tries(own):
        return aside - 1 + rises(sum(edit.strength for edit in own)), torch.zeros(2, 2 * KEPT)

    parts = material(
        high=torch.randn(2 * KEPT, 6, generator=generator(0)),
        selecting=[pair < KEPT for pair in range(2 * KEPT)],
        readings=Said(tries=tries),
    )
    made = made or vector()
    wanted = asked(*targets, rule=made.plain.rule)
    found = thresholds(wanted, {"lda": made}, parts, lambda layer: lengths, ungated)
    return found["lda"], aside[:, :KEPT]


def test_lengths_of_a_known_curve():
    """Log-odds of -1 + 4 length: two fifths at (1 - ln 1.5) / 4, four at (1 + ln 4) / 4, a tenth at (1 - ln 9) / 4."""
    found, _ = planted(lambda length: 4 * length, targets=(0.4, 0.8, 0.1), lengths=(0.5, 0.25))
    for known, expected in zip(found, (0.14863, 0.59657, -0.29931), strict=True):
        assert known.length == pytest.approx(expected, abs=0.05)
        assert known.lower < expected < known.upper
        assert known.unsteered == pytest.approx(0.26894, abs=1e-4)
        assert (known.layer, known.rule, known.timing, known.gate) == (2, "add", "all", "")
    # brackets end at 0.25, at twice the longest of the scan, and at -0.5
    assert [known.forwards for known in found] == [2 * (scans * KEPT + TRIALS * PAIRS) for scans in (1, 3, 2)]


def test_with_noise_the_interval_holds_the_place():
    """Prompts differ by two log-odds, so a trial's mean is noisy; the place is found by halving at all of them."""
    (known,), aside = planted(lambda length: 2 * length, spread=2.0)
    below, above = 0.0, 4.0
    for _ in range(60):
        middle = (below + above) / 2
        rises = float((aside - 1 + 2 * middle).sigmoid().mean()) < 0.5
        below, above = (middle, above) if rises else (below, middle)
    assert known.lower < below < known.upper
    assert known.length == pytest.approx(below, abs=0.2)


def test_a_chance_that_no_length_has_is_one_line_and_no_dose():
    """It rises to a third and falls again."""
    (none, some), _ = planted(lambda length: 0.15 * (2 - abs(length - 2)), targets=(0.5, 0.29))
    assert (none.length, none.lower, none.upper) == (None, None, None)
    assert none.nearest == pytest.approx(0.33181, abs=1e-4)
    # 1, 2, and twice and four times the longest
    assert none.forwards == 2 * 4 * KEPT
    assert 0 < some.length < 1
    known = record(method="lda", thresholds=(none, some))
    scale = Scale.of("vectors/lda/risk.safetensors", known, 4.0, Application(2, "add", "all"))
    assert length(0.29, "chance", scale) == some.length
    with pytest.raises(CannotBeMade) as error:
        length(0.5, "chance", scale)
    assert str(error.value) == (
        "vectors/lda/risk.safetensors: no length by rule add at layer 2, timing all brings the first actions of its "
        "trait to a chance of 0.5: it is 0.27 unsteered, and 0.33 is the nearest that was reached"
    )
    with pytest.raises(TrimtabError, match=r"no length with a chance of 0\.7 is known .*; searched for: 0\.29, 0\.5$"):
        length(0.7, "chance", scale)


def test_edits_of_a_methods_own_have_shares_of_what_they_are():
    """Log-odds of -1 + 2 shares."""
    own = OwnEdits(Path("v.safetensors"), record(method="lda", asc=None), added(2, AXIS, 4.0))
    (known,), _ = planted(lambda length: length / 2, made=own, targets=(0.4,))
    assert known.length == pytest.approx(0.29727, abs=0.05)
    scale = Scale.of("v", record(asc=None, thresholds=(known,)), 4.0, own.plain)
    (edit,) = edits(own, own.plain, 0.4, "chance", scale)
    assert edit.strength == pytest.approx(4 * known.length)


def test_nothing_asked_for_reads_nothing_and_no_pair_to_choose_by_is_told():
    parts = material(selecting=[False] * 8, readings=Said(tries=None))
    assert thresholds([], {"lda": vector()}, parts, lambda layer: [1.0], ungated) == {"lda": []}
    with pytest.raises(TrimtabError, match=r"^config\.yaml, rollouts\.unit: chance, and autonomy has no contrast pair"):
        thresholds(asked(0.5), {"lda": vector()}, parts, lambda layer: [1.0], ungated)


def test_a_record_keeps_what_was_found():
    (known,), _ = planted(lambda length: length)
    texts = record(thresholds=(known,)).texts()
    back = Record.of(Path("v"), texts)
    assert back.thresholds == (known,)
    assert back.chances(Application(2, "add", "all")) == {0.5: known}
    assert back.chances(Application(2, "add", "prefill")) == {}
    assert "thresholds" not in record().texts()


TASKS = [[{"role": "user", "content": text}] for text in ("Sum the numbers.", "Write a letter.", "Find the bug.")]
DUE = [[*task, {"role": "assistant", "content": OPENING}] for task in TASKS]
POLES = [TASKS[:2], [TASKS[2], [*TASKS[0], {"role": "assistant", "content": "I go slowly."}]]]
LAYER = 1


@pytest.mark.parametrize("build", [llama, gpt2])
def test_the_agents_own_chance_is_what_was_asked_for(protocol, build):
    """Along the gradient of its log-odds, against one prompt at a time with a hook of torch's own."""
    model = loud(build(vocab_size=len(protocol.tokenizer), max_position_embeddings=2048))
    bias = {tool: 0.0 for tool in protocol.tools}
    told = Declared("autonomy", first_actions({"autonomy": "asks"}), nothing_due, lambda: model, DUE, bias)
    readings = ModelReadings(model, protocol, LAYER, POLES, DUE, "", bias, told)
    gradient = readings.gradients.own
    unit = (gradient / gradient.norm()).float()
    rows = torch.randn(2, D_MODEL, generator=generator(0))
    parts = material(layer=LAYER, high=rows, selecting=[True, True], readings=readings)
    made = {"lda": vector(unit, layer=LAYER)}
    (known,) = thresholds(asked(0.2), made, parts, lambda layer: [0.5, 2.0], ungated)["lda"]

    def push(module, given, output):
        stream = output if isinstance(output, torch.Tensor) else output[0]
        moved = stream + known.length * unit
        return moved if isinstance(output, torch.Tensor) else (moved, *output[1:])

    chances, firsts = [], [tokens[0] for tokens in protocol.action_tokens]
    handle = decoder_layers(model)[LAYER].register_forward_hook(push)
    for messages in (messages for pole in POLES for messages in pole):
        due = messages if len(messages) > 1 else [*messages, {"role": "assistant", "content": OPENING}]
        ids = torch.tensor([[token for segment in protocol.prompt(due) for token in segment.tokens]])
        chances.append(model(ids).logits[0, -1, firsts].softmax(0)[protocol.tools.index(ASK)])
    handle.remove()
    assert float(torch.stack(chances).mean()) == pytest.approx(0.2, abs=0.04)
