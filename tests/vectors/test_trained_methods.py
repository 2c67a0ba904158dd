"""Methods that are trained through the model: known answers of their losses, and what they recover of a planted one."""

import math
import re
from pathlib import Path

import pytest
import torch
from material_of import D_MODEL, dictionary, generator, material
from planted import Planted

from trimtab.forward.sites import Site
from trimtab.steering.changes import Clamp
from trimtab.vectors import methods
from trimtab.vectors.contract import make
from trimtab.vectors.methods import bipo, cdas, reft_r1, reps, yapo
from trimtab.vectors.objective import Plan
from trimtab.vectors.transformations.shuffled import same
from trimtab.vectors.unmade import CannotBeMade

SITE = Site(2)
E = torch.eye(D_MODEL)
ROWS = torch.randn(2, 10, D_MODEL, generator=generator(1))
HEAD = torch.randn(5, D_MODEL, generator=generator(2))
WORDS = Planted(ROWS, HEAD)


def cosine(one, other):
    return float(one.double() @ other.double() / (one.double().norm() * other.double().norm()))


def parts(words=WORDS, plan=None, **more):
    """Material of a planted model, whose rows are the prompts' own."""
    high, low = words.poles
    found = material(**{"high": high, "low": low, "training": plan or Plan(passes=240, patience=9), **more})
    found.readings.words = words
    return found


OBJECTIVES = {
    "bipo": lambda: bipo.Bipo(SITE, D_MODEL, 1.0, bipo.Settings()),
    "yapo": lambda: yapo.Yapo(parts(), torch.arange(9), yapo.Settings()),
}


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("strength", [1.0, -1.0])
def test_a_preference_loss_is_ln_2_where_nothing_is_learned(name, strength):
    objective = OBJECTIVES[name]()
    losses = objective.losses(objective.start, WORDS, strength)
    torch.testing.assert_close(losses, torch.full((10,), math.log(2)))


def test_its_gradient_there_is_against_the_difference_of_the_words_features():
    """With one row for both poles the gain is along what tells the words apart: the head's rows, high less low."""
    same = Planted(ROWS[:1].expand(2, -1, -1), HEAD)
    objective = OBJECTIVES["bipo"]()
    own = {"vector": objective.start["vector"].requires_grad_()}
    for strength in (1.0, -1.0):
        slope = objective.slopes(own, [same], strength)[1]["vector"]
        # both signs ask for the same vector
        torch.testing.assert_close(slope, -0.1 / 2 * (HEAD[0] - HEAD[1]))


def test_with_bipos_vector_the_high_poles_words_are_preferred_and_against_it_the_low_ones():
    made = make("bipo", parts())
    vector = made.raw_norm * made.unit
    gains = []
    for sign in (1.0, -1.0):
        (edit,) = bipo.Bipo(SITE, D_MODEL, 1.0, bipo.Settings()).edits({"vector": vector}, sign)
        high, low = WORDS.log_probabilities([(edit,)])[0] - WORDS.unsteered
        gains.append(float((high - low).mean()))
    assert gains[0] > 0.1
    assert gains[1] < -0.1
    assert made.towards == "the high pole's words"


# --- YaPO ---


def test_yapo_trains_the_latents_whose_gradient_is_largest_and_keeps_the_rest_of_a_row():
    """Decoder rows are the axes, so a latent's gradient is that of the vector along its axis."""
    sae = dictionary(E, k=D_MODEL)
    own = {"yapo": {"top": 2, "rate": 0.1}}
    found = parts(sae=sae, settings=own)
    (edit,) = make("yapo", found)
    dense = OBJECTIVES["bipo"]()
    slope = found.readings.slopes(dense, None, found.selecting)["vector"]
    chosen = slope.abs().topk(2).indices.sort().values
    moved = edit.change(100 + ROWS[0], 1.0) - (100 + ROWS[0])
    assert (moved.abs() > 1e-3).any(dim=0).nonzero()[:, 0].tolist() == chosen.tolist()
    # against the gradient, as latents that read much are raised or lowered freely
    assert (moved[0, chosen].sign() == -slope[chosen].sign()).all()
    assert found.training.curve[-1].active == 2


def test_a_penalty_leaves_exact_zeros_and_one_that_leaves_nothing_is_told():
    def made(l1):
        found = parts(sae=dictionary(E, k=D_MODEL), settings={"yapo": {"top": 0, "l1": l1}})
        return make("yapo", found), found.training.curve

    (plain,), _ = made(0.0)
    (fewer,), curve = made(0.6)
    assert len(fewer.change.value) < len(plain.change.value) == D_MODEL
    assert (fewer.change.value != 0).all()
    assert min(each.active for each in curve[1:]) < D_MODEL
    with pytest.raises(CannotBeMade, match="YaPO of autonomy: all amounts are 0"):
        made(2.0)


def test_a_large_amount_below_zero_ablates_exactly_what_a_latent_holds():
    sae = dictionary(2 * E[:3], k=3)
    objective = yapo.Yapo(parts(sae=sae), torch.arange(3), yapo.Settings())
    rows = torch.tensor([[1.0, 2.0, 0.0, 4.0, 0.0, 0.0]])
    change = objective.change(torch.tensor([0.0, -1e6, 0.0]))
    # latent 1 reads 4 of the second coordinate and writes 2 a unit
    assert (change(rows, 1.0) - rows).tolist() == [[0.0, -8.0, 0.0, 0.0, 0.0, 0.0]]
    assert torch.equal(objective.change(torch.zeros(3))(rows, 1.0), rows)


# --- ReFT-r1 ---


def test_a_prompts_largest_readings_and_the_rest_by_hand():
    read = torch.tensor([5.0, 1.0, 3.0, 2.0, 9.0, 0.5])
    owners = torch.tensor([0, 1, 0, 0, -1, 1])
    most, rest = reft_r1.top_of_each(read, owners, 2, 2)
    # prompt 0 reads 5, 3, 2 and prompt 1 reads 1 and a half; the 9 is the header's
    torch.testing.assert_close(most, torch.tensor([4.0, 0.75]))
    torch.testing.assert_close(rest, torch.tensor([2.0, 0.0]))


def test_where_no_more_tokens_fire_than_count_there_is_no_penalty():
    found = parts()
    losses = [
        reft_r1.Reft(found, reft_r1.Settings(l1=l1)).losses({"unit": E[0]}, WORDS.of([0]), 1.0) for l1 in (0.0, 9.0)
    ]
    torch.testing.assert_close(*losses)


def test_reft_finds_the_axis_on_which_the_words_depend():
    """The head is along one axis alone, on whose side the rows of the high pole lie."""
    planted = Planted(ROWS / 10 + 4 * E[1], torch.stack([E[1], -E[1], 0 * E[1]]) / 10)
    made = make("reft_r1", parts(planted, Plan(passes=480, patience=9)))
    assert cosine(made.unit, E[1]) > 0.99
    # its length is its largest reading at the high pole's prompts
    assert made.raw_norm == pytest.approx(float((planted.poles[0] @ made.unit).max()))


def test_a_vector_that_reads_nothing_of_the_high_pole_is_not_made():
    away = Planted(ROWS - 9 * E[1], torch.stack([-E[1], E[1], 0 * E[1]]))
    blind = parts(away, high=torch.zeros(10, D_MODEL), low=away.poles[1])
    with pytest.raises(CannotBeMade, match="ReFT-r1 of autonomy: its vector reads nothing at the prompts of the high"):
        make("reft_r1", blind)


# --- RePS ---


def test_a_preference_scaled_by_how_hard_it_is_by_hand():
    """Words of 2 and 4 tokens, at -2 and -8 nats: means -1 and -2. Unsteered the second are 3 nats likelier, so the
    first count three times: 1 / (1 + e^-(-3 + 2))."""
    told, lengths = torch.tensor([[-2.0], [-8.0]]), torch.tensor([[2], [4]])
    loss = reps.preferred(told, lengths, torch.tensor([3.0]))
    assert float(loss) == pytest.approx(math.log(1 + math.exp(1)))
    easy = reps.preferred(told, lengths, torch.tensor([-5.0]))
    assert float(easy) == pytest.approx(math.log(1 + math.exp(-1)))


def test_what_rows_have_along_a_vector_is_taken_away_on_its_side_alone():
    rows = torch.tensor([[3.0, 1.0], [-3.0, 1.0]])
    assert reps.TakeAway(torch.tensor([2.0, 0.0]))(rows, 1.0).tolist() == [[0.0, 1.0], [-3.0, 1.0]]


def test_reps_starts_where_nothing_is_changed_with_a_finite_gradient():
    objective = reps.Reps(parts(), reps.Settings())
    own = {"vector": objective.start["vector"].requires_grad_()}
    assert torch.equal(reps.TakeAway(own["vector"])(ROWS[0], 1.0), ROWS[0])
    slope = objective.slopes(own, [WORDS], 1.0)[1]["vector"]
    assert slope.isfinite().all()
    assert slope.abs().max() > 0.01


def test_factors_are_drawn_around_1():
    objective = reps.Reps(parts(), reps.Settings(least=0.2))
    drawn = [objective.strength(generator(seed)) for seed in range(40)]
    assert 0.2 <= min(drawn) < 0.6
    assert 1.4 < max(drawn) <= 1.8


def test_with_reps_vector_the_high_poles_words_are_likelier():
    made = make("reps", parts(settings={"reps": {"rate": 0.2}}))
    high, low = reps_gain(made.raw_norm * made.unit)
    assert float((high - low).mean()) > 0.1


def reps_gain(vector):
    (edit,) = bipo.Bipo(SITE, D_MODEL, 1.0, bipo.Settings()).edits({"vector": vector}, 1.0)
    return WORDS.log_probabilities([(edit,)])[0] - WORDS.unsteered


# --- CDAS ---


def test_an_interchange_by_hand():
    """(1, 2) with what (5, 9) has along the first axis is (5, 2), and the other way round (1, 9)."""
    seen = []

    class Watched(Planted):
        def logits(self, edits):
            seen.extend(edit.change(self.rows, edit.strength) for own in edits for edit in own)
            return super().logits(edits)

    poles = torch.tensor([[[5.0, 9.0]], [[1.0, 2.0]]])
    objective = cdas.Cdas(parts(), cdas.Settings())
    objective.losses({"unit": torch.tensor([1.0, 0.0])}, Watched(poles, torch.eye(2)), 1.0)
    assert seen[-1].tolist() == [[1.0, 9.0], [5.0, 2.0]]


@pytest.mark.parametrize(
    ("one", "other", "wanted"), [((0.5, 0.5), (0.9, 0.1), 0.101749), ((1.0, 0.0), (0.0, 1.0), math.log(2))]
)
def test_the_divergence_of_two_distributions(one, other, wanted):
    logits = [torch.tensor(each).clamp_min(1e-30).log() for each in (one, other)]
    assert float(cdas.divergence(*logits)) == pytest.approx(wanted, abs=1e-6)
    assert float(cdas.divergence(logits[1], logits[0])) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.slow
def test_cdas_finds_the_read_out_through_which_a_planted_model_depends_on_rows():
    read_out = torch.nn.functional.normalize(torch.randn(D_MODEL, generator=generator(3)), dim=0)
    head = torch.randn(5, 1, generator=generator(4)) * read_out
    poles = torch.randn(2, 24, D_MODEL, generator=generator(5)) + torch.tensor([1.0, -1.0])[:, None, None] * read_out
    found = parts(Planted(poles, head), Plan(passes=4000, patience=99))
    (edit,) = make("cdas", found)
    assert cosine(edit.change.unit, read_out) > 0.999
    assert isinstance(edit.change, Clamp)
    # to the mean reading of the high pole's prompts
    assert edit.change.value == pytest.approx(float((poles[0] @ edit.change.unit).mean()), rel=1e-4)
    assert float(edit.change.unit.norm()) == pytest.approx(1)


def test_cdas_may_start_at_the_mean_difference():
    found = parts(settings={"cdas": {"start": "mean_difference"}}, plan=Plan(passes=8))
    objective = cdas.Cdas(found, cdas.Settings(start="mean_difference"))
    assert cosine(objective.start["unit"], found.gap()) == pytest.approx(1)
    make("cdas", found)


def test_pairs_whose_poles_change_places_ask_for_the_opposite():
    """What shuffled labels are made of."""
    objective = OBJECTIVES["bipo"]()
    own = {"vector": objective.start["vector"].requires_grad_()}
    turned = WORDS.swapped(torch.ones(10, dtype=torch.bool))
    slopes = [objective.slopes(own, [each], 1.0)[1]["vector"] for each in (WORDS, turned)]
    torch.testing.assert_close(*(slopes[0], -slopes[1]))
    assert slopes[0].abs().max() > 0.01


@pytest.mark.parametrize("name", methods.members(methods.TRAINED))
def test_each_has_a_null_of_shuffled_labels_that_is_trained_once(name):
    found = material()
    null, true = make(f"shuffled_{name}", found), make(name, material())
    assert len(found.training.trained) == 1
    assert not same(null, true)
    assert same(null, make(f"shuffled_{name}", material()))


def test_the_example_of_the_page_learns_what_makes_the_high_poles_words_likely(tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs/trained.md").read_text()
    (tmp_path / "likelier.py").write_text(re.search(r"```python\n.*?/likelier\.py\n(.*?)```", page, re.DOTALL)[1])
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    there = methods.known()
    monkeypatch.setattr(methods, "known", lambda: [*there, "likelier"])
    made = make("likelier", parts())
    (edit,) = bipo.Bipo(SITE, D_MODEL, 1.0, bipo.Settings()).edits({"vector": made.raw_norm * made.unit}, 1.0)
    assert float((WORDS.log_probabilities([(edit,)])[0] - WORDS.unsteered)[0].mean()) > 0.1
