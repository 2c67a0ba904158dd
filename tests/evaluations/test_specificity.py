"""Whether a vector tells a trait's texts from near misses, and its latent from others: known answers, and NumPy's."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import mannwhitneyu
from tiny import D_MODEL, llama

from trimtab.agent.points import Decisions
from trimtab.evaluations import items
from trimtab.evaluations.conclusions import Means
from trimtab.evaluations.contract import measure
from trimtab.evaluations.evaluators import specificity
from trimtab.evaluations.evaluators.specificity import Texts, above, siblings
from trimtab.evaluations.steered import Dictionary, Steered
from trimtab.forward.sites import Site
from trimtab.prompts import resources
from trimtab.rollouts.conditions import Condition
from trimtab.rollouts.episode import Arm
from trimtab.saes.sae import SAE, JumpReLUActivation, TopKActivation
from trimtab.steering.changes import KeepNorm, ProjectOut
from trimtab.steering.edits import Edit, added

LATENTS = 40


def condition(name, method="sae_probe", trait="autonomy", dose=0.4):
    return Condition(name, "study", method, trait, None, dose, "residual_share", "all", 1, "add")


def unit(seed):
    return torch.nn.functional.normalize(torch.randn(D_MODEL, generator=torch.Generator().manual_seed(seed)), dim=0)


def dictionary(decoder, activation):
    return Dictionary(
        Site(1), SAE(decoder.T.clone(), torch.zeros(len(decoder)), decoder, torch.zeros(D_MODEL), activation)
    )


def units(seed):
    drawn = torch.randn(LATENTS, D_MODEL, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn, dim=1)


@pytest.fixture(scope="module")
def random():
    return dictionary(units(2), TopKActivation(6))


@pytest.fixture(scope="module")
def steered(protocol, random):
    model = llama(
        vocab_size=len(protocol.tokenizer), max_position_embeddings=2048, num_hidden_layers=3, initializer_range=0.3
    )
    arms = {
        condition("unsteered", "none", "", 0.0): Arm("unsteered"),
        condition("push"): Arm("push", added(1, unit(1), 3.0)),
        condition("back", dose=-0.4): Arm("back", added(1, unit(1), -3.0)),
        condition("other", trait="persistence"): Arm("other", added(1, unit(4), 3.0)),
        condition("elsewhere"): Arm("elsewhere", added(0, unit(1), 3.0)),
    }
    return Steered(
        model=model,
        protocol=protocol,
        offsets={},
        points={},
        measured=Decisions.read(resources.RESOURCES / "decisions.yaml").measured(
            {"autonomy": "proactive_calls", "persistence": "retries"}
        ),
        conditions=[*arms],
        arms=[*arms.values()],
        dictionaries={1: random},
    )


@pytest.fixture(scope="module")
def pairs():
    return items.read(resources.RESOURCES, "near_misses")


@pytest.fixture(scope="module")
def found(steered, pairs):
    return measure("specificity", steered, pairs).set_index("condition_id")


def rows_by_the_model(steered, texts):
    """After layer 1, at each text's last token."""
    kept = []
    for text in texts:
        tokens = [*steered.protocol.start, *steered.protocol.as_text(text)]
        with torch.inference_mode():
            states = steered.model(torch.tensor([tokens]), output_hidden_states=True).hidden_states
        kept.append(states[2][0, -1].double().numpy())
    return np.stack(kept)


def test_the_mean_over_near_misses_is_the_area_under_the_roc_curve(steered, pairs, found):
    for name, trait, direction in (("push", "autonomy", unit(1)), ("other", "persistence", unit(4))):
        own = [each for each in pairs if each.trait == trait]
        texts, near = (
            rows_by_the_model(steered, each) @ direction.double().numpy()
            for each in ([pair.means for pair in own], [pair.near for pair in own])
        )
        area = mannwhitneyu(texts, near).statistic / (len(texts) * len(near))
        table = found.loc[name].set_index("scenario_id")
        assert table["above_near_miss"].mean() == pytest.approx(area)
        by_hand = {pair.id: np.mean(texts > value) for pair, value in zip(own, near, strict=True)}
        assert table["above_near_miss"].to_dict() == pytest.approx(by_hand)


def test_a_condition_that_is_meant_to_turn_the_trait_down_is_read_the_same_way(found):
    columns = [*specificity.MEASURES]
    assert found.loc["back"][columns].to_numpy() == pytest.approx(found.loc["push"][columns].to_numpy())


def test_what_has_no_direction_at_its_layer_has_no_number(found):
    assert found.loc[["unsteered", "elsewhere"]][[*specificity.MEASURES]].isna().all(axis=None)
    # the unsteered condition is about both traits
    assert found.loc["unsteered"]["scenario_id"].nunique() == 16


def test_a_score_that_copies_the_label_and_one_that_knows_nothing():
    generator = torch.Generator().manual_seed(0)
    assert above(torch.ones(9, dtype=torch.float64), torch.zeros(7, dtype=torch.float64)).tolist() == [1] * 7
    assert above(torch.ones(3), torch.ones(2)).tolist() == [0.5, 0.5]
    scores = torch.randn(2, 400, generator=generator, dtype=torch.float64)
    assert float(above(*scores).mean()) == pytest.approx(0.5, abs=0.05)


def test_a_planted_twin_has_cosine_one_and_is_always_active_with_it(steered, pairs):
    decoder = units(5)
    decoder[7] = decoder[3]
    # of the k largest, one twin may be the last that is chosen
    twins = dictionary(decoder, JumpReLUActivation(torch.zeros(LATENTS)))
    active = Texts(steered, pairs[:8]).active(twins)
    told = siblings(decoder[3].double(), twins, active)
    assert told == pytest.approx((1, 1, 1), abs=1e-6)


def test_siblings_by_numpy(steered, pairs, found, random):
    texts = [text for each in ("means", "near") for text in [getattr(pair, each) for pair in pairs[:8]]]
    codes = []
    for text in texts:
        tokens = [*steered.protocol.start, *steered.protocol.as_text(text)]
        with torch.inference_mode():
            states = steered.model(torch.tensor([tokens]), output_hidden_states=True).hidden_states
        codes.append(random.sae.latents(states[2][0][len(steered.protocol.start) :]).numpy() > 0)
    active, decoders = np.concatenate(codes), random.sae.W_dec.double().numpy()
    cosines = decoders @ unit(1).double().numpy()
    nearest = cosines.argmax()
    others = [at for at in range(LATENTS) if at != nearest]
    together = [
        (active[:, at] & active[:, nearest]).sum() / (active[:, at] | active[:, nearest]).sum() for at in others
    ]
    row = found.loc["push"].iloc[0]
    assert row["nearest_latent"] == pytest.approx(cosines.max(), abs=1e-6)
    assert row["sibling_cosine"] == pytest.approx((decoders[others] @ decoders[nearest]).max(), abs=1e-6)
    assert row["sibling_together"] == pytest.approx(max(together))
    assert active[:, nearest].any()


def test_a_latent_that_is_never_active_has_nothing_in_common_with_any(random):
    silent = torch.zeros(5, LATENTS, dtype=torch.bool)
    cosine, sibling, together = siblings(random.sae.W_dec[4].double(), random, silent)
    assert cosine == pytest.approx(1)
    assert sibling < 1
    assert np.isnan(together)


def test_the_direction_of_other_rules_is_what_they_add_on_average(steered, pairs):
    texts = Texts(steered, pairs[:8])
    rows = texts.ends(Site(1)).double()
    along = unit(1)
    _, out = texts.push((Edit(Site(1), ProjectOut(along), 1.0),), 1)
    # what is taken out lies along the vector, against the mean row's part of it
    sign = -float(torch.sign((rows @ along.double()).mean()))
    assert out.tolist() == pytest.approx((sign * along).tolist(), abs=1e-5)
    _, kept = texts.push((Edit(Site(1), KeepNorm(along), 3.0),), 1)
    moved = rows + 3.0 * along.double()
    moved = moved * (rows.norm(dim=1) / moved.norm(dim=1))[:, None]
    expected = (moved - rows).mean(0)
    assert kept.tolist() == pytest.approx((expected / expected.norm()).tolist(), abs=1e-5)


def test_near_misses_share_words_with_their_texts(pairs):
    """Else they would be no near misses: what tells them apart must not be the words alone."""
    for pair in pairs:
        words = [set(text.lower().replace(".", " ").replace(",", " ").split()) for text in (pair.means, pair.near)]
        assert len(words[0] & words[1]) >= 2, pair.id
    counts = pd.Series([each.trait for each in pairs]).value_counts()
    assert set(counts) == {8}
    assert set(counts.index) == {*resources.traits()} - {"null"}


def test_conclusions_are_means_over_near_misses(found):
    rows = found.reset_index()
    told = specificity.concluded(Means.of(rows, 20, 0), [condition("push")])
    values = {each.quantity: float(each.values[0]) for each in told}
    assert values["auroc_against_near_misses"] == pytest.approx(found.loc["push"]["above_near_miss"].mean())
    assert values["cosine_of_its_nearest_sibling"] == pytest.approx(found.loc["push"]["sibling_cosine"].iloc[0])
    assert len(values) == 4
