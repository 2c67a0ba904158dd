"""Methods whose edits stand behind gates of their own: by hand, and on planted data."""

from dataclasses import replace

import pytest
import torch
from material_of import Kept, Said, dictionary, generator, material

from trimtab.errors import TrimtabError
from trimtab.forward.sites import Site
from trimtab.steering.gates import ANY, FIRST, NOTHING, Cosine, fit_to
from trimtab.steering.steering import Steering
from trimtab.vectors.contract import make
from trimtab.vectors.methods import cast
from trimtab.vectors.unmade import CannotBeMade


def opened(gate, rows):
    """How far a gate is open at rows, whatever their tokens are."""
    return gate(torch.zeros(len(rows), dtype=torch.long), rows)


# --- Breaking Bad Tokens ---

PLANE = dictionary(torch.eye(2), k=2)
BAD = {
    "high": torch.tensor([[1.0, 0.0]] * 4),
    "low": torch.tensor([[1.0, 3.0], [1.0, 1.0], [1.0, -9.0], [1.0, 2.0]]),
    "association": torch.tensor([0.5, -2.0]),
    "sae": PLANE,
}
"""Latent 1 reads the second axis; it fires in three low rows, at 2 on average."""


def bad(gate):
    (edit,) = make("breaking_bad_tokens", material(**BAD, settings={"breaking_bad_tokens": {"gate": gate}}))
    return edit


def test_the_low_poles_latent_is_taken_away_at_what_it_reads_where_it_fires():
    """h = (1, 5), decoder row (0, 1), c = 2: (1, 3)."""
    edit = bad("constant")
    assert (edit.site, edit.gate) == (Site(2), None)
    assert edit.change(torch.tensor([[1.0, 5.0]]), edit.strength).tolist() == [[1.0, 3.0]]


@pytest.mark.parametrize(("kind", "remembers"), [("token", NOTHING), ("input", ANY)])
def test_its_gate_opens_where_the_latent_fires(kind, remembers):
    gate = bad(kind).gate
    assert gate.remembers == remembers
    assert opened(gate, torch.tensor([[7.0, 0.1], [7.0, 0.0], [7.0, -1.0]])).tolist() == [1, 0, 0]


def edited(kind, rows, written):
    """Rows (one text) as they go on, and how many tokens were edited."""
    edit, tokens = bad(kind), rows.shape[0]
    steering = Steering([(edit,)], torch.device("cpu"))
    steering.locate(torch.zeros(1, tokens, dtype=torch.long), torch.tensor([written]), torch.zeros(1, tokens).long())
    found = steering.edited(Site(2), rows[None])[0]
    return found, int((found != rows).any(dim=1).sum()), steering.openings([0])[0]


def test_constant_edits_most_tokens_per_input_fewer_and_per_token_fewest():
    """The latent fires at given token 1 and at written token 3 of five."""
    rows = torch.tensor([[1.0, -1.0], [1.0, 2.0], [1.0, -1.0], [1.0, 4.0], [1.0, 0.0]])
    found = {kind: edited(kind, rows, [False, False, False, True, True]) for kind in ("constant", "input", "token")}
    assert [each[1] for each in found.values()] == [5, 4, 2]
    # and that is how it is counted, of all five tokens
    assert [[(o.open, o.tokens) for o in each[2]] for each in found.values()] == [[], [(4.0, 5)], [(2.0, 5)]]
    silent = rows - torch.tensor([0.0, 9.0])
    for kind in ("input", "token"):
        assert torch.equal(edited(kind, silent, [False] * 5)[0], silent)


def test_a_latent_that_is_none_or_never_fires_can_not_be_taken_away():
    with pytest.raises(CannotBeMade, match="no latent goes with the low pole"):
        make("breaking_bad_tokens", material(**BAD | {"association": torch.tensor([0.5, 0.0])}))
    with pytest.raises(CannotBeMade, match="never fires"):
        make("breaking_bad_tokens", material(**BAD | {"low": -torch.ones(4, 2)}))
    with pytest.raises(TrimtabError, match=r'gate: "never"; expected one of constant, input, token'):
        bad("never")


# --- CAST ---


def test_how_a_row_fits_a_condition_by_hand():
    """h = (3, 4), c = (2, 0): P h = (3, 0), and the cosine of (3, 4) with (tanh 3, 0) is 0.6."""
    rows = torch.tensor([[3.0, 4.0], [-3.0, 4.0], [0.0, 4.0]])
    for vector in ([2.0, 0.0], [-0.5, 0.0]):
        assert fit_to(rows, torch.tensor(vector)).tolist() == pytest.approx([0.6, 0.6, 0.0])
    for side, said in ((1.0, [1, 1, 0]), (-1.0, [0, 0, 1])):
        assert opened(Cosine((Site(1),), torch.tensor([2.0, 0.0]), 0.5, side), rows).tolist() == said


def test_a_threshold_and_its_side_by_hand():
    """Wanted rows lie lowest: everything below 0.25 and nothing else."""
    told = cast.best(torch.tensor([0.1, 0.4, 0.2, 0.3]).double(), torch.tensor([True, False, True, False]))
    assert (told.f1, told.threshold, told.side) == (1.0, pytest.approx(0.25), -1.0)


def told_apart(pairs=12):
    """Prompts lie far along the second axis if they are of the low pole, at layer 1; at layer 2 nothing tells."""
    noise = torch.randn(4, pairs, 6, generator=generator(3)) / 4
    far = 5 * torch.nn.functional.one_hot(torch.tensor(1), 6)
    there, here = (noise[0], noise[1] + far), (noise[2], noise[3])
    return material(high=here[0], low=here[1], rows=Kept({1: there, 2: here, 3: there})), there


def test_cast_finds_the_layer_whose_prompts_it_tells_and_steers_those_of_the_low_pole():
    parts, (high, low) = told_apart()
    (edit,) = make("cast", parts)
    # layer 3 would tell as well, but lies behind the edit
    assert (edit.site, edit.gate.sites, edit.gate.remembers) == (Site(2), (Site(1),), FIRST)
    assert opened(edit.gate, low).tolist() == [1] * 12
    assert opened(edit.gate, high).sum() <= 1
    assert edit.strength == pytest.approx(float(parts.gap().norm()))
    (other,) = make("cast", replace(parts, settings={"cast": {"pole": "high"}}))
    assert opened(other.gate, low).sum() <= 1
    assert opened(other.gate, high).tolist() == [1] * 12


def test_cast_needs_pairs_to_choose_by_and_a_pole():
    with pytest.raises(CannotBeMade, match="it needs pairs in both splits"):
        make("cast", material(selecting=[True] * 8))
    with pytest.raises(TrimtabError, match=r'vectors\.settings\.cast\.pole: "middle"; expected one of low, high'):
        make("cast", material(settings={"cast": {"pole": "middle"}}))


# --- Guiding Giants ---


def separable(pairs=40):
    """Poles far apart in both layers that are read, the last two of six."""
    noise = torch.randn(2, pairs, 4, generator=generator(5))
    apart = torch.tensor([6.0, 0.0, 0.0, 0.0])
    poles = {layer: (noise[0] + apart, noise[1] - apart) for layer in range(6)}
    readings = Said(unembedded=torch.tensor([0.0, 3.0, 4.0, 0.0]))
    return material(high=poles[2][0], low=poles[2][1], rows=Kept(poles), readings=readings)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["logistic", "network"])
def test_a_learned_gate_is_open_for_one_pole_and_shut_for_the_other(kind):
    parts = separable()
    (edit,) = make("guiding_giants", replace(parts, settings={"guiding_giants": {"gate": kind}}))
    assert edit.gate.sites == (Site(4), Site(5))
    assert edit.site == Site(5)
    high, low = (torch.cat([parts.rows(layer)[pole] for layer in (4, 5)], dim=1) for pole in (0, 1))
    assert float(opened(edit.gate, low).min()) > 0.95
    assert float(opened(edit.gate, high).max()) < 0.05
    torch.testing.assert_close(edit.change.unit, torch.tensor([0.0, 0.6, 0.8, 0.0]))
    assert edit.strength == 2.0


@pytest.mark.slow
def test_the_networks_weights_are_for_rows_as_they_are_and_come_again():
    parts = separable(10)
    moved = replace(
        parts, rows=Kept({layer: tuple(100 + 3 * side for side in parts.rows(layer)) for layer in range(6)})
    )
    settings = {"guiding_giants": {"gate": "network"}}
    (one,), (again,), (other,) = (
        make("guiding_giants", replace(each, settings=settings)) for each in (parts, parts, moved)
    )
    assert torch.equal(one.gate.hidden, again.gate.hidden)
    low = torch.cat([parts.rows(layer)[1] for layer in (4, 5)], dim=1)
    torch.testing.assert_close(opened(other.gate, 100 + 3 * low), opened(one.gate, low), rtol=1e-3, atol=1e-3)


def test_guiding_giants_says_what_it_expects():
    with pytest.raises(TrimtabError, match=r'guiding_giants\.gate: "tree"; expected one of logistic, network'):
        make("guiding_giants", replace(separable(), settings={"guiding_giants": {"gate": "tree"}}))
