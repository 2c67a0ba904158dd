"""What the model tells of first actions, held to other ways: NumPy, finite differences, one prompt at a time."""

from functools import partial

import numpy as np
import pytest
import torch
from spoken import nothing_due
from tiny import D_MODEL, llama

from trimtab.agent.calibration import conversations
from trimtab.agent.few_shot import FewShotProtocol, Texts
from trimtab.agent.names import ASK, CALLS, FINISH, FIRST_ACTION, first_actions
from trimtab.agent.played import Played
from trimtab.agent.points import OPENING, START, Decisions, Failed, Measure, Point
from trimtab.artifacts import files
from trimtab.errors import TrimtabError
from trimtab.forward.hooks import hooked
from trimtab.forward.sites import INPUT, Site
from trimtab.organism.tokenizer import word_tokenizer
from trimtab.prompts import resources
from trimtab.steering.edits import added
from trimtab.steering.places import TOOL, USER, Places, given, written
from trimtab.steering.replay import Replay
from trimtab.vectors import due
from trimtab.vectors.cost import Cost
from trimtab.vectors.declared import Declared
from trimtab.vectors.elsewhere import ElsewhereFiles, ElsewhereSettings
from trimtab.vectors.log_odds import apart, contrast, evenly, log_odds
from trimtab.vectors.methods.bipo import Bipo, Settings
from trimtab.vectors.objective import Plan
from trimtab.vectors.readings import ModelReadings
from trimtab.vectors.unmade import CannotBeMade

LAYER = 1
FOLDER = resources.RESOURCES / "organism"
TASKS = conversations(resources.tasks(FOLDER / "tasks.yaml")["calibration"])[:5]
SAID = [[*TASKS[0][:1], {"role": "assistant", "content": f"I am very {word}."}] for word in ("bold", "meek", "keen")]
PROMPTS = [*SAID, TASKS[1][:1]]
"""The last one has no thought of its own."""
ACTIONS = first_actions({"autonomy": "file_write_calls", "deference": "asks", "persistence": "turns"})


@pytest.fixture(scope="module")
def protocol():
    texts = Texts.of(resources.load(FOLDER / "few_shot.yaml"))
    said = [message["content"] for messages in [*TASKS, *SAID] for message in messages]
    names = [f" {name}" for name in texts.actions.values()]
    header = FewShotProtocol(texts, word_tokenizer(names)).header()
    return FewShotProtocol(texts, word_tokenizer([*names, header, "\n\nTask:", *(f" {text}" for text in said)]))


@pytest.fixture(scope="module")
def model(protocol):
    return llama(vocab_size=len(protocol.tokenizer), max_position_embeddings=1024, initializer_range=0.3)


OWN = [
    Played("dev_0", 0, True, 1, [5, 9, 7, 3], [*given(USER, 2, ends_prompt=True), *written(2)], [0, 0, 0, 0]),
    Played("dev_1", 1, False, 2, [6, 2, 8, 4, 11], [*given(USER, 1), *written(2), *given(TOOL, 2)], [0, 0, 0, 1, 1]),
]


def direction(seed):
    drawn = torch.randn(D_MODEL, generator=torch.Generator().manual_seed(seed))
    return drawn / drawn.norm()


def readings(protocol, model, trait="autonomy", actions=ACTIONS, at_due=nothing_due):
    bias = {tool: 0.3 * at for at, tool in enumerate(protocol.tools)}
    told = Declared(trait, actions, at_due, lambda: model, TASKS, bias, OWN)
    return ModelReadings(model, protocol, LAYER, [], TASKS, "", bias, told), bias


def alone(protocol, model, bias, messages, push=None):
    """Calibrated scores and row of one prompt by itself."""
    replay = Replay(model, [protocol.prompt(messages)], LAYER)
    logits = replay.logits([() if push is None else added(LAYER, push, 1.0)], replay.ends)[0, 0].double()
    firsts = [tokens[0] for tokens in protocol.action_tokens]
    scores = torch.log_softmax(logits, dim=-1)[firsts].numpy() - np.array([bias[tool] for tool in protocol.tools])
    return scores, replay.at(Site(LAYER), replay.ends)[0]


def odds_of(scores, tools, counted):
    inside = np.array([tool in counted for tool in tools])
    chances = np.exp(scores)
    return float(np.log(chances[inside].sum() / chances[~inside].sum()))


def test_own_episodes_have_the_rows_that_each_has_by_itself(protocol, model):
    found, _ = readings(protocol, model)
    header = protocol.header_tokens()
    for site, own in ((Site(LAYER), D_MODEL), (Site(LAYER, "mlp.down_proj").inputs, 48)):
        for played, told in zip(OWN, found.episodes(site), strict=True):
            whole = torch.tensor([[*header, *played.tokens]])
            seen = {}
            with hooked(model, {site: lambda stream, seen=seen: seen.setdefault("at", stream.clone())}):
                model(input_ids=whole)
            assert (told.played, told.rows.shape) == (played, (len(played.tokens), own))
            torch.testing.assert_close(told.rows, seen["at"][0, len(header) :], rtol=1e-3, atol=1e-4)
            assert "".join(told.texts).strip() == protocol.tokenizer.decode(played.tokens).strip()
            assert told.places.written.tolist() == Places.of(torch.tensor(played.places)).written.tolist()


def test_behaviour_is_the_agents_own_log_odds_with_the_rows_where_the_action_is_due(protocol, model, tmp_path):
    """Of the files of two traits, one after the other; sites of both kinds stand in a file."""
    sites = [Site(LAYER), Site(0, "mlp"), Site(0)]
    paths = [tmp_path / f"{name}.parquet" for name in ("autonomy", "deference")]
    for path, prompts in zip(paths, (PROMPTS[2:], PROMPTS[:2]), strict=True):
        told = due.table(
            model, protocol, {str(at): due.due(protocol, messages) for at, messages in enumerate(prompts)}, sites
        )
        files.write_parquet(path, told, {})
    found, bias = readings(protocol, model, at_due=partial(due.read, paths, tools=protocol.tools))
    rows, odds = found.behaviour
    ended = [SAID[2], [*PROMPTS[-1], {"role": "assistant", "content": OPENING}], *SAID[:2]]
    for at, messages in enumerate(ended):
        scores, row = alone(protocol, model, bias, messages)
        assert float(odds[at]) == pytest.approx(odds_of(scores, protocol.tools, ("file_write",)), abs=1e-4)
        torch.testing.assert_close(rows[at], row, rtol=1e-3, atol=1e-4)
        replay = Replay(model, [protocol.prompt(messages)], -1)
        for site in sites:
            at_site = due.read(paths, site, protocol.tools).rows[at]
            torch.testing.assert_close(at_site, replay.at(site, replay.ends)[0], rtol=1e-3, atol=1e-4)
    assert float(odds.std()) > 0.01
    assert found.spent["behaviour"] == Cost(4, 0)
    with pytest.raises(TrimtabError, match=r"autonomy.parquet: has no rows at site 2; expected one of 1, 0.mlp, 0$"):
        due.read(paths, Site(2), protocol.tools)


@pytest.mark.slow
def test_the_gradient_is_what_a_small_push_does(protocol, model):
    found, bias = readings(protocol, model)
    gradient = found.gradients.own
    for seed in range(3):
        along = direction(seed)
        step = 0.02
        sides = []
        for sign in (1, -1):
            scores = [alone(protocol, model, bias, task, sign * step * along)[0] for task in TASKS]
            sides.append(np.mean([odds_of(each, protocol.tools, ("file_write",)) for each in scores]))
        rise = (sides[0] - sides[1]) / (2 * step)
        assert float(gradient @ along.double()) == pytest.approx(rise, rel=0.02, abs=0.01)


@pytest.mark.slow
def test_what_moves_scores_along_the_own_contrast_has_no_part_in_the_others_gradients(protocol, model):
    found, bias = readings(protocol, model)
    assert found.gradients.others.keys() == {"deference", "persistence"}
    # by finite differences of the scores, all actions counted alike
    along = direction(9)
    slopes = []
    for task in TASKS:
        up, down = (alone(protocol, model, bias, task, sign * 0.02 * along)[0] for sign in (1, -1))
        moved = (up - down) / 0.04

        def weights(counted):
            inside = np.array([tool in counted for tool in protocol.tools])
            return np.where(inside, 1 / inside.sum(), -1 / (~inside).sum())

        own, other = weights(("file_write",)), weights((ASK,))
        slopes.append((other - own * (own @ other) / (own @ own)) @ moved)
    measured = float(found.gradients.others["deference"] @ along.double())
    assert measured == pytest.approx(np.mean(slopes), rel=0.02, abs=0.01)


def test_a_trait_with_the_same_first_actions_has_nothing_left(protocol, model):
    found, _ = readings(protocol, model, actions={"autonomy": (ASK,), "twin": (ASK,), "all": tuple(protocol.tools)})
    assert found.gradients.others.keys() == {"twin"}
    assert float(found.gradients.others["twin"].norm()) < 1e-9 * float(found.gradients.own.norm())


@pytest.mark.parametrize("actions", [{}, {"autonomy": ("fly",)}, {"autonomy": (*FIRST_ACTION["calls"], FINISH)}])
def test_an_outcome_that_counts_no_action_or_all_is_refused_in_one_line(protocol, model, actions):
    found, _ = readings(protocol, model, actions=actions)
    for name in ("behaviour", "gradients"):
        with pytest.raises(TrimtabError, match=r"^config\.yaml, statistics\.primary\.autonomy: its outcome counts "):
            getattr(found, name)


def test_log_odds_and_their_contrast_by_hand():
    """Chances 1/2, 1/4, 1/4: the first two against the last are 3 to 1; shares 2/3, 1/3 less the other's whole."""
    scores = torch.tensor([0.5, 0.25, 0.25]).log()
    assert float(log_odds(scores, [True, True, False])) == pytest.approx(np.log(3))
    torch.testing.assert_close(contrast(scores, [True, True, False]), torch.tensor([2 / 3, 1 / 3, -1.0]))
    torch.testing.assert_close(evenly([True, True, False]), torch.tensor([0.5, 0.5, -1.0]).double())
    left = apart(torch.tensor([1.0, -1.0, 0.0]), torch.tensor([1.0, 0.0, -1.0]))
    torch.testing.assert_close(left, torch.tensor([0.5, -1.0, 0.5]))


def test_only_conversations_of_development_templates_are_read(tmp_path):
    """Prompts of the other splits, of lexical pairs and of another kind never reach a reading."""
    rows = [
        {"kind": kind, "split": split}
        for kind in ("opening", "instruction")
        for split in ("fit", "select", "test", "calibrate", "lexical")
    ]
    files.write_jsonl(tmp_path / "autonomy.jsonl", rows)
    found = due.development(tmp_path / "autonomy.jsonl", "opening")
    assert [(row["kind"], row["split"]) for row in found] == [("opening", "fit"), ("opening", "select")]


def test_a_gradient_is_taken_at_the_point_of_the_traits_own_measure():
    point = Point("Hm.", failed=Failed("I try.", dict.fromkeys(CALLS, "it"), ASK, "Error."))
    measures = {"deference": Measure("late", (ASK, FINISH))}
    given = ElsewhereSettings(
        primary={"autonomy": "acted", "deference": "asks"},
        prompts=(),
        caches=(),
        due=(),
        corpus=(),
        episodes=(),
        roles=(),
        rules=(),
        twin=None,
    )
    offsets = {START: {ASK: 1.0}, "late": {ASK: 2.0}}
    tasks = {"data": ["Sum it."]}
    decisions = Decisions({START: Point(OPENING), "late": point}, measures)
    for trait, place in {"autonomy": START, "deference": "late"}.items():
        files = ElsewhereFiles(trait, LAYER, "opening", given, decisions)
        declared = files.declared(FOLDER, CALLS, tasks, offsets)
        assert declared.due == [decisions.points[place].on_task("Sum it.")]
        assert declared.bias == offsets[place]
        assert declared.actions["deference"] == (ASK, FINISH)
        assert files.record()["measures"]["deference"] == {"point": "late", "actions": (ASK, FINISH)}


# --- what the model does under edits, and its weights ---

POLES = [SAID[:2], [SAID[2], PROMPTS[-1]]]


def of_poles(protocol, model):
    bias = {tool: 0.3 * at for at, tool in enumerate(protocol.tools)}
    told = Declared("autonomy", ACTIONS, nothing_due, lambda: model, TASKS, bias)
    return ModelReadings(model, protocol, LAYER, POLES, TASKS, "", bias, told), bias


def test_what_edits_do_is_what_they_do_to_each_prompt_alone(protocol, model):
    found, bias = of_poles(protocol, model)
    push = 2 * direction(1)
    tried = found.tried([added(LAYER, push, 1.0), added(2, push, 1.0)], [1])
    for pole, (_, messages) in enumerate(POLES):
        ended = messages if len(messages) > 1 else [*messages, {"role": "assistant", "content": OPENING}]
        still, moved = (alone(protocol, model, bias, ended, push=each)[0] for each in (None, push))
        told = [odds_of(scores, protocol.tools, ("file_write",)) for scores in (still, moved)]
        assert [float(tried.unsteered[pole, 0]), float(tried.log_odds[0, pole, 0])] == pytest.approx(told, abs=1e-3)
    assert tried.log_odds.shape == tried.kl.shape == (2, 2, 1)
    assert (tried.kl > 1e-3).all()
    assert found.spent["tried"] == Cost(6)


def test_harm_is_the_kl_at_tasks_and_none_without_an_edit(protocol, model):
    found, _ = of_poles(protocol, model)
    nothing, little, much = found.harmless([(), added(LAYER, direction(1), 0.5), added(LAYER, direction(1), 4.0)])
    assert nothing == 0
    assert 0 < little < much
    assert found.spent["harmless"] == Cost(8)


def test_means_of_written_tokens_at_many_sites_are_those_of_single_tokens(protocol, model):
    found, _ = of_poles(protocol, model)
    found._poles = [[POLES[0][0]], [POLES[1][0]]]
    sites = [Site(1, "self_attn.o_proj", INPUT), Site(3, "mlp.down_proj", INPUT)]
    means = found.written(sites)
    for site in sites:
        parts = [*found.tokens(site)]
        for pole, high in enumerate((True, False)):
            rows = torch.cat([part.rows[part.written & (part.high == high)] for part in parts])
            torch.testing.assert_close(means[site][pole][0], rows.mean(0), rtol=1e-4, atol=1e-5)


def test_rows_of_the_head_and_weights_of_modules(protocol, model):
    found, _ = of_poles(protocol, model)
    firsts = [tokens[0] for tokens in protocol.action_tokens]
    head = model.lm_head.weight.double()
    counted = protocol.tools.index("file_write")
    others = torch.stack([head[token] for at, token in enumerate(firsts) if at != counted])
    torch.testing.assert_close(found.unembedded, head[firsts[counted]] - others.mean(0))
    assert torch.equal(found.weight(Site(2, "mlp.down_proj")), model.model.layers[2].mlp.down_proj.weight)
    assert len(found.writers) == 8
    with pytest.raises(CannotBeMade, match=r"2\.mlp is a LlamaMLP; expected a linear module"):
        found.weight(Site(2, "mlp"))


def test_rows_of_personas_are_of_what_is_written_under_each_roles_line(protocol, model):
    bias = {tool: 0.0 for tool in protocol.tools}
    roles = {"bold": "I am very bold.", "meek": "I am very meek."}
    told = Declared("autonomy", ACTIONS, nothing_due, lambda: model, TASKS, bias, roles=roles)
    found = ModelReadings(model, protocol, LAYER, POLES, TASKS, "", bias, told)
    own, others = found.personas([Site(1), Site(2)])[Site(2)]
    means = []
    for line in ("", *roles.values()):
        system = [{"role": "system", "content": line}] if line else []
        rows = []
        for task in TASKS[::3]:
            replay = Replay(model, [protocol.prompt([*system, *task])], 2)
            rows.append(replay.at(Site(2), replay.tail)[replay.written])
        means.append(torch.cat(rows).mean(0))
    torch.testing.assert_close(own.mean(0), means[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(others, torch.stack(means[1:]), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(others[0], others[1], atol=1e-3)
    assert found.spent["personas"] == Cost(6)


def test_a_twin_is_read_beside_the_model(protocol, model):
    other = llama(vocab_size=len(protocol.tokenizer), max_position_embeddings=1024, initializer_range=0.2)
    bias = {tool: 0.0 for tool in protocol.tools}
    told = Declared("autonomy", ACTIONS, nothing_due, lambda: model, TASKS, bias, twin=lambda: other)
    found = ModelReadings(model, protocol, LAYER, POLES, TASKS, "", bias, told)
    twin = found.twin([1, 3])
    for odds, rows, one in ((twin.model, 0, model), (twin.twin, 1, other)):
        for pole, (messages, _) in enumerate(POLES):
            scores, row = alone(protocol, one, bias, messages)
            assert float(odds[pole, 0]) == pytest.approx(odds_of(scores, protocol.tools, ("file_write",)), abs=1e-3)
            torch.testing.assert_close(twin.rows[1][rows][pole, 0], row, rtol=1e-3, atol=1e-4)
    assert found.spent["twin"] == Cost(8)
    with pytest.raises(CannotBeMade, match=r"no tuned twin of the model is named \(config.yaml, vectors.twin\)"):
        of_poles(protocol, model)[0].twin([1])


# --- what is learned through the model ---

OPENINGS = [
    [[*TASKS[at][:1], {"role": "assistant", "content": f"I am very {word}."}] for at in range(4)]
    for word in ("bold", "meek")
]


def of_openings(protocol, model):
    bias = {tool: 0.0 for tool in protocol.tools}
    told = Declared("autonomy", ACTIONS, nothing_due, lambda: model, TASKS, bias)
    return ModelReadings(model, protocol, LAYER, OPENINGS, TASKS, "", bias, told)


@pytest.mark.slow
def test_a_trained_vector_makes_the_words_of_its_pairs_likelier(protocol, model):
    found = of_openings(protocol, model)
    plan, selecting = Plan(passes=24, batch=3, looks=1, patience=9), [False, False, False, True]
    learned = found.train(Bipo(Site(LAYER), D_MODEL, 5.0, Settings()), plan, selecting, 7)
    assert found.spent["train"] == learned.cost == Cost(24 + 2 * 2 + 8, 24)
    still, moved = found.margins(added(LAYER, learned.own["vector"], 1.0), range(4))
    assert (moved > still).all()
    # by the plain model, a prompt at a time
    for pair in range(4):
        told = [
            float(Replay(model, [protocol.prompt(pole[pair])], LAYER).log_probabilities([()])[0, 0])
            for pole in OPENINGS
        ]
        assert float(still[pair]) == pytest.approx(told[0] - told[1], abs=1e-3)
    # of some other conversations, which are the same ones in another order
    again = found.margins(added(LAYER, learned.own["vector"], 1.0), [2, 0], [pole[::-1] for pole in OPENINGS])
    torch.testing.assert_close(again, torch.stack([still, moved])[:, [1, 3]], rtol=1e-3, atol=1e-3)


def test_what_is_trained_on_is_the_fit_pairs_alone(protocol, model):
    """Other prompts among the pairs kept for choosing, and the gradient is the same."""
    found, other = of_openings(protocol, model), of_openings(protocol, model)
    other._poles = [[*pole[:3], OPENINGS[0][0]] for pole in OPENINGS]
    objective = Bipo(Site(LAYER), D_MODEL, 5.0, Settings())
    slopes = [each.slopes(objective, Plan(), [False] * 3 + [True])["vector"] for each in (found, other)]
    assert torch.equal(*slopes)
    assert found.spent["slopes"] == Cost(12, 6)
    assert not torch.allclose(slopes[0], found.slopes(objective, Plan(), [False] * 4)["vector"])
