"""Methods compared by first decisions: by hand, and on a planted effect."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import one_call, scenario
from tiny import llama

from trimtab.agent.names import CALLS, FINISH, FIRST_ACTION
from trimtab.agent.points import OPENING, START, Decisions, Measure, Point
from trimtab.artifacts.kept import Kept
from trimtab.forward.packed import pack_rows
from trimtab.forward.sites import Site
from trimtab.rollouts.outcomes import outcomes
from trimtab.steering.edits import added
from trimtab.steering.replay import Replay
from trimtab.vectors.comparison import COLUMNS, compare, measures, with_costs
from trimtab.vectors.cost import COSTS, Cost
from trimtab.vectors.decisions import Situation, as_table, charged, decisions, situations, under_draws
from trimtab.vectors.verdicts import against_nulls, verdicts

TOOLS = [*CALLS, FINISH]


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "packed"])
def small(request, protocol):
    model = llama(vocab_size=len(protocol.tokenizer), max_position_embeddings=2048, initializer_range=0.3)
    if request.param:
        pack_rows(model)
    return model


def table(effects, scenarios=30, trait="autonomy", seed=0):
    """Chances whose share of asking is lower by a method's effect; the rest goes to running code."""
    random = np.random.default_rng(seed)
    base = random.uniform(0.4, 0.6, scenarios)
    found = {}
    for name, effect in {"none": 0.0, **effects}.items():
        ask = base - effect + random.normal(0, 0.01, scenarios) * (name != "none")
        chances = torch.zeros(scenarios, len(TOOLS), dtype=torch.float64)
        chances[:, TOOLS.index("ask_user")] = torch.from_numpy(ask)
        chances[:, TOOLS.index("code_execute")] = torch.from_numpy(1 - ask)
        found[name] = chances
    return as_table(found, trait, [Situation(START, f"s{i}", []) for i in range(scenarios)], TOOLS)


def shown(**primary):
    return Decisions({}, {}).measured(primary)


def compared(effects, **parts):
    measured = measures(table(effects, **parts), shown(autonomy="proactive_calls", deference="asks"))
    return judged(measured, draws=400, seed=1).set_index(["method", "measure"])


def judged(measured, draws=200, seed=0, reference="sae_probe"):
    return compare(measured, verdicts(against_nulls(measured, 0.95), 0.05), reference, draws, 0.95, seed)


def test_a_planted_effect_is_found_with_its_interval_and_its_rank():
    found = compared({"sae_probe": 0.1, "lda": 0.02, **{f"random_{i}": 0.001 * i for i in range(4)}})
    own = found.loc[("sae_probe", "autonomy")]
    assert own["estimate"] == pytest.approx(0.1, abs=0.01)
    assert own["lower"] < own["estimate"] < own["upper"]
    assert own["upper"] - own["lower"] < 0.02
    assert (own["random_as_large"], own["random_draws"], own["p_random"]) == (0, 4, pytest.approx(0.2))
    # asking is the other side of acting here
    assert found.loc[("sae_probe", "deference"), "estimate"] == pytest.approx(-own["estimate"])
    less = found.loc[("lda", "autonomy")]
    assert less["difference"] == pytest.approx(own["estimate"] - less["estimate"])
    assert less["difference_lower"] > 0.06
    assert np.isnan(own["difference"])


def test_random_directions_have_a_row_for_their_mean():
    found = compared({"sae_probe": 0.1, "random_0": 0.04, "random_1": -0.02})
    mean = (found.loc[("random_0", "autonomy"), "estimate"] + found.loc[("random_1", "autonomy"), "estimate"]) / 2
    assert found.loc[("random", "autonomy"), "estimate"] == pytest.approx(mean)
    assert np.isnan(found.loc[("random_0", "autonomy"), "p_random"])


def test_a_null_of_several_draws_has_a_row_for_their_mean_under_its_name():
    found = compared({"sae_probe": 0.1, "shuffled": 0.04, "shuffled_1": -0.02, "corpus_random": 0.03})
    means = [found.loc[(name, "autonomy"), "estimate"] for name in ("shuffled", "shuffled_0", "shuffled_1")]
    assert means[0] == pytest.approx((means[1] + means[2]) / 2)
    assert means[1] == pytest.approx(0.04, abs=0.01)
    # one that was drawn once is its only draw
    assert found.loc[("corpus_random", "autonomy"), "estimate"] == pytest.approx(0.03, abs=0.01)
    assert ("corpus_random_0", "autonomy") not in found.index


def test_vectors_with_an_aim_are_judged_on_their_own_measure_alone():
    random = {f"random_{at}": 0.002 * at for at in range(6)}
    shuffled = {"shuffled": 0.01, "shuffled_1": 0.0, "shuffled_2": 0.02, "shuffled_3": 0.01}
    found = compared({"sae_probe": 0.1, "lda": 0.005, **shuffled, **random})
    verdicts_of = found["verdict"].dropna().to_dict()
    assert verdicts_of == {("sae_probe", "autonomy"): "own", ("lda", "autonomy"): "none"}
    # a chance of about a half moves by a quarter of its log-odds
    assert found.loc[("sae_probe", "autonomy"), "over_null"] == pytest.approx(4 * 0.09, abs=0.05)


def test_a_rank_is_among_random_directions_of_both_kinds():
    sphere = {f"random_{at}": 0.02 * at for at in range(4)}
    corpus = {f"corpus_random_{at}": 0.3 * at for at in range(3)}
    found = compared({"sae_probe": 0.1, **sphere, **corpus})
    row = found.loc[("sae_probe", "autonomy")]
    # of the corpus two do more, of the sphere none
    assert (row["random_as_large"], row["random_draws"], row["p_random"]) == (2, 7, pytest.approx(3 / 8))
    assert found.loc[[("corpus_random_1", "autonomy"), ("corpus_random", "autonomy")], "random_draws"].isna().all()


def test_a_baseline_of_decoding_is_ranked_and_no_null_is_like_it():
    effects = {"sae_probe": 0.1, **{f"random_{at}": 0.002 * at for at in range(6)}}
    alone, beside = compared(effects), compared({**effects, "contrastive_guidance": 0.2})
    row = beside.loc[("contrastive_guidance", "autonomy")]
    assert row["estimate"] == pytest.approx(0.2, abs=0.01)
    assert (row["random_as_large"], row["p_random"]) == (0, pytest.approx(1 / 7))
    assert row[["verdict", "over_random", "p_over_random"]].isna().all()
    # another method beside it would have raised the corrected p
    judged_as = ["verdict", "over_random", "p_over_random"]
    assert beside.loc[("sae_probe", "autonomy"), judged_as].equals(alone.loc[("sae_probe", "autonomy"), judged_as])


def test_a_method_that_does_nothing_has_an_effect_of_exactly_nothing():
    both = pd.concat([table({"sae_probe": 0.1}), table({}).assign(method="lda")[lambda t: t.index < 30]])
    found = judged(measures(both, shown(autonomy="asks"))).set_index("method")
    assert found.loc["lda", ["estimate", "lower", "upper"]].tolist() == [0, 0, 0]


def test_columns_are_the_same_where_no_method_reached_the_kl():
    found = judged(measures(table({"prompt": 0.1}), shown(autonomy="proactive_calls")))
    assert found.columns.tolist() == COLUMNS
    assert found.set_index("method").loc["prompt", ["difference", "random_as_large"]].isna().all()


def test_every_method_stands_with_what_it_cost(tmp_path):
    """Through the file, as the rules pass them on."""
    costs = {"sae_probe": Cost(), "lda": Cost(forwards=7, backwards=2), "random_0": None}
    costs |= {"shuffled_lda": Cost(forwards=3), "shuffled_lda_1": Cost(forwards=4)}
    charged([table({name: 0.01 * at for at, name in enumerate(costs)})], costs).to_parquet(tmp_path / "d.parquet")
    read = pd.read_parquet(tmp_path / "d.parquet")
    found = with_costs(judged(measures(read, shown(autonomy="asks"))), read)
    assert found.columns.tolist() == COLUMNS
    costs = found.set_index("method")[COSTS]
    assert costs.loc["lda"].tolist() == [7, 2]
    assert costs.loc["sae_probe"].tolist() == [0, 0]
    assert costs.loc[["shuffled_lda_0", "shuffled_lda_1"], "forwards"].tolist() == [3, 4]
    # the mean of a null's draws is no vector, and of this random direction nobody counted
    assert costs.loc[["random", "random_0", "shuffled_lda"]].isna().all(axis=None)


@pytest.mark.slow
@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(5, 40))
def test_pairing_by_scenario_is_what_makes_the_interval(seed, scenarios):
    """A shift that is the same in every scenario has no spread, however scenarios differ."""
    rows = table({"sae_probe": 0.0}, scenarios=scenarios, seed=seed)
    clean = rows[rows["method"] == "none"]
    shifted = clean.assign(method="sae_probe", p_ask_user=clean["p_ask_user"] + 0.05)
    found = judged(measures(pd.concat([clean, shifted]), shown(deference="asks")), seed=seed)
    assert found[["estimate", "lower", "upper"]].to_numpy() == pytest.approx(0.05, abs=1e-9)


def test_a_null_whose_draws_are_read_at_one_point_counts_there_alone():
    """Draw 0, which has the plain name, stands for itself at other points; random directions have no rank there."""
    random = {f"random_{at}": 0.002 * at for at in range(6)}
    both = table({"sae_probe": 0.1, "shuffled": 0.01, "shuffled_1": 0.03, **random})
    elsewhere = both[~both["method"].str.contains(r"_\d")].assign(point="risky")
    asked_at = {"autonomy": Measure(START, ("code_execute",)), "deference": Measure("risky", ("ask_user",))}
    found = judged(measures(pd.concat([both, elsewhere]), asked_at)).set_index(["method", "measure"])
    own, other = found.xs("autonomy", level="measure"), found.xs("deference", level="measure")
    assert own.loc["sae_probe", "random_draws"] == 6
    assert own.loc["shuffled", "estimate"] == pytest.approx(0.02, abs=0.01)
    assert set(other.index) == {"sae_probe", "shuffled"}
    assert other["random_draws"].isna().all()
    assert other.loc["shuffled", "estimate"] == pytest.approx(-own.loc["shuffled_0", "estimate"])


@pytest.mark.slow
def test_draws_are_read_as_other_vectors_are(small, protocol):
    points = {START: Point(OPENING), "open": Point("What is missing here?")}
    read = situations(points, [scenario("web_search", name="a"), scenario("file_read", name="b")])
    offsets = {point: dict.fromkeys(protocol.tools, 0.0) for point in points}
    push = {f"random_{at}": added(1, unit, 6.0) for at, unit in enumerate(torch.eye(small.config.hidden_size)[:2])}
    everywhere = decisions(small, protocol, offsets, read, push, "Ask a lot.", {})
    own = [each for each in read if each.point == "open"]
    found = under_draws(small, protocol, offsets, own, push)
    assert [*found] == [*push]
    for name, chances in found.items():
        torch.testing.assert_close(
            chances, everywhere[name][[each.point == "open" for each in read]], rtol=1e-4, atol=1e-6
        )
        assert not torch.allclose(chances, everywhere["none"][[each.point == "open" for each in read]], atol=1e-3)
    assert under_draws(small, protocol, offsets, [], push) == under_draws(small, protocol, offsets, own, {}) == {}


@pytest.mark.slow
def test_conditions_of_several_layers_are_each_as_alone_and_known_ones_are_not_read_again(
    small, protocol, tmp_path, monkeypatch
):
    """In the order that was asked for; the second time no model reads anything."""
    read = situations({START: Point(OPENING)}, [scenario("web_search", name="a"), scenario("file_read", name="b")])
    offsets = {START: dict.fromkeys(protocol.tools, 0.0)}
    unit = torch.eye(small.config.hidden_size)[0]
    push = {"deep": added(2, unit, 6.0), "shallow": added(0, unit, 6.0), "first": added(Site(0, "mlp"), unit, 6.0)}
    given = small, protocol, offsets, read
    alone = {name: decisions(*given, {name: own}, "Ask a lot.", {})[name] for name, own in push.items()}
    together = decisions(*given, push, "Ask a lot.", {}, kept=Kept(tmp_path, "model"))
    assert [*together] == ["none", *push, "prompt"]
    for name, chances in alone.items():
        torch.testing.assert_close(together[name], chances, rtol=1e-4, atol=1e-6)
        assert not torch.allclose(together[name], together["none"], atol=1e-3)
    monkeypatch.setattr(Replay, "logits", lambda *given: pytest.fail("a pass was run"))
    again = decisions(*given, push, "Ask a lot.", {}, kept=Kept(tmp_path, "model"))
    assert [*again] == [*together]
    assert all(torch.equal(again[name], chances) for name, chances in together.items())


def test_an_outcome_that_no_first_action_shows_has_no_measure():
    measured = measures(table({}), shown(autonomy="success", deference="asks"))
    assert "deference" in measured
    assert "autonomy" not in measured


def test_every_outcome_with_a_first_action_is_an_outcome_and_names_tools():
    """An episode of one call counts for an outcome just if its tool is among those named."""
    chances = {tool: 1 / len(TOOLS) for tool in TOOLS}
    for tool in TOOLS:
        (row,) = outcomes(one_call(tool, chances), [scenario("web_search", "x")]).to_dict("records")
        for name in ("asks", "proactive_calls", "calls", "irreversible", "finished", "study_autonomy", "study_risk"):
            assert (row[name] > 0) == (tool in FIRST_ACTION[name]), (name, tool)
    assert set().union(*FIRST_ACTION.values()) <= set(TOOLS)


def test_a_measure_is_of_its_point_and_of_scenarios_that_have_it():
    both = table({"sae_probe": 0.1}, scenarios=4)
    late = both[both["scenario_id"].isin(["s1", "s3"])].assign(point="late", p_ask_user=0.0, p_file_write=0.25)
    late.loc[late["method"] == "sae_probe", "p_file_write"] = 0.75
    declared = {**shown(autonomy="asks"), "deference": Measure("late", ("ask_user", "file_write"))}
    measured = measures(pd.concat([both, late]), declared)
    assert len(measured) == 8
    found = judged(measured, reference="lda").query("method == 'sae_probe'").set_index("measure")
    row = found.loc["deference"]
    assert (row["n_scenarios"], row["baseline_mean"], row["estimate"]) == (2, 0.25, 0.5)
    assert found.loc["autonomy", "n_scenarios"] == 4
    assert found.loc["autonomy", "estimate"] == pytest.approx(-0.1, abs=0.02)


def test_a_measure_that_no_scenario_shows_is_left_out():
    measured = measures(table({}), {**shown(autonomy="asks"), "deference": Measure("late", ("ask_user",))})
    assert measured.columns.drop(["method", "trait", "scenario_id"]).tolist() == ["autonomy"]


@pytest.mark.slow
def test_decisions_are_the_models_own_after_each_conversation(protocol, small):
    """One prompt at a time, by the whole sequence, with each point's own calibration."""
    scenarios = [scenario("web_search", name=name) for name in ("a", "b")]
    scenarios[1] = replace(scenarios[1], task="Find it, then write it down.", row={"needs": ["which"]})
    scenarios[0] = replace(scenarios[0], row={"needs": []})
    # two points of one conversation, and one of another
    points = {START: Point(OPENING), "open": Point(OPENING, "needs"), "late": Point("Hm, that is odd.")}
    offsets = {
        name: {tool: 0.2 * at * number for number, tool in enumerate(protocol.tools)} for at, name in enumerate(points)
    }
    read = situations(points, scenarios)
    assert [(each.point, each.scenario) for each in read] == [
        *((START, "a"), (START, "b"), ("open", "b"), ("late", "a"), ("late", "b")),
    ]
    push = {"raptor": added(1, torch.ones(small.config.hidden_size) / small.config.hidden_size**0.5, 3.0)}
    found = decisions(small, protocol, offsets, read, push, "Ask a lot.", {})
    assert list(found) == ["none", "raptor", "prompt"]
    said = {"none": ("", ()), "raptor": ("", push["raptor"]), "prompt": ("Ask a lot.", ())}
    for name, (instruction, edits) in said.items():
        for at, each in enumerate(read):
            system = [{"role": "system", "content": instruction}] if instruction else []
            replay = Replay(small, [protocol.prompt([*system, *each.messages])], -1)
            scores = protocol.action_scores(replay.logits([edits], replay.ends)[0, 0]).double()
            own = torch.tensor([offsets[each.point][tool] for tool in protocol.tools])
            torch.testing.assert_close(found[name][at], torch.softmax(scores - own, -1), rtol=1e-3, atol=1e-5)
    assert float((found["none"] - found["raptor"]).abs().max()) > 0.01


def test_a_direction_that_is_read_at_one_point_counts_there_alone():
    both = table({"sae_probe": 0.1, "random_0": 0.02}, scenarios=4)
    late = both.assign(point="late")
    drawn = late[late["method"] == "random_0"].assign(method="random_1")
    declared = {**shown(autonomy="asks"), "deference": Measure("late", ("ask_user",))}
    measured = measures(pd.concat([both, late, drawn]), declared)
    found = judged(measured, reference="lda").set_index(["method", "measure"])
    assert found.loc[("sae_probe", "autonomy"), ["random_draws", "n_scenarios"]].tolist() == [1, 4]
    assert found.loc[("sae_probe", "deference"), ["random_draws", "n_scenarios"]].tolist() == [2, 4]
    assert ("random_1", "autonomy") not in found.index
