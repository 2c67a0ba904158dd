"""LoRA, LinEAS and the learned form of ASC: known answers by hand, on planted models and on real ones."""

import math
from dataclasses import replace

import pytest
import torch
from material_of import D_MODEL as WIDTH
from material_of import Kept, generator, material
from planted import Planted
from spoken import LAYER, built, protocol_of, readings
from spoken import POLES as SPOKEN
from tiny import D_MODEL, gpt2, llama

from trimtab.forward.sites import Site
from trimtab.forward.writers import Writer, writers
from trimtab.saes.checkpoint import TrainingCheckpoint
from trimtab.steering.changes import Affine
from trimtab.steering.edits import Edit
from trimtab.steering.places import Segment
from trimtab.vectors.action_scores import kl
from trimtab.vectors.contract import make
from trimtab.vectors.cost import Cost, Metered
from trimtab.vectors.methods import asc_learned, lin_eas, lora
from trimtab.vectors.objective import Course, Plan
from trimtab.vectors.read_parts import ReadPart
from trimtab.vectors.training import train
from trimtab.vectors.unmade import CannotBeMade

HEADER = Segment([4, 8, 15, 16], written=False)


def prompt(task, words):
    return [HEADER, Segment(task, written=False), Segment(words, written=True)]


POLES = [
    [prompt([23, 42], [9, 3, 11]), prompt([5], [7, 7]), prompt([31, 6], [12, 3]), prompt([8], [9, 7])],
    [prompt([23, 42], [13, 3]), prompt([5], [2, 40, 8]), prompt([31, 6], [19, 3]), prompt([8], [2, 19])],
]
BEFORE = Site(0, "self_attn")
"""Nothing comes before it."""


def cut(model, poles, pairs, size, site=BEFORE):
    """Parts of at most so many of the pairs."""
    some = [pairs[at : at + size] for at in range(0, len(pairs), size)]
    return [ReadPart(model, [[pole[pair] for pair in own] for pole in poles], site, own) for own in some]


def difference(objective, own, parts, name, way, step=1e-2):
    """Slope of the loss along a direction by a central difference."""
    return (
        objective.loss({**own, name: own[name] + step * way}, parts)
        - objective.loss({**own, name: own[name] - step * way}, parts)
    ) / (2 * step)


WORDS = Planted(torch.randn(2, 10, WIDTH, generator=generator(1)), torch.randn(5, WIDTH, generator=generator(2)))


# --- LoRA ---


def adapter(model, kind=lora.Lora):
    found = [one for one in writers(model, torch.tensor([[4, 8, 15]])) if one.inputs]
    return kind(found, D_MODEL, lora.Settings(rank=2), generator(3))


@pytest.mark.parametrize("family", [llama, gpt2], ids=lambda family: family.__name__)
def test_before_a_step_the_fine_tuned_model_is_the_model(family):
    model = family().requires_grad_(False)
    objective = adapter(model)
    (part,) = cut(model, POLES[:1], [0, 1, 2], 3)
    told = part.log_probabilities([(), objective.edits(objective.start, 1.0)])
    assert torch.equal(told[0], told[1])
    torch.testing.assert_close(objective.losses(objective.start, part, 1.0), -told[0, 0] / part.lengths[0])


def test_its_gradients_are_those_of_finite_differences_and_the_cut_changes_none():
    model = llama(initializer_range=0.2).requires_grad_(False)
    objective = adapter(model)
    own = {
        name: (value + 0.2 * torch.randn(value.shape, generator=generator(at))).requires_grad_()
        for at, (name, value) in enumerate(objective.start.items())
    }
    loss, slopes = objective.slopes(own, cut(model, POLES[:1], [0, 1, 2], 3), 1.0)
    again, others = objective.slopes(own, cut(model, POLES[:1], [0, 1, 2], 1), 1.0)
    assert loss == pytest.approx(again, rel=1e-5)
    plain = {name: value.detach() for name, value in own.items()}
    for name in ("left.0.self_attn.o_proj", "right.3.mlp.down_proj"):
        torch.testing.assert_close(slopes[name], others[name], rtol=1e-3, atol=1e-5)
        way = torch.nn.functional.normalize(torch.randn(own[name].shape, generator=generator(9)), dim=(0, 1))
        found = difference(objective, plain, cut(model, POLES[:1], [0, 1, 2], 3), name, way)
        assert float((slopes[name] * way).sum()) == pytest.approx(found, rel=0.03, abs=2e-4)


@pytest.mark.slow
def test_a_fine_tune_learns_the_high_poles_words_within_its_budget_and_goes_on_after_a_kill(tmp_path):
    model = llama(initializer_range=0.2).requires_grad_(False)
    objective = adapter(model)
    course = Course([cut(model, POLES[:1], [0, 1], 2)], cut(model, POLES[:1], [2, 3], 2))

    def plan(passes, kept=True):
        read = (lambda number: TrainingCheckpoint(tmp_path / "it", ["it"], seconds=0)) if kept else None
        return Plan(passes=passes, looks=4, patience=9, checkpoint=read)

    whole = train(objective, course, plan(24, kept=False), 3)
    assert whole.curve[-1].fit < whole.curve[1].fit
    assert whole.cost.backwards == 24

    class Killed(lora.Lora):
        left = 5

        def slopes(self, own, batch, strength):
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt
            return super().slopes(own, batch, strength)

    with pytest.raises(KeyboardInterrupt):
        train(adapter(model, Killed), course, plan(24), 3)
    again = train(objective, course, plan(24), 3)
    for name, value in whole.own.items():
        assert again.own[name].numpy().tobytes() == value.numpy().tobytes()


def test_layers_after_the_probes_are_changed_unless_all_are_asked_for():
    made = material()
    # every pair is the same, so that what is learned of one is as good for those kept for choosing
    made.readings.words = Planted(WORDS.poles[:, :1].expand(-1, 8, -1), WORDS.head)
    for settings, layers in ({}, {3}), ({"all_layers": True}, {1, 2, 3}):
        sites = [Writer(Site(layer, "mlp.down_proj"), 48, 0) for layer in (1, 2, 3)]
        made.readings.writers = [*sites, Writer(Site(3, "mlp.experts"), 0, 0)]
        edits = make("lora", replace(made, settings={"lora": {"rank": 3, **settings}}))
        assert {edit.site.layer for edit in edits} == layers
        assert all(edit.change.left.shape == (WIDTH, 3) for edit in edits)
    made.readings.writers = [Writer(Site(2, "mlp.down_proj"), 48, 0)]
    with pytest.raises(CannotBeMade, match="LoRA of autonomy: no layer after 2 writes to the stream by a matrix"):
        make("lora", made)


# --- LinEAS ---


class Rows:
    """Pairs at one site, whose low pole's means are these (`trimtab.vectors.parts.Part`)."""

    def __init__(self, low, numbers=None):
        self.low, self.numbers = low, list(range(len(low)) if numbers is None else numbers)
        self.pairs = len(self.numbers)

    def means(self, sites, edits):
        rows = self.low[self.numbers]
        for edit in edits:
            rows = edit.change(rows, edit.strength)
        return rows[None, None]


def of_columns(high, low, **own):
    high, low = (torch.tensor(each)[:, None] for each in (high, low))
    return lin_eas.LinEas([Site(1)], high[None], low[None], lin_eas.Settings(**own)), Rows(low)


def own_of(scale, shift):
    return {"scale": torch.tensor([[scale]]), "shift": torch.tensor([[shift]])}


def test_a_distance_by_hand_whatever_the_order_of_prompts():
    """Sorted (1, 3) against (0, 2): 1 for each, over the variance of 0, 1, 2 and 3, which is 5/4."""
    objective, part = of_columns([2.0, 0.0], [3.0, 1.0])
    assert objective.loss(objective.start, [part]) == pytest.approx(1 / 1.25)
    turned, other = of_columns([0.0, 2.0], [3.0, 1.0])
    assert turned.loss(turned.start, [other]) == pytest.approx(1 / 1.25)


def test_where_the_map_is_found_nothing_is_left():
    """0, 1, 2 go to 1, 3, 5 by twice and 1 more; the shift is counted in standard deviations."""
    objective, part = of_columns([5.0, 1.0, 3.0], [2.0, 0.0, 1.0])
    spread = float(torch.tensor([5.0, 1.0, 3.0, 2.0, 0.0, 1.0]).std(correction=0))
    (edit,) = objective.edits(own_of(1.0, 1 / spread), 1.0)
    assert edit.change(torch.tensor([[0.0], [1.0]]), 1.0).flatten().tolist() == pytest.approx([1.0, 3.0])
    own = {name: value.requires_grad_() for name, value in own_of(1.0, 1 / spread).items()}
    loss, slopes = objective.slopes(own, [part], 1.0)
    assert loss == pytest.approx(0, abs=1e-9)
    assert all(float(slope.abs().max()) < 1e-6 for slope in slopes.values())


def test_training_comes_to_the_map_that_sorted_values_have():
    low, shift = torch.randn(6, WIDTH, generator=generator(1)), torch.randn(WIDTH, generator=generator(4))
    scale = 1 + 0.5 * torch.rand(WIDTH, generator=generator(2))
    high = (scale * low + shift)[torch.randperm(6, generator=generator(3))]
    objective = lin_eas.LinEas([Site(1)], high[None], low[None], lin_eas.Settings(l1=0.0, group=0.0, rate=0.1))
    found = train(objective, Course([[Rows(low)]], [Rows(low)]), Plan(passes=900, looks=4), 0)
    (edit,) = objective.edits(found.own, 1.0)
    assert found.curve[-1].select < 0.01 * found.curve[0].select
    torch.testing.assert_close(edit.change.scale, scale, rtol=0, atol=0.1)
    torch.testing.assert_close(edit.change.shift, shift, rtol=0, atol=0.1)


def test_a_sparse_group_step_by_hand():
    """(3, -1, 0.5) less 1 each is (2, 0, 0), of length 2, which a group's step of 0.5 sqrt(3) makes shorter by that."""
    value = torch.tensor([[3.0, -1.0, 0.5], [1.0, 1.0, 1.0]])
    found = lin_eas.shrunk(value, 1.0, 0.5)
    assert found[0].tolist() == pytest.approx([2 - 0.5 * math.sqrt(3), 0, 0])
    assert torch.equal(found[1], torch.zeros(3))
    assert torch.equal(lin_eas.shrunk(value, 0.0, 0.0), value)
    # a group whose length is less than its step is no more
    assert not lin_eas.shrunk(value, 0.0, 2.0).any()


@pytest.mark.parametrize("own", [{"l1": 1.5}, {"l1": 0.0, "group": 1.5}])
def test_a_large_penalty_leaves_every_map_the_identity_exactly(own):
    low = torch.randn(6, WIDTH, generator=generator(1))
    objective = lin_eas.LinEas([Site(1)], (2 * low + 1)[None], low[None], lin_eas.Settings(**own))
    found = train(objective, Course([[Rows(low)]], [Rows(low)]), Plan(passes=60, looks=2), 0)
    assert not any(value.any() for value in found.own.values())
    assert lin_eas.mapped(objective.edits(found.own, 1.0)) == ()
    rows = torch.randn(3, WIDTH, generator=generator(2))
    assert torch.equal(objective.edits(found.own, 1.0)[0].change(rows, 1.0), rows)


def test_a_small_penalty_leaves_exact_zeros_where_nothing_is_to_be_moved():
    """Two coordinates of six differ."""
    low = torch.randn(12, WIDTH, generator=generator(1))
    high = low + torch.tensor([3.0, 0.0, 0.0, -2.0, 0.0, 0.0])
    objective = lin_eas.LinEas([Site(1)], high[None], low[None], lin_eas.Settings(l1=0.2, group=0.0, rate=0.05))
    found = train(objective, Course([[Rows(low)]], [Rows(low)]), Plan(passes=600, looks=2), 0)
    assert found.own["shift"][0].nonzero()[:, 0].tolist() == [0, 3]
    assert not found.own["scale"].any() or set(found.own["scale"][0].nonzero()[:, 0].tolist()) <= {0, 3}


def in_a_model(family=llama):
    model = family(initializer_range=0.2).requires_grad_(False) if family is llama else family().requires_grad_(False)
    sites = [Site(0), Site(2)]
    (both,) = cut(model, POLES, [0, 1, 2, 3], 4, Site(0))
    means = both.means(sites, ()).detach()
    own = {
        name: (0.3 * torch.randn(2, D_MODEL, generator=generator(at))).requires_grad_()
        for at, name in enumerate(("scale", "shift"))
    }
    return model, lin_eas.LinEas(sites, means[:, 0], means[:, 1], lin_eas.Settings()), own


def test_means_under_maps_are_those_that_maps_leave():
    """At the first site the map of the mean; at the second what comes of it, and then its own map."""
    model, objective, own = in_a_model()
    (part,) = cut(model, POLES[1:], [0, 1, 2], 3, Site(0))
    first, second = objective.edits({name: value.detach() for name, value in own.items()}, 1.0)
    plain, one, both = (part.means([Site(0), Site(2)], edits)[:, 0] for edits in ((), (first,), (first, second)))
    torch.testing.assert_close(one[0], first.change(plain[0], 1.0), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(one[1], plain[1], atol=1e-3)
    torch.testing.assert_close(both[1], second.change(one[1], 1.0), rtol=1e-4, atol=1e-5)


def test_gradients_of_all_maps_are_those_of_finite_differences_and_the_cut_changes_none():
    model, objective, own = in_a_model()
    whole, parts = (cut(model, POLES[1:], [0, 2, 3], size, Site(0)) for size in (3, 1))
    loss, slopes = objective.slopes(own, whole, 1.0)
    again, others = objective.slopes(own, parts, 1.0)
    plain = {name: value.detach() for name, value in own.items()}
    assert loss == pytest.approx(again, rel=1e-5)
    assert objective.loss(plain, parts) == pytest.approx(loss, rel=1e-5)
    for name in own:
        torch.testing.assert_close(slopes[name], others[name], rtol=1e-3, atol=1e-5)
        way = torch.nn.functional.normalize(torch.randn(2, D_MODEL, generator=generator(9)), dim=(0, 1))
        assert float((slopes[name] * way).sum()) == pytest.approx(
            difference(objective, plain, whole, name, way, 2e-3), rel=0.03, abs=1e-3
        )


def test_in_bfloat16_gradients_are_those_of_float32_but_for_rounding():
    model, objective, own = in_a_model()
    found = []
    for kind in (torch.float32, torch.bfloat16):
        parts = cut(model.to(kind), POLES[1:], [0, 1, 2], 3, Site(0))
        found.append(objective.slopes(own, parts, 1.0)[1])
    for name in own:
        one, other = (each[name].flatten() for each in found)
        assert float(torch.cosine_similarity(one, other, dim=0)) > 0.98


def test_poles_that_are_one_need_no_map():
    made = material(training=Plan(passes=16))
    rows = made.high
    made.readings.words = Planted(torch.stack([rows, rows]), torch.eye(2, WIDTH))
    made.readings.means = {Site(layer): (rows, rows) for layer in made.rows.layers}
    with pytest.raises(CannotBeMade, match="LinEAS of autonomy: all maps are the identity"):
        make("lin_eas", made)


# --- ASC, learned ---


def steered(words=WORDS, **own):
    made = material(high=words.poles[0], low=words.poles[1], training=Plan(passes=1200, patience=9))
    made.readings.words = words
    return replace(made, settings={"asc_learned": own})


def moved_by(vector):
    """Mean KL of the next word, and how much likelier the high pole's words are made than the low one's."""
    edits = (Edit(Site(2), Affine(torch.ones(WIDTH), vector), 1.0),)
    told = torch.stack([WORDS.unsteered_logits, WORDS.logits([edits])[0]]).flatten(1, 2)
    high, low = WORDS.log_probabilities([edits])[0] - WORDS.unsteered
    return float(kl(told)[1].mean()), float((high - low).mean())


def test_where_nothing_is_learned_the_loss_is_that_of_the_energies_alone():
    objective = asc_learned.Asc(steered(), asc_learned.Settings(nats=0.0, price=1000.0))
    high, low = WORDS.unsteered
    expected = torch.log1p(torch.exp(low - high))
    torch.testing.assert_close(
        objective.losses(objective.start, WORDS, 1.0), expected.to(torch.float64), check_dtype=False
    )
    # there the KL is flat, so that the gradient is the first term's, whatever a nat costs
    slopes = []
    for price in (1.0, 100.0):
        objective = asc_learned.Asc(steered(), asc_learned.Settings(nats=0.0, price=price))
        slopes.append(
            objective.slopes({"vector": objective.start["vector"].requires_grad_()}, [WORDS], 1.0)[1]["vector"]
        )
    torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-5)


def test_words_of_many_tokens_count_as_those_of_few():
    """Of a pole's words at -8 nats in 4 tokens and the other's at -2 in 1 the energies are one, and the loss ln 2."""

    class Long(Planted):
        lengths = torch.tensor([[4], [1]])

        def log_probabilities(self, edits):
            return torch.tensor([[[-8.0], [-2.0]]]).expand(len(edits), -1, -1)

    objective = asc_learned.Asc(steered(), asc_learned.Settings())
    losses = objective.losses(objective.start, Long(WORDS.poles[:, :1], WORDS.head), 1.0)
    assert float(losses) == pytest.approx(math.log(2))


def test_the_vector_prefers_the_high_poles_words_and_stays_in_its_region():
    """Without a price it goes farther."""
    told = {}
    for price in (10.0, 1e-9):
        made = make("asc_learned", steered(nats=0.02, price=price))
        told[price] = moved_by(made.raw_norm * made.unit)
        assert made.towards == "the high pole's words"
    (near, gained), (far, _) = told.values()
    assert gained > 0.05
    # a mean over pairs each of which is held to the region
    assert near < 1.3 * 0.02
    assert far > 2 * near


# --- on the prompts of a run ---


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sites", "read"),
    [
        ("lora", {"2.self_attn.o_proj", "2.mlp.down_proj", "3.self_attn.o_proj", "3.mlp.down_proj"}, 1),
        ("lin_eas", {"0", "2"}, 1),
        ("asc_learned", set(), 4),
    ],
)
def test_each_is_made_of_a_models_own_prompts_within_its_budget(name, sites, read):
    """Of four pairs two are trained on, and the other two are the same again; edits do to the high pole's words what
    they were trained for."""
    protocol, twice = protocol_of(SPOKEN), [pole * 2 for pole in SPOKEN]
    model = built(protocol, initializer_range=0.1)
    metered = Metered(readings(protocol, model, twice))
    rows = {layer: metered.at(Site(layer)) for layer in (0, LAYER, 2)}
    before, plan = metered.cost, Plan(passes=16, looks=2)
    high, low = rows[LAYER]
    parts = material(
        layer=LAYER,
        high=high,
        low=low,
        rows=Kept({layer: rows[layer] for layer in (0, 2)}),
        selecting=[False, False, True, True],
        readings=metered,
        training=plan,
    )
    made = make(name, parts)
    assert {str(edit.site) for edit in made} == sites if sites else made.unit.shape == (D_MODEL,)
    assert (plan.curve[-1].step, plan.curve[-1].passes) == (16 // (2 * read), 16)
    spent = metered.cost - before
    assert spent.backwards == 16
    if name == "lora":
        told = metered.margins(made, SPOKEN)
        assert float(told[1].mean()) > float(told[0].mean())
        # the writers' own pass, and three looks at two prompts
        assert spent == Cost(1 + 16 + 6, 16)
