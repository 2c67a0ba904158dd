"""Neural FOXP2: selectivity, lift and rank by hand, a planted subspace, and the two sides of the edit."""

from dataclasses import fields, replace

import pytest
import torch
from material_of import D_MODEL, Said, generator, material

from trimtab.forward.sites import Site
from trimtab.saes.sae import SAE, JumpReLUActivation
from trimtab.vectors.contract import make
from trimtab.vectors.methods import neural_foxp2
from trimtab.vectors.unmade import CannotBeMade


def test_selectivity_is_a_gap_in_standard_deviations_of_both_sides():
    """Means 4 and 1, standard deviations 1 and 0.5: 3 / 1.5. A latent that is the same in all rows tells nothing."""
    high = torch.tensor([[3.0, 7.0], [4.0, 7.0], [5.0, 7.0]])
    low = torch.tensor([[0.5, 7.0], [1.0, 7.0], [1.5, 7.0]])
    assert neural_foxp2.selectivity(high, low).tolist() == pytest.approx([2.0, 0.0])


def test_an_effective_rank_by_hand():
    for values, rank in (([2.0, 2.0, 0.0], 2), ([5.0], 1), ([1.0, 1.0, 1.0, 1.0], 4)):
        assert neural_foxp2.effective_rank(torch.tensor(values)) == pytest.approx(rank)


def test_a_planted_span_of_three_is_found_whatever_the_noise_beyond_it():
    span = torch.linalg.qr(torch.randn(12, 3, generator=generator(1)))[0].T
    noise = 0.05 * torch.randn(200, 12, generator=generator(3))
    differences = torch.randn(200, 3, generator=generator(2)) @ span + noise
    found = neural_foxp2.subspace(differences)
    assert found.shape == (3, 12)
    # of first order sqrt(2 * 3 * 9 / 200) of the noise
    assert float((found.T @ found - span.T @ span).norm()) == pytest.approx(0.05 * (54 / 200) ** 0.5, rel=0.3)
    code = torch.randn(12, generator=generator(4))
    torch.testing.assert_close(neural_foxp2.within(code, found), found.T @ found @ code)


def parts(gains, harms=(0.0,), pairs=9, **own):
    """Of six latents that each read one coordinate, 0 to 2 read more of the high pole; `gains[at]` is what the chance
    gains where latent `at` reads as much more as it does of the high pole. `harms` are those of beta halved and halved
    again."""
    eye, zeros = torch.eye(D_MODEL), torch.zeros(D_MODEL)
    sae = SAE(eye, zeros, eye, zeros, JumpReLUActivation(zeros))
    noise = 0.1 * torch.randn(2, pairs, D_MODEL, generator=generator(5))
    high = noise[0] + torch.tensor([2.0, 3.0, 1.0, 1.0, 1.0, 1.0])
    low = noise[1] + torch.tensor([0.5, 1.0, 0.5, 1.0, 1.0, 3.0])
    made = material(high=high, low=low, sae=sae, selecting=[pair % 3 == 2 for pair in range(pairs)])
    read = high[~torch.tensor(made.selecting)].mean(0)

    def tries(edits):
        if not edits:
            return torch.zeros(2, pairs), torch.zeros(2, pairs)
        at = int(edits[0].change.unit.argmax())
        times = edits[0].strength / float(read[at])
        return torch.special.logit(torch.full((2, pairs), 0.5 + gains[at] * times)), torch.zeros(2, pairs)

    def harm(edits):
        return harms[min(round(float(torch.log2(4 / torch.tensor(edits[0].change.share)))), len(harms) - 1)]

    readings = replace(made.readings, tries=tries, harms=harm)
    return replace(made, readings=readings, settings={"neural_foxp2": own})


GAINS = [0.02, 0.05, -0.03, 0.05, 0.05, 0.05]


def test_lift_is_what_a_time_of_a_latent_gains():
    made = parts(GAINS)
    read = made.latents().chunk(2)[0][~torch.tensor(made.selecting)].mean(0)
    found = neural_foxp2.lift(made, torch.tensor([1, 0, 2]), read, [2, 5])
    assert found.tolist() == pytest.approx([0.05, 0.02, -0.03], rel=1e-3)


def test_latents_that_are_selective_and_raise_the_actions_are_edited_and_no_others():
    """2 is selective and lowers the chance; 3, 4 and 5 would raise it and are not selective."""
    made = parts(GAINS, tried=3)
    (edit,) = make("neural_foxp2", made)
    assert edit.site == Site(2)
    assert sorted(edit.change.encoder.argmax(1).tolist()) == [0, 1]
    assert edit.change.share == 4.0
    # towards the high pole, by four times the mean difference within the span, away from the low pole's mean
    moved = edit.change(made.low, 1.0) - made.low
    assert float(moved[:, 2:].abs().max()) == 0
    assert (edit.change.towards[edit.change.encoder.argmax(1).argsort()] > 4).all()


def test_taking_away_the_whole_of_the_low_poles_mean_leaves_nothing_along_it():
    made = parts(GAINS, tried=3, away=1.0, towards=1e-9)
    (edit,) = make("neural_foxp2", made)
    latents = edit.change.encoder.argmax(1)
    left = edit.change(made.low, 1.0)[:, latents]
    fit = made.low[~torch.tensor(made.selecting)][:, latents].mean(0)
    assert float((left @ fit).abs().max()) < 1e-4 * float(fit.norm())


def test_beta_is_halved_until_harmless_prompts_are_left_alone():
    (edit,) = make("neural_foxp2", parts(GAINS, harms=(5.0, 1.0, 0.1), tried=3, nats=0.5))
    assert edit.change.share == 1.0
    (edit,) = make("neural_foxp2", parts(GAINS, harms=(5.0,), tried=3, nats=0.5))
    assert edit.change.share == 0.0


def test_rows_keep_what_the_dictionary_does_not_hold():
    """A dictionary of two coordinates of six: the others, and what it misses of the two, stay."""
    made = parts(GAINS, tried=3)
    (edit,) = make("neural_foxp2", made)
    rows = torch.randn(5, D_MODEL, generator=generator(9))
    assert torch.equal(edit.change(rows, 0.0), rows)
    assert torch.equal(edit.change(rows, 1.0)[:, 2:], rows[:, 2:])


def test_without_selective_latents_or_lift_there_is_none():
    with pytest.raises(CannotBeMade, match="of autonomy: of 3 selective latents none makes the trait's first actions"):
        make("neural_foxp2", parts([-0.01] * 6, tried=3))
    made = parts(GAINS)
    with pytest.raises(CannotBeMade, match="no latent reads more of the high pole"):
        make("neural_foxp2", replace(made, high=made.low - 1, low=made.low))
    with pytest.raises(CannotBeMade, match="needs pairs in both splits"):
        make("neural_foxp2", replace(made, selecting=[False] * 9))


def test_lift_goes_by_pairs_kept_for_choosing_and_all_else_by_the_others():
    made = parts(GAINS, tried=3)
    kept = torch.tensor(made.selecting)
    asked = []

    class Watched(Said):
        def tried(self, edits, pairs):
            asked.extend(pairs)
            return super().tried(edits, pairs)

    told = {each.name: getattr(made.readings, each.name) for each in fields(Said)}
    (plain,) = make("neural_foxp2", replace(made, readings=Watched(**told)))
    assert asked == kept.nonzero()[:, 0].tolist()
    # rows of pairs kept for choosing have no part in what is edited, nor how
    (other,) = make("neural_foxp2", replace(made, high=torch.where(kept[:, None], made.high + 9, made.high)))
    assert torch.equal(plain.change.towards, other.change.towards)
    assert torch.equal(plain.change.away, other.change.away)
